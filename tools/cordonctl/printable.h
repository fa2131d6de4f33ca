// Text that others chose (certificate subjects, identities, reasons) made fit
// for a terminal, and how wide text is there.
#ifndef CORDON_TOOLS_CORDONCTL_PRINTABLE_H_
#define CORDON_TOOLS_CORDONCTL_PRINTABLE_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace cordon::tools::ctl {

// `text` with everything escaped that a terminal does not show as itself:
// control characters, bidirectional overrides, invisible characters and what is
// not UTF-8, as "\n", "\x1b" or "\u{202e}". A backslash is doubled, so that no
// two texts look the same.
std::string Printable(absl::string_view text);

// JSON in which nothing reaches the terminal that `Printable` would escape.
// `json` is valid JSON, and so is the result.
std::string PrintableJson(absl::string_view json);

// The columns that `text` takes; it is printable. East Asian characters are two
// wide, combining ones none.
size_t DisplayWidth(absl::string_view text);

// The first characters of `text` that fit into `width` columns, with an
// ellipsis if that is not all of it.
std::string Shortened(absl::string_view text, size_t width);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_PRINTABLE_H_
