// Whether there are colours, and which.
#ifndef CORDON_TOOLS_CORDONCTL_STYLE_H_
#define CORDON_TOOLS_CORDONCTL_STYLE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cordon::tools::ctl {

enum class Colour { kPlain, kBold, kDim, kRed, kGreen, kYellow, kBlue, kCyan };

struct Style {
  bool colours = false;
  // Block characters may be used.
  bool unicode = true;

  // `text` in a colour, if there are any.
  std::string In(Colour colour, absl::string_view text) const;
};

// What fits the file descriptor: --color, $NO_COLOR, $TERM and the locale
// decide.
Style StyleOf(int fd);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_STYLE_H_
