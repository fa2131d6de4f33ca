"""Protocol Buffers from the distribution (libprotobuf-dev)."""

def _system_protobuf_impl(ctx):
    if not ctx.path("/usr/include/google/protobuf/message.h").exists:
        fail("Protocol Buffers are missing: run tools/setup, which installs libprotobuf-dev")
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.symlink(ctx.which("protoc") or "/usr/bin/protoc", "protoc_binary")
    ctx.file("BUILD", """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "protobuf",
    linkopts = ["-lprotobuf", "-pthread"],
)

filegroup(
    name = "protoc",
    srcs = ["protoc_binary"],
)
""")

system_protobuf = repository_rule(implementation = _system_protobuf_impl, local = True)
