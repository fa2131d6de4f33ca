"""GoogleTest, built from the distribution's sources (libgmock-dev), so that
the sanitizers see it."""

def _system_googletest_impl(ctx):
    if not ctx.path("/usr/src/googletest/googlemock").exists:
        fail("GoogleTest is missing: run tools/setup, which installs libgtest-dev and libgmock-dev")
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.symlink("/usr/src/googletest/googletest", "googletest")
    ctx.symlink("/usr/src/googletest/googlemock", "googlemock")
    ctx.file("BUILD", """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "gtest",
    testonly = True,
    srcs = [
        "googletest/src/gtest-all.cc",
        "googlemock/src/gmock-all.cc",
    ],
    hdrs = glob(["googletest/include/**/*.h", "googlemock/include/**/*.h"]),
    copts = ["-w"],
    includes = ["googletest/include", "googlemock/include", "googletest", "googlemock"],
    linkopts = ["-pthread"],
    textual_hdrs = glob([
        "googletest/src/*.cc",
        "googletest/src/*.h",
        "googlemock/src/*.cc",
    ], exclude = [
        "googletest/src/gtest-all.cc",
        "googlemock/src/gmock-all.cc",
        "**/*_main.cc",
    ]),
)

cc_library(
    name = "gtest_main",
    testonly = True,
    srcs = ["googlemock/src/gmock_main.cc"],
    copts = ["-w"],
    deps = [":gtest"],
)
""")

system_googletest = repository_rule(implementation = _system_googletest_impl, local = True)
