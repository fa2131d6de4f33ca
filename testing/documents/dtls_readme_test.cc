// dtls/README.md is true: every Qt member is in it, every name of ours exists,
// and its examples are those that are tested.
#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cordon/dtls/error.h"
#include "cordon/testing/documents/declarations.h"
#include "cordon/testing/documents/markdown.h"
#include "cordon/testing/process/process.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kReadme[] = "dtls/README.md";
constexpr char kFromQt[] = "From Qt to Cordon";
constexpr char kOtherwise[] = "Where Cordon does otherwise, and why";

const Markdown& Readme() {
  static const auto* const readme =
      new Markdown(ReadMarkdown(Runfile(kReadme)));
  return *readme;
}

// The folder of the sources, found through the document, which is a link into
// them.
fs::path Root() {
  return fs::canonical(Runfile(kReadme)).parent_path().parent_path();
}

const Declarations& PublicHeaders() {
  static const auto* const headers = [] {
    std::vector<fs::path> paths = HeadersBelow(Root() / "dtls");
    for (fs::path& path : HeadersBelow(Root() / "net")) {
      paths.push_back(std::move(path));
    }
    return new Declarations(paths);
  }();
  return *headers;
}

// The lines of a list, without comments.
std::vector<std::string> Entries(const std::string& path) {
  std::vector<std::string> entries;
  for (absl::string_view line :
       absl::StrSplit(ReadText(Runfile(path)), '\n', absl::SkipWhitespace())) {
    if (!absl::StartsWith(line, "#")) entries.emplace_back(line);
  }
  return entries;
}

std::vector<std::string> QtMembers() {
  return Entries("testing/documents/qt_members.txt");
}

std::vector<const Table*> TablesOf(const std::string& section,
                                   const std::string& first_header) {
  std::vector<const Table*> tables;
  for (const Table& table : Readme().tables) {
    if (table.section == section && table.header[0] == first_header) {
      tables.push_back(&table);
    }
  }
  return tables;
}

// The members that stand in the left column.
std::multiset<std::string> MembersInReadme() {
  std::multiset<std::string> members;
  for (const Table* table : TablesOf(kFromQt, "Qt")) {
    for (const std::vector<std::string>& row : table->rows) {
      for (std::string& word : CodeWords(row[0])) {
        members.insert(std::move(word));
      }
    }
  }
  return members;
}

// "kInvalidArgument" and its like.
bool IsStatusCode(const std::string& name) {
  for (int code = 0; code <= 16; ++code) {
    std::string camel = "k";
    for (const std::string& word : std::vector<std::string>(absl::StrSplit(
             absl::StatusCodeToString(static_cast<absl::StatusCode>(code)),
             '_'))) {
      absl::StrAppend(&camel, word.substr(0, 1),
                      absl::AsciiStrToLower(word.substr(1)));
    }
    if (camel == name) return true;
  }
  return false;
}

bool Exists(const std::string& name) {
  return PublicHeaders().Has(name) || IsStatusCode(name) ||
         dtls::ParseVerificationErrorId(name).ok();
}

// --- Qt ----------------------------------------------------------------------

TEST(DtlsReadmeTest, HasEachQtMemberOnce) {
  const std::multiset<std::string> found = MembersInReadme();
  const std::vector<std::string> members = QtMembers();
  EXPECT_GT(members.size(), 150U);
  for (const std::string& member : members) {
    EXPECT_EQ(found.count(member), 1U) << member;
  }
}

TEST(DtlsReadmeTest, NamesNoQtMemberThatIsNotListed) {
  const std::vector<std::string> members = QtMembers();
  for (const std::string& member : MembersInReadme()) {
    EXPECT_EQ(std::count(members.begin(), members.end(), member), 1) << member;
  }
}

TEST(DtlsReadmeTest, SaysWhatTakesThePlaceOfEachMember) {
  for (const Table* table : TablesOf(kFromQt, "Qt")) {
    for (const std::vector<std::string>& row : table->rows) {
      ASSERT_EQ(row.size(), table->header.size()) << row[0];
      EXPECT_FALSE(CodeWords(row[0]).empty()) << row[0];
      EXPECT_TRUE(!CodeWords(row[1]).empty() ||
                  (absl::StartsWith(row[1], "None: ") && row[1].size() > 10))
          << row[0] << ": \"" << row[1] << "\"";
    }
  }
}

// --- Our names ---------------------------------------------------------------

// All columns but those that speak of Qt, or of an id.
TEST(DtlsReadmeTest, EachNameInATableExists) {
  size_t names = 0;
  for (const Table& table : Readme().tables) {
    if (table.header[0] == "Header") continue;
    for (const std::vector<std::string>& row : table.rows) {
      for (size_t i = 0; i < row.size() && i < table.header.size(); ++i) {
        if (absl::StrContains(table.header[i], "Qt")) continue;
        for (const std::string& name : CodeWords(row[i])) {
          ++names;
          EXPECT_TRUE(Exists(name)) << name << " in the row of " << row[0];
        }
      }
    }
  }
  EXPECT_GT(names, 200U);
}

TEST(DtlsReadmeTest, EachQualifiedNameInTheTextExists) {
  size_t names = 0;
  for (absl::string_view line : absl::StrSplit(Readme().prose, '\n')) {
    if (absl::StartsWith(line, "|")) continue;
    for (const std::string& name : CodeWords(line)) {
      if (!absl::StrContains(name, "::") || absl::EndsWith(name, "::"))
        continue;
      ++names;
      EXPECT_TRUE(Exists(name)) << name << " in: " << line;
    }
  }
  EXPECT_GT(names, 20U);
}

TEST(DtlsReadmeTest, ANameThatDoesNotExistWouldBeFound) {
  for (const char* name : {"Connection::doHandshake", "QDtls", "kNoSuchStatus",
                           "Connection::session_", "no_such_error"}) {
    EXPECT_FALSE(Exists(name)) << name;
  }
}

TEST(DtlsReadmeTest, SaysWhatEachHeaderIsFor) {
  std::vector<std::string> explained;
  for (const Table& table : Readme().tables) {
    if (table.header[0] != "Header") continue;
    for (const std::vector<std::string>& row : table.rows) {
      for (std::string& word : CodeWords(row[0])) {
        explained.push_back(std::move(word));
      }
    }
  }
  std::vector<std::string> headers;
  for (const auto& entry : fs::directory_iterator(Root() / "dtls")) {
    if (entry.path().extension() == ".h") {
      headers.push_back(entry.path().filename().string());
    }
  }
  std::sort(explained.begin(), explained.end());
  std::sort(headers.begin(), headers.end());
  EXPECT_EQ(explained, headers);
}

TEST(DtlsReadmeTest, NamesEachVerificationErrorAndItsId) {
  const std::vector<std::string> words = CodeWords(Readme().prose);
  for (int i = 0; i <= static_cast<int>(dtls::kLastVerificationErrorCode);
       ++i) {
    const std::string id(
        dtls::VerificationErrorId(static_cast<dtls::VerificationErrorCode>(i)));
    EXPECT_EQ(std::count(words.begin(), words.end(), id), 1) << id;
  }
}

// --- Where Cordon does otherwise ---------------------------------------------

TEST(DtlsReadmeTest, ExplainsEachDivergenceFromQt) {
  std::vector<std::string> expected;
  for (const std::string& id : Entries("testing/acceptance/part_a.txt")) {
    if (absl::StartsWith(id, "QB") || id == "QF7" || id == "QF11" ||
        id == "QF23" || id == "QV1") {
      expected.push_back(id);
    }
  }
  EXPECT_EQ(expected.size(), 20U);
  std::vector<std::string> explained;
  for (const Table* table : TablesOf(kOtherwise, "Id")) {
    for (const std::vector<std::string>& row : table->rows) {
      ASSERT_EQ(row.size(), 3U) << row[0];
      explained.push_back(row[0]);
      EXPECT_GT(row[1].size(), 20U) << row[0];
      EXPECT_GT(row[2].size(), 20U) << row[0];
    }
  }
  std::sort(expected.begin(), expected.end());
  std::sort(explained.begin(), explained.end());
  EXPECT_EQ(explained, expected);
}

// --- Examples ----------------------------------------------------------------

// Without indentation, and without empty lines at the ends.
std::string Flat(std::vector<std::string> lines) {
  for (std::string& line : lines) absl::StripAsciiWhitespace(&line);
  return absl::StrCat("\n", absl::StrJoin(lines, "\n"), "\n");
}

TEST(DtlsReadmeTest, EachExampleStandsInTheTest) {
  const std::string tested = Flat(
      absl::StrSplit(ReadText(Runfile("dtls/readme_examples_test.cc")), '\n'));
  size_t examples = 0;
  for (const CodeBlock& block : Readme().blocks) {
    if (block.language != "cpp") continue;
    ++examples;
    EXPECT_TRUE(absl::StrContains(tested, Flat(block.lines)))
        << kReadme << ":" << block.line << ": " << block.lines[0];
  }
  EXPECT_GE(examples, 8U);
}

}  // namespace
}  // namespace cordon::testing
