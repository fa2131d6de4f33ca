"""BoringSSL, built from source.

Debian packages the source of a whole BoringSSL tree; `fetch.sh` brings it with
the machine's own apt, and its sha256 is checked. A checkout of a newer one is
used instead when `--repo_env=CORDON_BORINGSSL=/path/to/boringssl` names it.
"""

_PACKAGE = "android-platform-external-boringssl"
_VERSION = "14.0.0+r45-2"
_SUITE = "trixie"
_TARBALL = "android-platform-external-boringssl_14.0.0+r45.orig.tar.xz"
_SHA256 = "f9223e8c15ad5d9e3f1cd50861f4c272658864661e2332bea5d60952aa0930cd"
_PREFIX = "android-platform-external-boringssl-14.0.0+r45"

def _boringssl_impl(ctx):
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    checkout = ctx.os.environ.get("CORDON_BORINGSSL", "")
    if checkout:
        root = ctx.path(checkout)
        if not root.get_child("gen").get_child("sources.bzl").exists:
            fail("CORDON_BORINGSSL=%s is not a checkout of BoringSSL with gen/sources.bzl" % checkout)
        for folder in ["crypto", "gen", "include", "ssl", "third_party/fiat"]:
            ctx.symlink(checkout + "/" + folder, folder)
        ctx.symlink(Label("//third_party/boringssl:checkout.BUILD"), "BUILD")
        ctx.symlink(checkout + "/gen/sources.bzl", "sources.bzl")
        return

    result = ctx.execute(
        [
            "bash",
            ctx.path(Label("//third_party/boringssl:fetch.sh")),
            _PACKAGE,
            _VERSION,
            _SUITE,
            _TARBALL,
            _SHA256,
        ],
        timeout = 1200,
        quiet = False,
    )
    if result.return_code != 0:
        fail("cannot fetch BoringSSL's source: %s" % result.stderr)
    ctx.extract(ctx.path(_TARBALL), stripPrefix = _PREFIX)
    ctx.delete(_TARBALL)
    ctx.delete("BUILD")
    ctx.symlink("BUILD.generated.bzl", "sources.bzl")
    ctx.symlink(Label("//third_party/boringssl:debian.BUILD"), "BUILD")

boringssl = repository_rule(
    implementation = _boringssl_impl,
    environ = ["CORDON_BORINGSSL"],
)
