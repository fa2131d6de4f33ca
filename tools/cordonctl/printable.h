// Text that others chose made fit for a terminal, see `net::Printable`; the
// same for JSON; and how wide text is there.
#ifndef CORDON_TOOLS_CORDONCTL_PRINTABLE_H_
#define CORDON_TOOLS_CORDONCTL_PRINTABLE_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "cordon/net/base/printable.h"

namespace cordon::tools::ctl {

// For what others say of themselves, and for texts that have been made
// printable already where they were written.
using ::cordon::net::Printable;
using ::cordon::net::PrintableText;

// JSON in which nothing reaches the terminal that `net::Printable` would
// escape. `json` is valid JSON, and so is the result.
std::string PrintableJson(absl::string_view json);

// The columns that `text` takes; it is printable. East Asian characters are two
// wide, combining ones none.
size_t DisplayWidth(absl::string_view text);

// The first characters of `text` that fit into `width` columns, with an
// ellipsis if that is not all of it.
std::string Shortened(absl::string_view text, size_t width);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_PRINTABLE_H_
