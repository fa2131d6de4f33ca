#include "cordon/dtls/internal/readable_name.h"

#include <openssl/bio.h>
#include <openssl/x509.h>

#include <cstddef>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace cordon::dtls::internal {
namespace {

// Bytes of the character at the begin of `text` if it is one to be escaped,
// else 0.
size_t ControlAt(absl::string_view text) {
  auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
  };
  // U+0080 to U+009F.
  if (byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) <= 0x9f) return 2;
  if (byte(0) != 0xe2) return 0;
  // U+200E, U+200F, U+2028 to U+202E; U+2066 to U+2069.
  const uint8_t last = byte(2);
  const bool turns = (byte(1) == 0x80 && (last == 0x8e || last == 0x8f ||
                                          (last >= 0xa8 && last <= 0xae))) ||
                     (byte(1) == 0x81 && last >= 0xa6 && last <= 0xa9);
  return turns ? 3 : 0;
}

}  // namespace

std::string EscapeControls(absl::string_view text) {
  std::string escaped;
  while (!text.empty()) {
    size_t size = ControlAt(text);
    if (size == 0) {
      escaped.push_back(text[0]);
      size = 1;
    } else {
      for (char c : text.substr(0, size)) {
        absl::StrAppend(&escaped, "\\",
                        absl::AsciiStrToUpper(
                            absl::BytesToHexString(absl::string_view(&c, 1))));
      }
    }
    text.remove_prefix(size);
  }
  return escaped;
}

std::string ReadableName(X509_NAME* name) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr ||
      X509_NAME_print_ex(
          bio.get(), name, 0,
          XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB & ~XN_FLAG_SPC_EQ) < 0) {
    return "";
  }
  const uint8_t* text = nullptr;
  size_t size = 0;
  BIO_mem_contents(bio.get(), &text, &size);
  return EscapeControls({reinterpret_cast<const char*>(text), size});
}

}  // namespace cordon::dtls::internal
