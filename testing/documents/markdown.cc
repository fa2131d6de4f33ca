#include "cordon/testing/documents/markdown.h"

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace cordon::testing {
namespace {

constexpr absl::string_view kFence = "```";

std::vector<std::string> Cells(absl::string_view line) {
  absl::ConsumePrefix(&line, "|");
  absl::ConsumeSuffix(&line, "|");
  std::vector<std::string> cells;
  for (absl::string_view cell : absl::StrSplit(line, '|')) {
    cells.emplace_back(absl::StripAsciiWhitespace(cell));
  }
  return cells;
}

// All texts between `open` and `close`.
std::vector<std::string> Between(absl::string_view text, absl::string_view open,
                                 absl::string_view close) {
  std::vector<std::string> found;
  while (true) {
    const size_t begin = text.find(open);
    if (begin == absl::string_view::npos) return found;
    text.remove_prefix(begin + open.size());
    const size_t end = text.find(close);
    if (end == absl::string_view::npos) return found;
    found.emplace_back(text.substr(0, end));
    text.remove_prefix(end + close.size());
  }
}

}  // namespace

Markdown ParseMarkdown(absl::string_view text) {
  Markdown result;
  std::string section;
  CodeBlock block;
  bool in_block = false;
  bool in_table = false;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (absl::StartsWith(line, kFence)) {
      if (in_block) {
        result.blocks.push_back(std::exchange(block, {}));
      } else {
        block.language = std::string(line.substr(kFence.size()));
        block.section = section;
        block.line = number;
      }
      in_block = !in_block;
      in_table = false;
      continue;
    }
    if (in_block) {
      block.lines.emplace_back(line);
      continue;
    }
    absl::StrAppend(&result.prose, line, "\n");
    if (absl::StartsWith(line, "#")) {
      const absl::string_view heading =
          absl::StripAsciiWhitespace(line.substr(line.find_first_not_of('#')));
      if (absl::StartsWith(line, "## ")) section = std::string(heading);
      result.headings.emplace_back(heading);
    }
    if (!absl::StartsWith(line, "|")) {
      in_table = false;
    } else if (!in_table) {
      in_table = true;
      result.tables.push_back({Cells(line), {}, section});
    } else if (!absl::StartsWith(line, "|-")) {
      result.tables.back().rows.push_back(Cells(line));
    }
  }
  return result;
}

Markdown ReadMarkdown(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return ParseMarkdown(text.str());
}

std::vector<std::string> CodeWords(absl::string_view text) {
  return Between(text, "`", "`");
}

std::vector<std::string> Links(absl::string_view text) {
  return Between(text, "](", ")");
}

std::string AnchorOf(absl::string_view heading) {
  std::string anchor;
  for (char c : heading) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-') {
      anchor.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
    } else if (c == ' ') {
      anchor.push_back('-');
    }
  }
  return anchor;
}

}  // namespace cordon::testing
