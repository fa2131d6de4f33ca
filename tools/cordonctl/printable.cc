#include "cordon/tools/cordonctl/printable.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace cordon::tools::ctl {
namespace {

using ::cordon::net::Character;
using ::cordon::net::FirstCharacter;
using ::cordon::net::IsPrintable;

struct Range {
  uint32_t first;
  uint32_t last;
};

constexpr Range kCombining[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x064b, 0x065f},
    {0x0e31, 0x0e31}, {0x0e34, 0x0e3a}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},
    {0x20d0, 0x20ff}, {0xfe20, 0xfe2f}};

constexpr Range kWide[] = {
    {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},
    {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
    {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
    {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

template <size_t kSize>
bool In(const Range (&ranges)[kSize], uint32_t code_point) {
  for (const Range& range : ranges) {
    if (code_point >= range.first && code_point <= range.last) return true;
  }
  return false;
}

size_t WidthOf(uint32_t code_point) {
  if (In(kCombining, code_point)) return 0;
  return In(kWide, code_point) ? 2 : 1;
}

}  // namespace

std::string PrintableJson(absl::string_view json) {
  std::string printable;
  while (!json.empty()) {
    const Character next = FirstCharacter(json);
    const size_t size = next.size == 0 ? 1 : next.size;
    if (next.size == 0) {
      printable += "\\ufffd";
    } else if (next.code_point >= 0x10000 && !IsPrintable(next.code_point)) {
      const uint32_t rest = next.code_point - 0x10000;
      absl::StrAppendFormat(&printable, "\\u%04x\\u%04x", 0xd800 + (rest >> 10),
                            0xdc00 + (rest & 0x3ff));
    } else if (next.code_point >= 0x7f && !IsPrintable(next.code_point)) {
      absl::StrAppendFormat(&printable, "\\u%04x", next.code_point);
    } else {
      // JSON has no control characters below 0x20 but those of its layout.
      absl::StrAppend(&printable, json.substr(0, size));
    }
    json.remove_prefix(size);
  }
  return printable;
}

size_t DisplayWidth(absl::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const Character next = FirstCharacter(text);
    width += next.size == 0 ? 1 : WidthOf(next.code_point);
    text.remove_prefix(next.size == 0 ? 1 : next.size);
  }
  return width;
}

std::string Shortened(absl::string_view text, size_t width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width == 0) return "";
  std::string shortened;
  size_t used = 1;  // the ellipsis
  while (!text.empty()) {
    const Character next = FirstCharacter(text);
    const size_t size = next.size == 0 ? 1 : next.size;
    used += next.size == 0 ? 1 : WidthOf(next.code_point);
    if (used > width) break;
    absl::StrAppend(&shortened, text.substr(0, size));
    text.remove_prefix(size);
  }
  return absl::StrCat(shortened, "…");
}

}  // namespace cordon::tools::ctl
