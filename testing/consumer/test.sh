#!/usr/bin/env bash
# Builds this workspace, as a service that depends on Cordon would, runs the
# README's program, and talks to it with OpenSSL. Exits with 0 if that works.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

read -ra bazel <<<"${BAZEL:-bazel}"
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/cordon/bazel-disk
mkdir -p "$cache"
"${bazel[@]}" build --noshow_progress "--disk_cache=$cache" //:server
bin=$("${bazel[@]}" info bazel-bin 2>/dev/null)

folder=$(mktemp -d)
server=
finish() {
  [[ -z $server ]] || kill "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
  -keyout "$folder/key.pem" -out "$folder/cert.pem" -days 2 -subj /CN=consumer \
  -addext subjectAltName=IP:127.0.0.1 2>/dev/null
port=$((20000 + RANDOM % 20000))
"$bin/server" "127.0.0.1:$port" "$folder/cert.pem" "$folder/key.pem" &
server=$!

# The program says nothing when it is ready, so the client asks until it is.
for _ in $(seq 20); do
  { echo "hello, consumer"; sleep 1; } |
    timeout 3 openssl s_client -dtls -connect "127.0.0.1:$port" \
      -CAfile "$folder/cert.pem" -verify_return_error -quiet \
      >"$folder/output" 2>&1 || true
  grep -q "hello, consumer" "$folder/output" && break
  sleep 0.2
done
if ! grep -q "hello, consumer" "$folder/output"; then
  cat "$folder/output" >&2
  echo "consumer: the README's program did not answer" >&2
  exit 1
fi
echo "consumer: the README's program works"
