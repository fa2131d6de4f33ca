// Bytes that do not change, and that all copies share.
#ifndef CORDON_DTLS_SHARED_BYTES_H_
#define CORDON_DTLS_SHARED_BYTES_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace cordon::dtls {

// A certificate in DER, for example: each error that it has refers to it, and
// so do the errors of the session, of its status and of its description, but
// the bytes are there once. A copy costs a reference count. Thread-safe as a
// `std::shared_ptr` is: objects may be copied on all threads, each by one at a
// time.
class SharedBytes {
 public:
  SharedBytes() = default;
  // Copies `bytes`. These convert, because a string is one way to say them.
  SharedBytes(std::string bytes) {  // NOLINT(google-explicit-constructor)
    if (bytes.empty()) return;
    auto owner = std::make_shared<const std::string>(std::move(bytes));
    bytes_ = *owner;
    owner_ = std::move(owner);
  }
  SharedBytes(absl::string_view bytes)  // NOLINT(google-explicit-constructor)
      : SharedBytes(std::string(bytes)) {}
  SharedBytes(const char* bytes)  // NOLINT(google-explicit-constructor)
      : SharedBytes(std::string(bytes)) {}
  // Bytes of `owner`, which keeps them.
  SharedBytes(std::shared_ptr<const void> owner, absl::string_view bytes)
      : owner_(std::move(owner)), bytes_(bytes) {}

  // Valid for as long as a copy of this object lives.
  absl::string_view view() const { return bytes_; }
  operator absl::string_view() const {  // NOLINT(google-explicit-constructor)
    return bytes_;
  }
  bool empty() const { return bytes_.empty(); }
  size_t size() const { return bytes_.size(); }

  friend bool operator==(const SharedBytes& a, const SharedBytes& b) {
    return a.bytes_.size() == b.bytes_.size() &&
           (a.bytes_.data() == b.bytes_.data() || a.bytes_ == b.bytes_);
  }

 private:
  std::shared_ptr<const void> owner_;
  absl::string_view bytes_;
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_SHARED_BYTES_H_
