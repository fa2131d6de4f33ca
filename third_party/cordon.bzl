"""The rules that Cordon's own code is built with.

They give each header the path "cordon/<package>/<file>", so that a consumer
with a `net/` folder of its own never collides, and compile as C++20 with
warnings as errors.
"""

_COPTS = [
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Woverloaded-virtual",
    "-Wimplicit-fallthrough",
    "-Werror",
]

def cordon_cc_library(name, hdrs = [], copts = [], **kwargs):
    """A cc_library whose headers are included as "cordon/<package>/x.h"."""
    package = native.package_name()
    native.cc_library(
        name = name,
        hdrs = hdrs,
        copts = _COPTS + copts,
        include_prefix = "cordon/" + package,
        strip_include_prefix = "/" + package,
        **kwargs
    )

def cordon_cc_binary(name, copts = [], **kwargs):
    native.cc_binary(
        name = name,
        copts = _COPTS + copts,
        **kwargs
    )

def cordon_cc_test(name, copts = [], deps = [], size = "small", main = True, **kwargs):
    """A cc_test with GoogleTest, and its main() unless `main` is False."""
    gtest = "gtest_main" if main else "gtest"
    native.cc_test(
        name = name,
        size = size,
        copts = _COPTS + copts,
        deps = deps + ["@com_google_googletest//:" + gtest],
        **kwargs
    )

def cordon_cc_benchmark(name, copts = [], deps = [], **kwargs):
    """A Google Benchmark program; `bazel test //...` leaves it out."""
    native.cc_binary(
        name = name,
        testonly = True,
        copts = _COPTS + copts,
        tags = ["benchmark"],
        deps = deps + ["@com_github_google_benchmark//:benchmark_main"],
        **kwargs
    )
