"""Google Benchmark from the distribution (libbenchmark-dev)."""

def _system_benchmark_impl(ctx):
    if not ctx.path("/usr/include/benchmark/benchmark.h").exists:
        fail("Google Benchmark is missing: run tools/setup, which installs libbenchmark-dev")
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.file("BUILD", """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "benchmark",
    linkopts = ["-lbenchmark", "-pthread"],
)

cc_library(
    name = "benchmark_main",
    linkopts = ["-lbenchmark_main"],
    deps = [":benchmark"],
)
""")

system_benchmark = repository_rule(implementation = _system_benchmark_impl, local = True)
