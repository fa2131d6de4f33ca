#include "cordon/net/reactor/usable_cpus.h"

#include <map>
#include <optional>
#include <string>

#include "gtest/gtest.h"

namespace cordon::net {
namespace {

using Files = std::map<std::string, std::string>;

std::optional<double> QuotaIn(const Files& files) {
  return CgroupCpuQuota(
      [&](const std::string& path) -> std::optional<std::string> {
        const auto found = files.find(path);
        if (found == files.end()) return std::nullopt;
        return found->second;
      });
}

constexpr char kV2Mount[] =
    "24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "30 24 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 "
    "rw,nsdelegate\n";

TEST(CgroupCpuQuotaTest, IsThatOfTheOwnGroup) {
  Files files = {{"/proc/self/cgroup", "0::/\n"},
                 {"/proc/self/mountinfo", kV2Mount},
                 {"/sys/fs/cgroup/cpu.max", "200000 100000\n"}};
  EXPECT_EQ(QuotaIn(files), 2.0);
  files["/sys/fs/cgroup/cpu.max"] = "50000 100000\n";
  EXPECT_EQ(QuotaIn(files), 0.5);
  files["/sys/fs/cgroup/cpu.max"] = "max 100000\n";
  EXPECT_EQ(QuotaIn(files), std::nullopt);
}

TEST(CgroupCpuQuotaTest, OfNestedGroupsTheLeastCounts) {
  Files files = {
      {"/proc/self/cgroup", "0::/system.slice/pod 1/server\n"},
      {"/proc/self/mountinfo", kV2Mount},
      {"/sys/fs/cgroup/system.slice/cpu.max", "800000 100000\n"},
      {"/sys/fs/cgroup/system.slice/pod 1/cpu.max", "150000 50000\n"},
      {"/sys/fs/cgroup/system.slice/pod 1/server/cpu.max", "max 100000\n"}};
  EXPECT_EQ(QuotaIn(files), 3.0);
  files["/sys/fs/cgroup/system.slice/pod 1/server/cpu.max"] = "400000 100000\n";
  EXPECT_EQ(QuotaIn(files), 3.0);
  files["/sys/fs/cgroup/system.slice/cpu.max"] = "100000 100000\n";
  EXPECT_EQ(QuotaIn(files), 1.0);
}

constexpr char kV1Mounts[] =
    "33 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "34 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
    "rw,cpu,cpuacct\n";

TEST(CgroupCpuQuotaTest, IsFoundInVersion1) {
  Files files = {
      {"/proc/self/cgroup",
       "4:memory:/other\n3:cpuset:/wrong\n2:cpu,cpuacct:/a/b\n1:name=systemd:/"
       "\n"},
      {"/proc/self/mountinfo", kV1Mounts},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n"}};
  EXPECT_EQ(QuotaIn(files), 2.5);
  files["/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us"] = "100000\n";
  EXPECT_EQ(QuotaIn(files), 1.0);
}

// A container sees its own group as the root of the file system.
TEST(CgroupCpuQuotaTest, AMountMayBeginAtTheOwnGroup) {
  const std::string mounts =
      "34 31 0:30 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";
  Files files = {{"/proc/self/cgroup", "2:cpu:/docker/abc\n"},
                 {"/proc/self/mountinfo", mounts},
                 {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n"},
                 {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}};
  EXPECT_EQ(QuotaIn(files), 4.0);
  files["/proc/self/cgroup"] = "2:cpu:/docker/abc/worker\n";
  files["/sys/fs/cgroup/cpu/worker/cpu.cfs_quota_us"] = "100000\n";
  files["/sys/fs/cgroup/cpu/worker/cpu.cfs_period_us"] = "100000\n";
  EXPECT_EQ(QuotaIn(files), 1.0);
  // Not a part of it by its name only, and not above what is mounted.
  for (const char* group : {"2:cpu:/docker/abcdef\n", "2:cpu:/../other\n"}) {
    files["/proc/self/cgroup"] = group;
    EXPECT_EQ(QuotaIn(files), 4.0) << group;
  }
}

TEST(CgroupCpuQuotaTest, BothVersionsCountWhereBothAreMounted) {
  Files files = {
      {"/proc/self/cgroup", "2:cpu:/x\n0::/x\n"},
      {"/proc/self/mountinfo", std::string(kV1Mounts) + kV2Mount},
      {"/sys/fs/cgroup/x/cpu.max", "300000 100000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "200000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n"}};
  EXPECT_EQ(QuotaIn(files), 2.0);
  files["/sys/fs/cgroup/x/cpu.max"] = "100000 100000\n";
  EXPECT_EQ(QuotaIn(files), 1.0);
}

TEST(CgroupCpuQuotaTest, MountsMayHaveSpacesInTheirNames) {
  EXPECT_EQ(QuotaIn({{"/proc/self/cgroup", "0::/\n"},
                     {"/proc/self/mountinfo",
                      "30 24 0:27 / /mnt/my\\040groups rw - cgroup2 none rw\n"},
                     {"/mnt/my groups/cpu.max", "700000 100000\n"}}),
            7.0);
}

TEST(CgroupCpuQuotaTest, IsNoneWhereFilesAreMissingOrStrange) {
  EXPECT_EQ(QuotaIn({}), std::nullopt);
  EXPECT_EQ(QuotaIn({{"/proc/self/cgroup", "0::/\n"}}), std::nullopt);
  Files files = {{"/proc/self/cgroup", "0::/\n"},
                 {"/proc/self/mountinfo", kV2Mount}};
  EXPECT_EQ(QuotaIn(files), std::nullopt);
  for (const char* text :
       {"", "max", "100000", "0 100000", "100000 0", "-1 1", "a b", "1 2 3"}) {
    files["/sys/fs/cgroup/cpu.max"] = text;
    EXPECT_EQ(QuotaIn(files), std::nullopt) << text;
  }
  files["/sys/fs/cgroup/cpu.max"] = "100000 100000";
  for (const char* text : {"", "\n\n", "0:/", "::", "1:memory:/\n"}) {
    files["/proc/self/cgroup"] = text;
    EXPECT_EQ(QuotaIn(files), std::nullopt) << text;
  }
}

TEST(UsableCpusTest, AreNoMoreThanTheQuotaAndAtLeastOne) {
  EXPECT_EQ(UsableCpus(64, std::nullopt), 64U);
  EXPECT_EQ(UsableCpus(64, 2.0), 2U);
  // All of it can be used.
  EXPECT_EQ(UsableCpus(64, 2.5), 3U);
  EXPECT_EQ(UsableCpus(64, 0.1), 1U);
  EXPECT_EQ(UsableCpus(2, 8.0), 2U);
  EXPECT_EQ(UsableCpus(2, 1.5), 2U);
  EXPECT_EQ(UsableCpus(0, std::nullopt), 1U);
  EXPECT_GE(UsableCpus(), 1U);
  EXPECT_LE(UsableCpus(), AllowedCpus().size());
}

}  // namespace
}  // namespace cordon::net
