#include "cordon/dtls/internal/readable_name.h"

#include <openssl/bio.h>
#include <openssl/x509.h>

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "cordon/net/base/printable.h"

namespace cordon::dtls::internal {

std::string ReadableName(X509_NAME* name) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  // Commas, quotes and backslashes of the name are escaped here (RFC 4514),
  // control characters and the like below.
  constexpr unsigned long kFlags = XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB &
                                   ~ASN1_STRFLGS_ESC_CTRL & ~XN_FLAG_SPC_EQ;
  if (bio == nullptr || X509_NAME_print_ex(bio.get(), name, 0, kFlags) < 0) {
    return "";
  }
  const uint8_t* text = nullptr;
  size_t size = 0;
  if (BIO_mem_contents(bio.get(), &text, &size) != 1) return "";
  return net::PrintableText(
      absl::string_view(reinterpret_cast<const char*>(text), size),
      net::kMaxNameBytes);
}

}  // namespace cordon::dtls::internal
