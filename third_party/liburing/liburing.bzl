"""liburing from the distribution (liburing-dev).

The archive, not the shared library: the latter lacks io_uring_enable_rings,
and a static one cannot differ from the headers at run time.
"""

def _system_liburing_impl(ctx):
    result = ctx.execute(["sh", "-c", "ls /usr/lib/*/liburing.a"])
    archives = result.stdout.splitlines()
    if result.return_code != 0 or len(archives) != 1:
        fail("liburing is missing: run tools/setup, which installs liburing-dev")
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.symlink(archives[0], "liburing.a")
    ctx.file("BUILD", """
cc_import(
    name = "archive",
    static_library = "liburing.a",
)

cc_library(
    name = "liburing",
    visibility = ["//visibility:public"],
    deps = [":archive"],
)
""")

system_liburing = repository_rule(implementation = _system_liburing_impl, local = True)
