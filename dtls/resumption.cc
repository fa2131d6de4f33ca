#include "cordon/dtls/resumption.h"

#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/ssl.h>

namespace cordon::dtls {

ResumableSession::ResumableSession(bssl::UniquePtr<SSL_SESSION> session)
    : session_(session.release(), SSL_SESSION_free) {}

std::string ResumableSession::Serialize() const {
  if (session_ == nullptr) return "";
  uint8_t* bytes = nullptr;
  size_t size = 0;
  if (SSL_SESSION_to_bytes(session_.get(), &bytes, &size) != 1) {
    ERR_clear_error();
    return "";
  }
  std::string text(reinterpret_cast<char*>(bytes), size);
  OPENSSL_cleanse(bytes, size);
  OPENSSL_free(bytes);
  return text;
}

absl::Time ResumableSession::expires() const {
  if (session_ == nullptr) return absl::InfinitePast();
  return absl::FromUnixSeconds(
      static_cast<int64_t>(SSL_SESSION_get_time(session_.get())) +
      SSL_SESSION_get_timeout(session_.get()));
}

}  // namespace cordon::dtls
