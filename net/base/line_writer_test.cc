#include "cordon/net/base/line_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "cordon/net/base/unique_fd.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

// A pipe with room for 4096 bytes, that nobody reads until the test does.
class LineWriterTest : public ::testing::Test {
 protected:
  LineWriterTest() {
    std::array<int, 2> ends = {-1, -1};
    EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    reader_.Reset(ends[0]);
    pipe_.Reset(ends[1]);
    EXPECT_GE(fcntl(pipe_.get(), F_SETPIPE_SZ, 4096), 4096);
  }
  // Reads until a line with `text` has come.
  std::vector<std::string> ReadUntil(const std::string& text) {
    std::string all;
    std::array<char, 4096> buffer;
    while (!absl::StrContains(all, text) || all.back() != '\n') {
      const ssize_t size = read(reader_.get(), buffer.data(), buffer.size());
      if (size <= 0) break;
      all.append(buffer.data(), static_cast<size_t>(size));
    }
    return absl::StrSplit(all, '\n', absl::SkipEmpty());
  }

  UniqueFd reader_;
  UniqueFd pipe_;
};

TEST_F(LineWriterTest, WritesLinesInOrder) {
  LineWriter writer(pipe_.get());
  for (int i = 0; i < 100; ++i) writer.Write(absl::StrCat("line ", i));
  ASSERT_TRUE(writer.Flush(kPatience));
  const std::vector<std::string> lines = ReadUntil("line 99");
  ASSERT_EQ(lines.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(lines[i], absl::StrCat("line ", i));
  EXPECT_EQ(writer.statistics().written, 100U);
  EXPECT_EQ(writer.statistics().lost, 0U);
}

// More than pipe and queue hold. That this test ends is what it shows.
TEST_F(LineWriterTest, NobodyWaitsForTheReader) {
  constexpr size_t kLines = 10'000;
  LineWriter writer(pipe_.get(), /*max_queued_bytes=*/16'384);
  const std::string hundred(100, 'x');
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (size_t i = 0; i < kLines / 4; ++i) writer.Write(hundred);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(writer.Flush(absl::ZeroDuration()));
  const uint64_t lost = writer.statistics().lost;
  EXPECT_GT(lost, kLines / 2);

  // It is told where they are missing, and without another line.
  uint64_t lines = 0;
  uint64_t told = 0;
  while (lines + told < kLines) {
    const std::vector<std::string> some = ReadUntil("\n");
    ASSERT_FALSE(some.empty());
    for (const std::string& line : some) {
      uint64_t count = 0;
      if (line == hundred) {
        ++lines;
      } else {
        ASSERT_EQ(sscanf(line.c_str(), "cordon: %lu", &count), 1) << line;
        EXPECT_TRUE(absl::StrContains(line, " could not be written here"));
        told += count;
      }
    }
  }
  EXPECT_EQ(told, lost);
  // And only once.
  writer.Write("good again");
  EXPECT_EQ(ReadUntil("good again"), std::vector<std::string>{"good again"});
  EXPECT_TRUE(writer.Flush(kPatience));
  EXPECT_EQ(writer.statistics().written, kLines - lost + 1);
  EXPECT_EQ(writer.statistics().lost, lost);
}

TEST_F(LineWriterTest, ALineThatDoesNotFitIsLost) {
  LineWriter writer(pipe_.get(), /*max_queued_bytes=*/100);
  writer.Write(std::string(200, 'x'));
  writer.Write("short");
  EXPECT_EQ(ReadUntil("short"),
            (std::vector<std::string>{
                "cordon: 1 line could not be written here", "short"}));
  EXPECT_TRUE(writer.Flush(kPatience));
  EXPECT_EQ(writer.statistics().lost, 1U);
}

// Its reader has gone, and with it nothing but the lines: no signal ends us.
TEST_F(LineWriterTest, AReaderThatGoesTakesOnlyTheLines) {
  LineWriter writer(pipe_.get());
  reader_.Reset();
  for (int i = 0; i < 3; ++i) writer.Write("to nobody");
  EXPECT_TRUE(writer.Flush(kPatience));
  EXPECT_EQ(writer.statistics().written, 0U);
  EXPECT_EQ(writer.statistics().lost, 3U);
}

TEST_F(LineWriterTest, ADeviceThatIsFullLosesLines) {
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full.valid());
  LineWriter writer(full.get());
  writer.Write("no room");
  EXPECT_TRUE(writer.Flush(kPatience));
  EXPECT_EQ(writer.statistics().lost, 1U);
}

TEST_F(LineWriterTest, AnUnblockedDescriptorIsWaitedFor) {
  ASSERT_EQ(fcntl(pipe_.get(), F_SETFL, O_NONBLOCK), 0);
  LineWriter writer(pipe_.get());
  const std::string hundred(100, 'x');
  for (int i = 0; i < 200; ++i) writer.Write(hundred);
  writer.Write("last");
  EXPECT_EQ(ReadUntil("last").size(), 201U);
  EXPECT_TRUE(writer.Flush(kPatience));
  EXPECT_EQ(writer.statistics().lost, 0U);
}

}  // namespace
}  // namespace cordon::net
