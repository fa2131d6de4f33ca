"""Stand-ins for the repositories that Bazel 4 would fetch from the network."""

def _system_bazel_package_impl(ctx):
    root = ctx.path(ctx.attr.path)
    if not root.exists:
        fail("%s is missing: run tools/setup, which installs Debian's Bazel packages" % ctx.attr.path)
    for entry in root.readdir():
        ctx.symlink(entry, entry.basename)

system_bazel_package = repository_rule(
    implementation = _system_bazel_package_impl,
    attrs = {"path": attr.string(mandatory = True)},
    local = True,
)

_RULES_CC = """
cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
objc_library = native.objc_library
"""

def _native_rules_cc_impl(ctx):
    ctx.file("WORKSPACE", "workspace(name = \"rules_cc\")\n")
    ctx.file("BUILD", "")
    ctx.file("cc/BUILD", "")
    ctx.file("cc/defs.bzl", _RULES_CC)

# Debian's rules_cc does not load under Debian's Bazel.
native_rules_cc = repository_rule(implementation = _native_rules_cc_impl)

def _empty_coverage_tools_impl(ctx):
    ctx.file("WORKSPACE", "workspace(name = \"remote_coverage_tools\")\n")
    ctx.file("BUILD", "filegroup(name = \"coverage_report_generator\", visibility = [\"//visibility:public\"])\n")

empty_coverage_tools = repository_rule(implementation = _empty_coverage_tools_impl)
