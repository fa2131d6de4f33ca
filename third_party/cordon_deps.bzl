"""Declares everything that Cordon depends on, under the upstream names.

A workspace that already has one of these repositories keeps its own.
"""

load("@bazel_tools//tools/build_defs/repo:utils.bzl", "maybe")
load("//third_party/absl:absl.bzl", "system_absl")
load("//third_party/bazel:bazel.bzl", "empty_coverage_tools", "native_rules_cc", "system_bazel_package")
load("//third_party/benchmark:benchmark.bzl", "system_benchmark")
load("//third_party/boringssl:boringssl.bzl", "boringssl")
load("//third_party/googletest:googletest.bzl", "system_googletest")
load("//third_party/grpc:grpc.bzl", "system_grpc")
load("//third_party/liburing:liburing.bzl", "system_liburing")
load("//third_party/protobuf:protobuf.bzl", "system_protobuf")

def cordon_deps():
    maybe(system_absl, name = "com_google_absl")
    maybe(boringssl, name = "boringssl")
    maybe(system_grpc, name = "com_github_grpc_grpc")
    maybe(system_protobuf, name = "com_google_protobuf")
    maybe(system_liburing, name = "liburing")
    maybe(system_googletest, name = "com_google_googletest")
    maybe(system_benchmark, name = "com_github_google_benchmark")

    # What Bazel itself wants, from the distribution's packages.
    maybe(system_bazel_package, name = "bazel_skylib", path = "/usr/share/bazel/tools/skylib")
    maybe(system_bazel_package, name = "platforms", path = "/usr/share/bazel/tools/platforms")
    maybe(system_bazel_package, name = "rules_java", path = "/usr/share/bazel/rules/java")
    maybe(system_bazel_package, name = "rules_proto", path = "/usr/share/bazel/rules/proto")
    maybe(native_rules_cc, name = "rules_cc")
    maybe(empty_coverage_tools, name = "remote_coverage_tools")
