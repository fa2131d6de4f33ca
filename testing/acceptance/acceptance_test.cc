// Every row of the acceptance list has a test that carries its id.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "cordon/testing/process/process.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kList[] = "testing/acceptance/part_a.txt";
constexpr char kAttacks[] = "testing/acceptance/part_b.txt";
// Split, so that this line is no mark itself.
constexpr char kMark[] =
    "ACCEPT"
    "ANCE:";

std::string Read(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> Lines(const std::string& list) {
  std::vector<std::string> lines;
  for (absl::string_view line :
       absl::StrSplit(Read(Runfile(list)), '\n', absl::SkipWhitespace())) {
    if (!absl::StartsWith(line, "#")) lines.emplace_back(line);
  }
  return lines;
}

const std::vector<std::string>& Ids() {
  static const auto* const ids = new std::vector<std::string>(Lines(kList));
  return *ids;
}

const std::vector<std::string>& AttackIds() {
  static const auto* const ids = new std::vector<std::string>(Lines(kAttacks));
  return *ids;
}

// Attacks whose rows no test carries yet. It may only become shorter.
const std::set<std::string>& NotMarkedYet() {
  static const auto* const ids = new std::set<std::string>{};
  return *ids;
}

// Where each id stands, "file:line". The sources are found through the list,
// which is a link into them.
const std::map<std::string, std::vector<std::string>>& Marks() {
  static const auto* const marks = [] {
    auto* found = new std::map<std::string, std::vector<std::string>>;
    const fs::path root =
        fs::canonical(Runfile(kList)).parent_path().parent_path().parent_path();
    for (const char* folder : {"dtls", "net", "testing", "tools"}) {
      for (const auto& entry :
           fs::recursive_directory_iterator(root / folder)) {
        const std::string name = entry.path().filename().string();
        if (!entry.is_regular_file() || !(absl::EndsWith(name, "_test.cc") ||
                                          absl::EndsWith(name, "_test.sh"))) {
          continue;
        }
        int number = 0;
        for (absl::string_view line :
             absl::StrSplit(Read(entry.path()), '\n')) {
          ++number;
          const size_t at = line.find(kMark);
          if (at == absl::string_view::npos) continue;
          for (absl::string_view id :
               absl::StrSplit(line.substr(at + sizeof(kMark) - 1),
                              absl::ByAnyChar(",: "), absl::SkipEmpty())) {
            if (id.size() < 3 || !absl::ascii_isupper(id[0]) ||
                !absl::ascii_isupper(id[1]) || !absl::ascii_isdigit(id[2])) {
              break;  // A sentence follows.
            }
            (*found)[std::string(id)].push_back(entry.path().string() + ":" +
                                                std::to_string(number));
          }
        }
      }
    }
    return found;
  }();
  return *marks;
}

class AcceptanceTest : public ::testing::TestWithParam<std::string> {};

TEST_P(AcceptanceTest, HasATest) {
  EXPECT_TRUE(Marks().contains(GetParam()))
      << "no test carries \"// " << kMark << " " << GetParam() << "\"";
}

std::string IdOf(const ::testing::TestParamInfo<std::string>& info) {
  return info.param;
}
INSTANTIATE_TEST_SUITE_P(PartA, AcceptanceTest, ::testing::ValuesIn(Ids()),
                         IdOf);

class AttackTest : public ::testing::TestWithParam<std::string> {};

TEST_P(AttackTest, HasATestOrIsKnownToHaveNone) {
  EXPECT_NE(Marks().contains(GetParam()), NotMarkedYet().contains(GetParam()))
      << "either a test carries \"// " << kMark << " " << GetParam()
      << "\", or it stands among those that have none yet";
}

INSTANTIATE_TEST_SUITE_P(PartB, AttackTest, ::testing::ValuesIn(AttackIds()),
                         IdOf);

TEST(AcceptanceListTest, IsWholeForAttacks) {
  EXPECT_EQ(AttackIds().size(), 11U + 12 + 12 + 6 + 7);
  EXPECT_EQ(
      std::set<std::string>(AttackIds().begin(), AttackIds().end()).size(),
      AttackIds().size());
}

TEST(AcceptanceListTest, IsWhole) {
  EXPECT_EQ(Ids().size(), 5U + 24 + 10 + 11 + 16 + 17 + 5);
  EXPECT_EQ(std::set<std::string>(Ids().begin(), Ids().end()).size(),
            Ids().size());
}

// A slip of the pen would hide a row.
TEST(AcceptanceListTest, KnowsEveryMark) {
  for (const auto& [id, places] : Marks()) {
    const auto& list = id[0] == 'H' ? AttackIds() : Ids();
    EXPECT_NE(std::find(list.begin(), list.end(), id), list.end())
        << id << " at " << places.front();
  }
}

}  // namespace
}  // namespace cordon::testing
