#include "cordon/dtls/control/file_stamp.h"

#include <filesystem>
#include <string>
#include <vector>

#include "cordon/testing/process/process.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

class FileStampTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const {
    return folder_.path() + "/" + name;
  }
  const testing::TemporaryFolder folder_;
};

TEST_F(FileStampTest, WhatDoesNotChangeHasTheSame) {
  const std::string path = folder_.Write("file", "content");
  EXPECT_EQ(StampsOf(path), StampsOf(path));
  EXPECT_EQ(StampsOf(folder_.path()), StampsOf(folder_.path()));
  EXPECT_EQ(StampsOf(Path("none")), StampsOf(Path("none")));
  EXPECT_NE(StampsOf(path), StampsOf(Path("none")));
}

TEST_F(FileStampTest, AReplacedFileAndASwappedLinkShow) {
  const std::string path = folder_.Write("file", "content");
  const std::vector<FileStamp> before = StampsOf(path);
  std::filesystem::rename(folder_.Write("new", "content"), path);
  EXPECT_NE(StampsOf(path), before);
  std::filesystem::create_symlink(path, Path("link"));
  const std::vector<FileStamp> linked = StampsOf(Path("link"));
  std::filesystem::remove(Path("link"));
  std::filesystem::create_symlink(folder_.Write("other", "content"),
                                  Path("link"));
  EXPECT_NE(StampsOf(Path("link")), linked);
}

TEST_F(FileStampTest, WhatChangesInAFolderShows) {
  std::filesystem::create_directory(Path("folder"));
  folder_.Write("folder/a", "content");
  std::vector<FileStamp> before = StampsOf(Path("folder"));
  // In its place, which leaves the folder as it is.
  folder_.Write("folder/a", "other content");
  EXPECT_NE(StampsOf(Path("folder")), before);
  before = StampsOf(Path("folder"));
  folder_.Write("folder/b", "");
  EXPECT_NE(StampsOf(Path("folder")), before);
  before = StampsOf(Path("folder"));
  std::filesystem::rename(Path("folder/b"), Path("folder/c"));
  EXPECT_NE(StampsOf(Path("folder")), before);
}

TEST_F(FileStampTest, SeveralPathsAreSeenTogether) {
  const std::string one = folder_.Write("one", "1");
  const std::string other = folder_.Write("other", "1");
  const std::vector<FileStamp> before =
      StampsOf(std::vector<std::string>{one, other});
  EXPECT_EQ(before.size(), 2U);
  folder_.Write("other", "22");
  EXPECT_NE(StampsOf(std::vector<std::string>{one, other}), before);
}

}  // namespace
}  // namespace cordon::dtls::control
