"""The rules that Cordon's own code is built with.

They give each header the path "cordon/<package>/<file>", so that a consumer
with a `net/` folder of its own never collides, and compile as C++20 with
warnings as errors.
"""

# A consumer's workspace need not set any of these for our code.
_COPTS = [
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Woverloaded-virtual",
    "-Wimplicit-fallthrough",
    # A new value of a verdict, a state or a result compiles nowhere until each
    # switch over it has decided what it means.
    "-Wswitch-enum",
    "-Werror",
]

# Everything is linked statically, whatever the consumer's --dynamic_mode says:
# BoringSSL's symbols are hidden, so a shared library of ours would not find
# them, and must not be exported, since gRPC brings OpenSSL's of the same names.

def cordon_cc_library(name, hdrs = [], copts = [], linkstatic = True, **kwargs):
    """A cc_library whose headers are included as "cordon/<package>/x.h"."""
    package = native.package_name()
    native.cc_library(
        name = name,
        hdrs = hdrs,
        copts = _COPTS + copts,
        include_prefix = "cordon/" + package,
        linkstatic = linkstatic,
        strip_include_prefix = "/" + package,
        **kwargs
    )

def cordon_cc_binary(name, copts = [], linkstatic = True, **kwargs):
    """A cc_binary."""
    native.cc_binary(
        name = name,
        copts = _COPTS + copts,
        linkstatic = linkstatic,
        **kwargs
    )

def cordon_cc_test(name, copts = [], deps = [], size = "small", main = True, linkstatic = True, **kwargs):
    """A cc_test with GoogleTest, and its main() unless `main` is False."""
    gtest = "gtest_main" if main else "gtest"
    native.cc_test(
        name = name,
        size = size,
        copts = _COPTS + copts,
        linkstatic = linkstatic,
        deps = deps + ["@com_google_googletest//:" + gtest],
        **kwargs
    )

def cordon_cc_benchmark(name, copts = [], deps = [], **kwargs):
    """A Google Benchmark program; `bazel test //...` only builds it."""
    native.cc_binary(
        name = name,
        testonly = True,
        copts = _COPTS + copts,
        linkstatic = True,
        tags = ["benchmark"],
        deps = deps + ["@com_github_google_benchmark//:benchmark_main"],
        **kwargs
    )

def cordon_fuzz_test(name, deps, size = "medium", **kwargs):
    """A fuzz target: <name>.cc defines LLVMFuzzerTestOneInput.

    As a test it runs the inputs in corpus/<name>. Where the configuration has
    libFuzzer, the same program looks for new ones: see tools/fuzz.
    """
    corpus = "corpus/" + name
    native.cc_test(
        name = name,
        size = size,
        srcs = [name + ".cc"],
        args = select({
            "//third_party:libfuzzer": ["-runs=0"],
            "//conditions:default": [],
        }) + [native.package_name() + "/" + corpus],
        copts = _COPTS,
        data = native.glob([corpus + "/*"], allow_empty = False),
        linkopts = select({
            "//third_party:libfuzzer": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        linkstatic = True,
        deps = deps + select({
            "//third_party:libfuzzer": [],
            "//conditions:default": ["//testing/fuzz:replay_main"],
        }),
        **kwargs
    )
