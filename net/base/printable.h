// Text that others chose (names in certificates, identities, reasons) made fit
// for a terminal, a log or a message. All texts of these libraries that say
// what a peer said are made with it, and their tools print with it, so that
// there is one place to look at.
//
//   LOG << net::Printable(connection.info().psk_identity, net::kMaxNameBytes);
#ifndef CORDON_NET_BASE_PRINTABLE_H_
#define CORDON_NET_BASE_PRINTABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace cordon::net {

// The most that a text has of one name, in bytes.
inline constexpr size_t kMaxNameBytes = 256;
// The most that a line of a log has, in bytes.
inline constexpr size_t kMaxLineBytes = 4096;

inline constexpr size_t kUncut = SIZE_MAX;

// `text`, which may be any bytes, with everything escaped that is not shown as
// itself: control characters, among them those beyond ASCII (C1), characters
// that turn the direction of writing, invisible, private and unassigned ones,
// and what is not UTF-8; as "\n", "\x1b" or "\u{202e}". A backslash is doubled,
// so that no two texts look the same. If that is longer than `max_bytes` it is
// cut between two characters and ends with an ellipsis, which is counted. Takes
// time in proportion to the result.
std::string Printable(absl::string_view text, size_t max_bytes = kUncut);

// The same for text that was made printable already, as far as its writer can
// be trusted: backslashes stay as they are, so what is printable is not
// changed. For whole lines and messages.
std::string PrintableText(absl::string_view text, size_t max_bytes = kUncut);

// The character that a text begins with.
struct Character {
  uint32_t code_point = 0;
  size_t size = 0;  // in bytes; 0: no valid UTF-8 (RFC 3629) begins here
};
// `text` is not empty.
Character FirstCharacter(absl::string_view text);

// Whether `Printable` leaves the character as it is (but for the backslash).
bool IsPrintable(uint32_t code_point);

}  // namespace cordon::net

#endif  // CORDON_NET_BASE_PRINTABLE_H_
