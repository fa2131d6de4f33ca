#include "cordon/net/base/printable.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace cordon::net {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

// Other than the control characters: the format characters (Cf), those that are
// shown as nothing, line and paragraph separators, surrogates, private use, and
// what is no character. In their order.
constexpr Range kNotShown[] = {
    {0x00ad, 0x00ad},   {0x034f, 0x034f},     {0x0600, 0x0605},
    {0x061c, 0x061c},   {0x06dd, 0x06dd},     {0x070f, 0x070f},
    {0x0890, 0x0891},   {0x08e2, 0x08e2},     {0x115f, 0x1160},
    {0x17b4, 0x17b5},   {0x180b, 0x180f},     {0x200b, 0x200f},
    {0x2028, 0x202e},   {0x2060, 0x206f},     {0x2800, 0x2800},
    {0x3164, 0x3164},   {0xd800, 0xf8ff},     {0xfdd0, 0xfdef},
    {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},     {0xffa0, 0xffa0},
    {0xfff0, 0xfffb},   {0xfffe, 0xffff},     {0x110bd, 0x110bd},
    {0x110cd, 0x110cd}, {0x13430, 0x1345f},   {0x1bca0, 0x1bca3},
    {0x1d173, 0x1d17a}, {0x1fffe, 0x1ffff},   {0x2fffe, 0x2ffff},
    {0x3fffe, 0x3ffff}, {0x40000, UINT32_MAX}};

constexpr absl::string_view kEllipsis = "\u2026";

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

std::string MakePrintable(absl::string_view text, bool double_backslashes,
                          size_t max_bytes) {
  std::string printable;
  // Where it is cut if it comes to be too long.
  size_t cut = 0;
  std::string escaped;
  while (!text.empty()) {
    const Character next = FirstCharacter(text);
    absl::string_view piece = text.substr(0, next.size);
    if (next.size == 0) {
      escaped = absl::StrFormat("\\x%02x", static_cast<uint8_t>(text[0]));
      piece = escaped;
    } else if (next.code_point == '\\' && double_backslashes) {
      piece = "\\\\";
    } else if (!IsPrintable(next.code_point)) {
      escaped = Escape(next.code_point);
      piece = escaped;
    }
    if (piece.size() > max_bytes - printable.size()) {
      printable.resize(cut);
      if (kEllipsis.size() <= max_bytes) absl::StrAppend(&printable, kEllipsis);
      return printable;
    }
    absl::StrAppend(&printable, piece);
    if (printable.size() + kEllipsis.size() <= max_bytes) {
      cut = printable.size();
    }
    text.remove_prefix(std::max<size_t>(next.size, 1));
  }
  return printable;
}

}  // namespace

Character FirstCharacter(absl::string_view text) {
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

bool IsPrintable(uint32_t code_point) {
  if (code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0)) {
    return false;
  }
  if (code_point < 0x7f) return true;
  const auto* const at = std::lower_bound(
      std::begin(kNotShown), std::end(kNotShown), code_point,
      [](const Range& range, uint32_t value) { return range.last < value; });
  return at == std::end(kNotShown) || code_point < at->first;
}

std::string Printable(absl::string_view text, size_t max_bytes) {
  return MakePrintable(text, /*double_backslashes=*/true, max_bytes);
}

std::string PrintableText(absl::string_view text, size_t max_bytes) {
  return MakePrintable(text, /*double_backslashes=*/false, max_bytes);
}

}  // namespace cordon::net
