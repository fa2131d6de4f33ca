"""gRPC from the distribution (libgrpc++-dev), and a rule for its stubs."""

def _system_grpc_impl(ctx):
    if not ctx.path("/usr/include/grpcpp/grpcpp.h").exists:
        fail("gRPC is missing: run tools/setup, which installs libgrpc++-dev")
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.symlink(Label("//third_party/grpc:suppressions.cc"), "suppressions.cc")
    ctx.file("BUILD", """
package(default_visibility = ["//visibility:public"])

# Nothing refers to what the sanitizers look for, hence alwayslink.
cc_library(
    name = "suppressions",
    srcs = ["suppressions.cc"],
    linkstatic = True,
    alwayslink = True,
    visibility = ["//visibility:private"],
)

cc_library(
    name = "grpc++",
    linkopts = ["-lgrpc++", "-lgrpc", "-lgpr", "-pthread"],
    # Its headers have inline functions that need Abseil.
    deps = [
        ":suppressions",
        "@com_google_absl//absl/strings",
        "@com_google_absl//absl/synchronization",
        "@com_google_protobuf//:protobuf",
    ],
)

cc_library(
    name = "grpc++_reflection",
    linkopts = ["-Wl,--no-as-needed,-lgrpc++_reflection,--as-needed"],
    deps = [":grpc++"],
)
""")

    # The label that upstream has it under.
    ctx.symlink(ctx.which("grpc_cpp_plugin") or "/usr/bin/grpc_cpp_plugin", "src/compiler/grpc_cpp_plugin_binary")
    ctx.file("src/compiler/BUILD", """
filegroup(
    name = "grpc_cpp_plugin",
    srcs = ["grpc_cpp_plugin_binary"],
    visibility = ["//visibility:public"],
)
""")

system_grpc = repository_rule(implementation = _system_grpc_impl, local = True)

def cordon_grpc_library(name, proto, **kwargs):
    """A C++ library of one .proto file's messages and gRPC stubs.

    Its headers are included as "cordon/<package>/<file>.pb.h" and
    "cordon/<package>/<file>.grpc.pb.h".
    """
    package = native.package_name()
    stem = proto[:-len(".proto")]
    outs = [stem + suffix for suffix in [".pb.cc", ".pb.h", ".grpc.pb.cc", ".grpc.pb.h"]]

    # protoc names the headers as the file's path below its root, so the file
    # is placed below a folder that has the path that the headers shall have.
    native.genrule(
        name = name + "_generated",
        srcs = [proto],
        outs = outs,
        tools = [
            "@com_google_protobuf//:protoc",
            "@com_github_grpc_grpc//src/compiler:grpc_cpp_plugin",
        ],
        cmd = """
set -eu
root=$(@D)/{name}.protos
mkdir -p $$root/cordon/{package}
cp $(location {proto}) $$root/cordon/{package}/{proto}
$(location @com_google_protobuf//:protoc) -I$$root --cpp_out=$$root --grpc_out=$$root \
    --plugin=protoc-gen-grpc=$(location @com_github_grpc_grpc//src/compiler:grpc_cpp_plugin) \
    cordon/{package}/{proto}
mv $$root/cordon/{package}/{stem}.*pb.* $(@D)/
rm -r $$root
""".format(name = name, package = package, proto = proto, stem = stem),
    )
    native.cc_library(
        name = name,
        srcs = [out for out in outs if out.endswith(".cc")],
        hdrs = [out for out in outs if out.endswith(".h")],
        copts = ["-std=c++20", "-w"],
        include_prefix = "cordon/" + package,
        linkstatic = True,
        strip_include_prefix = "/" + package,
        deps = [
            "@com_github_grpc_grpc//:grpc++",
            "@com_google_protobuf//:protobuf",
        ],
        **kwargs
    )
