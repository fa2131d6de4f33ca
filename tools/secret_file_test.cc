#include "cordon/tools/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/testing/process/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::tools {
namespace {

using ::testing::HasSubstr;

class SecretFileTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const {
    return absl::StrCat(folder_.path(), "/", name);
  }
  std::string Write(const std::string& name, const std::string& content,
                    mode_t mode) const {
    std::string path = folder_.Write(name, content);
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
  static std::string Content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  static absl::Status Open(const std::string& path) {
    return OpenSecretLog(path, [](const absl::Status&) {}).status();
  }
  // That nothing is written there, for this reason.
  static void ExpectRefused(const std::string& path, const std::string& why) {
    const absl::Status status = Open(path);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  }

  const testing::TemporaryFolder folder_;
};

TEST_F(SecretFileTest, ALogIsMadeForItsOwnerOnlyAndGoesOn) {
  const mode_t before = umask(0);
  for (const char* line : {"first", "second"}) {
    auto log = OpenSecretLog(Path("log"), [](const absl::Status&) {});
    ASSERT_TRUE(log.ok()) << log.status();
    (*log)(line);
  }
  umask(before);
  EXPECT_EQ(Content(Path("log")), "first\nsecond\n");
  struct stat file = {};
  ASSERT_EQ(stat(Path("log").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode, mode_t{S_IFREG | 0600});
}

TEST_F(SecretFileTest, ALogFollowsNoLink) {
  const std::string target = Write("target", "precious", 0600);
  ASSERT_EQ(symlink(target.c_str(), Path("link").c_str()), 0);
  ExpectRefused(Path("link"), "symbolic link");
  ASSERT_EQ(symlink(Path("made").c_str(), Path("dangling").c_str()), 0);
  ExpectRefused(Path("dangling"), "symbolic link");
  EXPECT_NE(access(Path("made").c_str(), F_OK), 0);
  ASSERT_EQ(link(target.c_str(), Path("other").c_str()), 0);
  ExpectRefused(Path("other"), "another name");
  EXPECT_EQ(Content(target), "precious");
}

TEST_F(SecretFileTest, ALogIsNotWrittenToAFileThatOthersMayUse) {
  for (const mode_t mode : {0640, 0604, 0620, 0602, 0666}) {
    ExpectRefused(Write("open", "", mode), "chmod 600");
  }
  const std::string theirs = Write("theirs", "", 0600);
  // Only root can give a file away.
  if (chown(theirs.c_str(), 65534, 65534) != 0) return;
  ExpectRefused(theirs, "belongs to user 65534");
}

TEST_F(SecretFileTest, ALogIsARegularFile) {
  ExpectRefused("/dev/null", "not a regular file");
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  // Nobody reads it, and nobody is waited for.
  EXPECT_FALSE(Open(Path("pipe")).ok());
  const net::UniqueFd reader(
      open(Path("pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ExpectRefused(Path("pipe"), "not a regular file");
}

TEST_F(SecretFileTest, TellsWhetherAFileIsOurs) {
  const auto privacy = [&](const std::string& path) {
    absl::StatusOr<SecretFile> file = ReadSecretFile(path);
    EXPECT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->content, "secret");
    return file->privacy;
  };
  EXPECT_TRUE(privacy(Write("own", "secret", 0600)).ok());
  EXPECT_TRUE(privacy(Write("own", "secret", 0400)).ok());
  for (const mode_t mode : {0640, 0604, 0620, 0602}) {
    const absl::Status status = privacy(Write("open", "secret", mode));
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(Path("open")));
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat("mode 0", mode == 0640   ? "640"
                                                 : mode == 0604 ? "604"
                                                 : mode == 0620 ? "620"
                                                                : "602")));
  }
  EXPECT_TRUE(absl::IsNotFound(ReadSecretFile(Path("none")).status()));
  const std::string theirs = Write("theirs", "secret", 0600);
  if (chown(theirs.c_str(), 65534, 65534) != 0) return;
  EXPECT_THAT(std::string(privacy(theirs).message()),
              HasSubstr("belongs to user 65534"));
}

// As where a shell gives a program's output.
TEST_F(SecretFileTest, APipeIsNobodyElses) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const net::UniqueFd reading(ends[0]);
  net::UniqueFd writing(ends[1]);
  ASSERT_EQ(write(writing.get(), "secret", 6), 6);
  writing.Reset();
  const absl::StatusOr<SecretFile> file =
      ReadSecretFile(absl::StrCat("/dev/fd/", reading.get()));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->content, "secret");
  EXPECT_TRUE(file->privacy.ok());
}

}  // namespace
}  // namespace cordon::tools
