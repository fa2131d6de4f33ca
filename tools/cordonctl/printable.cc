#include "cordon/tools/cordonctl/printable.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace cordon::tools::ctl {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

// Other than the control characters.
constexpr Range kInvisible[] = {
    {0x00ad, 0x00ad},   {0x034f, 0x034f}, {0x061c, 0x061c}, {0x115f, 0x1160},
    {0x17b4, 0x17b5},   {0x180b, 0x180f}, {0x200b, 0x200f}, {0x2028, 0x202e},
    {0x2060, 0x206f},   {0x3164, 0x3164}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff},
    {0xffa0, 0xffa0},   {0xfff0, 0xfffb}, {0xe000, 0xf8ff}, {0x1d173, 0x1d17a},
    {0xe0000, 0x10ffff}};

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

bool MustBeEscaped(uint32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) ||
         In(kInvisible, code_point);
}

struct Decoded {
  uint32_t code_point = 0;
  size_t size = 0;  // 0: no valid UTF-8 begins here
};

Decoded Decode(absl::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  const size_t size = byte(0) >= 0xf0 && byte(0) < 0xf5   ? 4
                      : byte(0) >= 0xe0 && byte(0) < 0xf0 ? 3
                      : byte(0) >= 0xc2 && byte(0) < 0xe0 ? 2
                                                          : 0;
  if (size == 0 || text.size() < size) return {};
  uint32_t code_point = byte(0) & (0xffU >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code_point = code_point << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code_point < kSmallest[size] || code_point > 0x10ffff ||
      (code_point >= 0xd800 && code_point < 0xe000)) {
    return {};
  }
  return {code_point, size};
}

std::string Escape(uint32_t code_point) {
  switch (code_point) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return code_point < 0x80 ? absl::StrFormat("\\x%02x", code_point)
                               : absl::StrFormat("\\u{%x}", code_point);
  }
}

size_t WidthOf(uint32_t code_point) {
  if (In(kCombining, code_point)) return 0;
  return In(kWide, code_point) ? 2 : 1;
}

}  // namespace

std::string Printable(absl::string_view text) {
  std::string printable;
  while (!text.empty()) {
    const Decoded next = Decode(text);
    if (next.size == 0) {
      absl::StrAppendFormat(&printable, "\\x%02x",
                            static_cast<uint8_t>(text[0]));
      text.remove_prefix(1);
      continue;
    }
    if (next.code_point == '\\') {
      printable += "\\\\";
    } else if (MustBeEscaped(next.code_point)) {
      printable += Escape(next.code_point);
    } else {
      absl::StrAppend(&printable, text.substr(0, next.size));
    }
    text.remove_prefix(next.size);
  }
  return printable;
}

std::string PrintableJson(absl::string_view json) {
  std::string printable;
  while (!json.empty()) {
    const Decoded next = Decode(json);
    const size_t size = next.size == 0 ? 1 : next.size;
    if (next.size == 0) {
      printable += "\\ufffd";
    } else if (next.code_point >= 0x10000 && MustBeEscaped(next.code_point)) {
      const uint32_t rest = next.code_point - 0x10000;
      absl::StrAppendFormat(&printable, "\\u%04x\\u%04x", 0xd800 + (rest >> 10),
                            0xdc00 + (rest & 0x3ff));
    } else if (next.code_point >= 0x7f && MustBeEscaped(next.code_point)) {
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
    const Decoded next = Decode(text);
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
    const Decoded next = Decode(text);
    const size_t size = next.size == 0 ? 1 : next.size;
    used += next.size == 0 ? 1 : WidthOf(next.code_point);
    if (used > width) break;
    absl::StrAppend(&shortened, text.substr(0, size));
    text.remove_prefix(size);
  }
  return absl::StrCat(shortened, "…");
}

}  // namespace cordon::tools::ctl
