"""Abseil from the distribution (libabsl-dev), under its upstream labels.

gRPC's packages link against the same shared libraries, so there is one Abseil
in a process. Every label stands for the whole: the linker keeps what is used.
"""

_PACKAGES = {
    "absl/algorithm": ["algorithm", "container"],
    "absl/base": ["base", "config", "core_headers", "dynamic_annotations", "endian", "log_severity", "nullability"],
    "absl/cleanup": ["cleanup"],
    "absl/container": [
        "btree",
        "fixed_array",
        "flat_hash_map",
        "flat_hash_set",
        "inlined_vector",
        "node_hash_map",
        "node_hash_set",
    ],
    "absl/debugging": ["failure_signal_handler", "leak_check", "stacktrace", "symbolize"],
    "absl/flags": ["commandlineflag", "config", "flag", "marshalling", "parse", "reflection", "usage"],
    "absl/functional": ["any_invocable", "bind_front", "function_ref"],
    "absl/hash": ["hash"],
    "absl/memory": ["memory"],
    "absl/meta": ["type_traits"],
    "absl/numeric": ["bits", "int128"],
    "absl/random": ["bit_gen_ref", "distributions", "random"],
    "absl/status": ["status", "statusor"],
    "absl/strings": ["cord", "str_format", "strings"],
    "absl/synchronization": ["synchronization"],
    "absl/time": ["time"],
    "absl/types": ["any", "compare", "optional", "span", "variant"],
    "absl/utility": ["utility"],
}

def _system_absl_impl(ctx):
    if not ctx.path("/usr/include/absl/base/config.h").exists:
        fail("Abseil is missing: run tools/setup, which installs libabsl-dev")
    result = ctx.execute(["sh", "-c", "cat /usr/lib/*/pkgconfig/absl_*.pc | tr ' ' '\\n' | grep '^-labsl_' | sort -u"])
    libraries = [line for line in result.stdout.splitlines() if line]
    if not libraries:
        fail("no libraries of Abseil found in /usr/lib/*/pkgconfig: run tools/setup")
    linkopts = ["-Wl,--push-state,--as-needed"] + libraries + ["-Wl,--pop-state", "-pthread"]
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.symlink(Label("//third_party/absl:mutex_tsan.cc"), "mutex_tsan.cc")
    ctx.file("BUILD", """
# Empty without ThreadSanitizer.
cc_library(
    name = "mutex_tsan",
    srcs = ["mutex_tsan.cc"],
    copts = ["-std=c++17", "-w"],
    linkstatic = True,
)

cc_library(
    name = "absl",
    linkopts = {},
    deps = [":mutex_tsan"],
    visibility = ["//:__subpackages__"],
)
""".format(linkopts))
    for package, targets in _PACKAGES.items():
        text = "package(default_visibility = [\"//visibility:public\"])\n"
        for target in targets:
            text += "cc_library(name = \"{}\", deps = [\"//:absl\"])\n".format(target)
        ctx.file(package + "/BUILD", text)

system_absl = repository_rule(implementation = _system_absl_impl, local = True)
