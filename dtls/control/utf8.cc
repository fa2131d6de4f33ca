#include "cordon/dtls/control/utf8.h"

#include <cstddef>

#include "cordon/net/base/printable.h"

namespace cordon::dtls::control {

std::string ToUtf8(absl::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const size_t size = net::FirstCharacter(text).size;
    if (size == 0) {
      clean += '?';
      text.remove_prefix(1);
    } else {
      clean.append(text.data(), size);
      text.remove_prefix(size);
    }
  }
  return clean;
}

}  // namespace cordon::dtls::control
