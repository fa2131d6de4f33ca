// CONTRIBUTING.md is true as far as a test can tell, and no document names a
// file that is not there.
#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cordon/testing/documents/declarations.h"
#include "cordon/testing/documents/markdown.h"
#include "cordon/testing/process/process.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

namespace fs = std::filesystem;

// The folder of the sources, found through a document, which is a link into
// them.
fs::path Root() { return fs::canonical(Runfile("README.md")).parent_path(); }

const Markdown& Contributing() {
  static const auto* const document =
      new Markdown(ReadMarkdown(Runfile("CONTRIBUTING.md")));
  return *document;
}

std::vector<std::string> LinesOf(const fs::path& path) {
  return absl::StrSplit(ReadText(path), '\n');
}

// What follows `prefix` in the lines that begin with it, up to a space, a colon
// or a bracket.
std::set<std::string> NamesAfter(const fs::path& path,
                                 absl::string_view prefix) {
  std::set<std::string> names;
  for (const std::string& line : LinesOf(path)) {
    absl::string_view rest = line;
    if (!absl::ConsumePrefix(&rest, prefix)) continue;
    names.emplace(rest.substr(0, rest.find_first_of(" :(")));
  }
  return names;
}

TEST(ContributingTest, NamesTheStepsOfTheContinuousIntegration) {
  std::vector<std::string> steps;
  for (absl::string_view line : LinesOf(Root() / ".ci/run")) {
    if (absl::ConsumePrefix(&line, "run_counting ") ||
        absl::ConsumePrefix(&line, "run_program ")) {
      steps.emplace_back(line);
    } else if (absl::ConsumePrefix(&line, "step tools/")) {
      steps.push_back(absl::StrCat("tools/", line));
    }
  }
  EXPECT_GT(steps.size(), 5U);
  const std::vector<CodeBlock>& blocks = Contributing().blocks;
  EXPECT_TRUE(
      std::any_of(blocks.begin(), blocks.end(),
                  [&](const CodeBlock& block) { return block.lines == steps; }))
      << "no block has the " << steps.size() << " steps of .ci/run";
}

TEST(ContributingTest, NamesTheConfigurations) {
  std::set<std::string> told;
  for (const Table& table : Contributing().tables) {
    if (table.header[0] != "Config") continue;
    for (const std::vector<std::string>& row : table.rows) {
      for (std::string& word : CodeWords(row[0])) told.insert(std::move(word));
    }
  }
  EXPECT_FALSE(told.empty());
  EXPECT_EQ(told, NamesAfter(Root() / ".bazelrc", "build:"));
}

TEST(ContributingTest, NamesTheRules) {
  std::set<std::string> told;
  for (std::string& word : CodeWords(Contributing().prose)) {
    if (absl::StartsWith(word, "cordon_")) told.insert(std::move(word));
  }
  EXPECT_FALSE(told.empty());
  EXPECT_EQ(told, NamesAfter(Root() / "third_party/cordon.bzl", "def "));
}

TEST(ContributingTest, OnlyThirdPartyNamesLibrariesOfTheSystem) {
  size_t files = 0;
  for (const char* folder : {"dtls", "net", "testing", "tools"}) {
    for (const auto& entry :
         fs::recursive_directory_iterator(Root() / folder)) {
      // The other implementations, which we are tested against.
      const fs::path package = entry.path().parent_path().filename();
      if (entry.path().filename() != "BUILD" || package == "interop" ||
          package == "peers") {
        continue;
      }
      ++files;
      EXPECT_FALSE(absl::StrContains(ReadText(entry.path()), "\"-l"))
          << entry.path();
    }
  }
  EXPECT_GT(files, 15U);
}

// A test without threads has nothing for the thread sanitizer, which the
// continuous integration gives only those with the tag.
TEST(ContributingTest, TestsWithThreadsAreTagged) {
  constexpr absl::string_view kSigns[] = {
      "std::thread", "ReactorThread", "ReactorGroup", "absl::Mutex", "grpc::"};
  size_t with_threads = 0;
  for (const char* folder : {"dtls", "net", "testing/control"}) {
    for (const auto& entry :
         fs::recursive_directory_iterator(Root() / folder)) {
      const std::string name = entry.path().stem();
      if (entry.path().extension() != ".cc" || !absl::EndsWith(name, "_test")) {
        continue;
      }
      const std::string source = ReadText(entry.path());
      if (std::none_of(std::begin(kSigns), std::end(kSigns),
                       [&](absl::string_view sign) {
                         return absl::StrContains(source, sign);
                       })) {
        continue;
      }
      ++with_threads;
      const std::string rules = ReadText(entry.path().parent_path() / "BUILD");
      for (absl::string_view rule : absl::StrSplit(rules, "\n\n")) {
        if (absl::StrContains(rule, absl::StrCat("\"", name, "\""))) {
          EXPECT_TRUE(absl::StrContains(rule, "\"threads\"")) << entry.path();
        }
      }
    }
  }
  EXPECT_GT(with_threads, 15U);
}

// --- All documents -----------------------------------------------------------

// Words that look like a path of ours.
bool IsPath(const std::string& word) {
  const size_t slash = word.find('/');
  if (slash == std::string::npos || absl::StrContains(word, "//")) return false;
  const std::string folder = word.substr(0, slash);
  return folder == ".ci" || folder == "dtls" || folder == "net" ||
         folder == "testing" || folder == "third_party" || folder == "tools";
}

class DocumentTest : public ::testing::TestWithParam<std::string> {};

TEST_P(DocumentTest, EachFileThatItNamesExists) {
  const Markdown document = ReadMarkdown(Runfile(GetParam()));
  std::vector<std::string> words;
  for (const std::string& word : CodeWords(document.prose)) {
    words.push_back(word.substr(0, word.find(' ')));
  }
  for (const CodeBlock& block : document.blocks) {
    if (block.language != "sh") continue;
    for (const std::string& line : block.lines) {
      for (absl::string_view word : absl::StrSplit(line, ' ')) {
        words.emplace_back(word);
      }
    }
  }
  size_t paths = 0;
  for (const std::string& word : words) {
    if (!IsPath(word)) continue;
    ++paths;
    EXPECT_TRUE(fs::exists(Root() / word)) << word;
  }
  EXPECT_GT(paths, 0U);
}

TEST_P(DocumentTest, ItsLinksLeadSomewhere) {
  const Markdown document = ReadMarkdown(Runfile(GetParam()));
  const fs::path folder = (Root() / GetParam()).parent_path();
  std::set<std::string> anchors;
  for (const std::string& heading : document.headings) {
    anchors.insert(absl::StrCat("#", AnchorOf(heading)));
  }
  for (const std::string& link : Links(document.prose)) {
    EXPECT_TRUE(anchors.contains(link) || fs::exists(folder / link)) << link;
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& document) {
  return absl::StrReplaceAll(document.param, {{"/", "_"}, {".md", ""}});
}
INSTANTIATE_TEST_SUITE_P(All, DocumentTest,
                         ::testing::Values("README.md", "CONTRIBUTING.md",
                                           "dtls/README.md",
                                           "net/PERFORMANCE.md"),
                         NameOf);

}  // namespace
}  // namespace cordon::testing
