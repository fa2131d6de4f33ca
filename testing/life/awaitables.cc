#include "cordon/testing/life/awaitables.h"

#include <regex>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace cordon::testing {
namespace {

// The headers' code, on one line for each statement or brace.
std::vector<std::string> Statements(absl::string_view header) {
  std::string code;
  for (absl::string_view line : absl::StrSplit(header, '\n')) {
    if (absl::StartsWith(line, "#")) continue;
    absl::StrAppend(&code, line.substr(0, line.find("//")), " ");
  }
  std::vector<std::string> statements(1);
  for (char c : code) {
    statements.back().push_back(c);
    const bool access =
        c == ':' && (absl::EndsWith(statements.back(), "private:") ||
                     absl::EndsWith(statements.back(), "protected:") ||
                     absl::EndsWith(statements.back(), "public:"));
    if (c == ';' || c == '{' || c == '}' || access) statements.emplace_back();
  }
  return statements;
}

struct Block {
  // Of a type; empty for everything else.
  std::string type;
  bool hidden = false;
};

}  // namespace

std::set<std::string> AwaitablesOf(absl::string_view header) {
  static const auto* const type = new std::regex(
      R"(\b(?:class|struct)\s+(?:\[\[\w+\]\]\s+)?(\w+)[^()]*\{)");
  static const auto* const function =
      new std::regex(R"(\bTask<[^()]*>\s+(\w+)\()");
  static const auto* const alias =
      new std::regex(R"(\busing\s+(\w+)\s*=\s*std::function<\s*net::Task<)");
  std::set<std::string> found;
  std::vector<Block> blocks;
  const auto add = [&](absl::string_view name) {
    std::vector<std::string> path;
    for (const Block& block : blocks) {
      if (block.hidden) return;
      if (!block.type.empty()) path.push_back(block.type);
    }
    if (!name.empty()) path.emplace_back(name);
    found.insert(absl::StrJoin(path, "::"));
  };
  for (const std::string& statement : Statements(header)) {
    std::smatch match;
    if (std::regex_search(statement, match, *function) &&
        !absl::StrContains(statement, " override")) {
      add(match[1].str());
    }
    if (std::regex_search(statement, match, *alias)) add(match[1].str());
    if (absl::StrContains(statement, " await_suspend(")) add("");
    if (absl::EndsWith(statement, "private:") ||
        absl::EndsWith(statement, "protected:")) {
      if (!blocks.empty()) blocks.back().hidden = true;
    } else if (absl::EndsWith(statement, "public:")) {
      if (!blocks.empty()) blocks.back().hidden = false;
    } else if (absl::EndsWith(statement, "{")) {
      Block block;
      if (std::regex_search(statement, match, *type)) block.type = match[1];
      blocks.push_back(block);
    } else if (absl::EndsWith(statement, "}") && !blocks.empty()) {
      blocks.pop_back();
    }
  }
  return found;
}

}  // namespace cordon::testing
