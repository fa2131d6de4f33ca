#!/usr/bin/env bash
# fetch.sh PACKAGE VERSION SUITE TARBALL SHA256
# Puts TARBALL of Debian's source PACKAGE into the current folder. Uses apt
# with a state of its own, so needs no root and changes nothing on the machine;
# the mirror is the one that the machine is configured with. Keeps a copy in
# the user's cache.
set -euo pipefail
package=$1 version=$2 suite=$3 tarball=$4 sha256=$5

matches() { echo "$sha256  $1" | sha256sum --check --status 2>/dev/null; }

cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/cordon/sources
if [[ -f $cache/$sha256 ]] && matches "$cache/$sha256"; then
  cp "$cache/$sha256" "$tarball"
  exit 0
fi

mirror=$(
  {
    awk '/^URIs:/ { print $2 }' /etc/apt/sources.list.d/*.sources 2>/dev/null || true
    awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; break } }' \
      /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true
  } | grep -E '/debian/?$' | head -n 1
) || true
if [[ -z $mirror ]]; then
  echo "no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d: add one, or name a checkout with --repo_env=CORDON_BORINGSSL=PATH" >&2
  exit 1
fi

state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > "$state/sources.list"
options=(
  -o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state/cache"
  -o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o APT::Sandbox::User=root -o Acquire::Retries=3
)
fetch() {
  apt-get "${options[@]}" -qq update >&2 &&
    apt-get "${options[@]}" -qq source --download-only --tar-only "$package=$version" >&2
}
# apt itself tries each file again; a mirror in the middle of an update needs
# the lists anew.
for pause in 5 20 0; do
  fetch && break
  if ((pause == 0)); then
    echo "$tarball could not be fetched from $mirror" >&2
    exit 1
  fi
  sleep "$pause"
done

if ! matches "$tarball"; then
  echo "$tarball has sha256 $(sha256sum "$tarball" | cut -d' ' -f1), not $sha256: not used" >&2
  exit 1
fi
mkdir -p "$cache"
cp "$tarball" "$cache/$sha256.$$" && mv "$cache/$sha256.$$" "$cache/$sha256"
