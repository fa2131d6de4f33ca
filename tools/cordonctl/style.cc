#include "cordon/tools/cordonctl/style.h"

#include <unistd.h>

#include <cstdlib>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace cordon::tools::ctl {

enum class ColorMode { kAuto, kAlways, kNever };

bool AbslParseFlag(absl::string_view text, ColorMode* mode,
                   std::string* error) {
  if (text == "auto") {
    *mode = ColorMode::kAuto;
  } else if (text == "always") {
    *mode = ColorMode::kAlways;
  } else if (text == "never") {
    *mode = ColorMode::kNever;
  } else {
    *error = "is not auto, always or never";
    return false;
  }
  return true;
}

std::string AbslUnparseFlag(ColorMode mode) {
  return mode == ColorMode::kAuto     ? "auto"
         : mode == ColorMode::kAlways ? "always"
                                      : "never";
}

}  // namespace cordon::tools::ctl

ABSL_FLAG(cordon::tools::ctl::ColorMode, color,
          cordon::tools::ctl::ColorMode::kAuto,
          "auto (on a terminal, unless $NO_COLOR is set), always or never.");

namespace cordon::tools::ctl {
namespace {

std::string Variable(const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets variables here.
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool LocaleHasUnicode() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string value = absl::AsciiStrToUpper(Variable(name));
    if (value.empty()) continue;
    return absl::StrContains(value, "UTF-8") ||
           absl::StrContains(value, "UTF8");
  }
  // Containers often have none, and terminals that show all characters.
  return true;
}

const char* CodeOf(Colour colour) {
  switch (colour) {
    case Colour::kPlain:
      return "";
    case Colour::kBold:
      return "1";
    case Colour::kDim:
      return "2";
    case Colour::kRed:
      return "31";
    case Colour::kGreen:
      return "32";
    case Colour::kYellow:
      return "33";
    case Colour::kBlue:
      return "34";
    case Colour::kCyan:
      return "36";
  }
  return "";
}

}  // namespace

std::string Style::In(Colour colour, absl::string_view text) const {
  if (!colours || colour == Colour::kPlain || text.empty()) {
    return std::string(text);
  }
  return absl::StrCat("\x1b[", CodeOf(colour), "m", text, "\x1b[0m");
}

Style StyleOf(int fd) {
  Style style;
  const ColorMode mode = absl::GetFlag(FLAGS_color);
  style.colours = mode == ColorMode::kAlways ||
                  (mode == ColorMode::kAuto && isatty(fd) != 0 &&
                   Variable("NO_COLOR").empty() && Variable("TERM") != "dumb");
  style.unicode = LocaleHasUnicode();
  return style;
}

}  // namespace cordon::tools::ctl
