#include "cordon/tools/cordonctl/line_diff.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace cordon::tools::ctl {
namespace {

using Lines = std::vector<absl::string_view>;

struct Line {
  char sign;  // '-', '+' or ' '
  absl::string_view text;
};

// Beyond this the table of the common subsequence takes too much: revocation
// lists have many thousand lines.
constexpr size_t kLargestTable = 4'000'000;

Lines Split(absl::string_view text) {
  if (text.empty()) return {};
  return absl::StrSplit(absl::StripSuffix(text, "\n"), '\n');
}

// Of two parts that neither begin nor end with the same line.
void CompareMiddle(const Lines& before, const Lines& after,
                   std::vector<Line>* lines) {
  const size_t columns = after.size() + 1;
  // Only all as one block, if it is too much.
  const bool too_large = (before.size() + 1) * columns > kLargestTable;
  // longest[i * columns + j]: of before[i...] and after[j...], how many lines
  // they have in common, in order.
  std::vector<uint32_t> longest(too_large ? 0 : (before.size() + 1) * columns);
  const auto at = [&](size_t i, size_t j) -> uint32_t& {
    return longest[i * columns + j];
  };
  if (!too_large) {
    for (size_t i = before.size(); i-- > 0;) {
      for (size_t j = after.size(); j-- > 0;) {
        at(i, j) = before[i] == after[j] ? at(i + 1, j + 1) + 1
                                         : std::max(at(i + 1, j), at(i, j + 1));
      }
    }
  }
  size_t i = 0;
  size_t j = 0;
  while (i < before.size() || j < after.size()) {
    if (i < before.size() && j < after.size() && !too_large &&
        before[i] == after[j]) {
      lines->push_back({' ', before[i]});
      ++i;
      ++j;
    } else if (i < before.size() && (j == after.size() || too_large ||
                                     at(i + 1, j) >= at(i, j + 1))) {
      lines->push_back({'-', before[i++]});
    } else {
      lines->push_back({'+', after[j++]});
    }
  }
}

std::vector<Line> Compare(const Lines& before, const Lines& after) {
  std::vector<Line> lines;
  size_t begin = 0;
  while (begin < before.size() && begin < after.size() &&
         before[begin] == after[begin]) {
    lines.push_back({' ', before[begin++]});
  }
  size_t end = 0;
  while (begin + end < before.size() && begin + end < after.size() &&
         before[before.size() - 1 - end] == after[after.size() - 1 - end]) {
    ++end;
  }
  const auto middle = [begin, end](const Lines& all) {
    return Lines(all.begin() + static_cast<std::ptrdiff_t>(begin),
                 all.end() - static_cast<std::ptrdiff_t>(end));
  };
  CompareMiddle(middle(before), middle(after), &lines);
  for (size_t i = before.size() - end; i < before.size(); ++i) {
    lines.push_back({' ', before[i]});
  }
  return lines;
}

}  // namespace

std::string LineDiff(absl::string_view before, absl::string_view after,
                     const Style& style, size_t context) {
  const std::vector<Line> lines = Compare(Split(before), Split(after));
  std::vector<bool> shown(lines.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].sign == ' ') continue;
    const size_t first = i < context ? 0 : i - context;
    for (size_t j = first; j < std::min(lines.size(), i + context + 1); ++j) {
      shown[j] = true;
    }
  }
  if (std::find(shown.begin(), shown.end(), true) == shown.end()) return "";
  std::string text;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (shown[i]) {
      const Colour colour = lines[i].sign == '-'   ? Colour::kRed
                            : lines[i].sign == '+' ? Colour::kGreen
                                                   : Colour::kPlain;
      absl::StrAppend(
          &text,
          style.In(colour, absl::StrCat(std::string(1, lines[i].sign), " ",
                                        lines[i].text)),
          "\n");
    } else if (i == 0 || shown[i - 1]) {
      absl::StrAppend(&text, style.In(Colour::kDim, "  ..."), "\n");
    }
  }
  return text;
}

}  // namespace cordon::tools::ctl
