// Runs a fuzz target on each file of a folder, as a case of its own: what
// libFuzzer does with a corpus, for compilers that do not have it.
//
//   handshake_fuzz FOLDER
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

namespace fs = std::filesystem;

class Replay : public ::testing::Test {
 public:
  explicit Replay(fs::path path) : path_(std::move(path)) {}

  void TestBody() override {
    std::ifstream file(path_, std::ios::binary);
    ASSERT_TRUE(file.is_open()) << path_;
    const std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)),
                                     std::istreambuf_iterator<char>());
    EXPECT_EQ(LLVMFuzzerTestOneInput(bytes.data(), bytes.size()), 0);
  }

 private:
  const fs::path path_;
};

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(argv[1])) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fprintf(stderr, "%s has no files\n", argv[1]);
    return 2;
  }
  for (const fs::path& path : files) {
    ::testing::RegisterTest("Replay", path.filename().c_str(), nullptr, nullptr,
                            __FILE__, __LINE__,
                            [path]() -> Replay* { return new Replay(path); });
  }
  return RUN_ALL_TESTS();
}
