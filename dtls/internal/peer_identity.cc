#include "cordon/dtls/internal/peer_identity.h"

#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/stack.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/chain_limits.h"
#include "cordon/dtls/internal/readable_name.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls::internal {
namespace {

// RFC 5280 section 4.1.2.2 allows for 20.
constexpr size_t kMaxSerialBytes = 64;

std::string Hex(const uint8_t* bytes, size_t size) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes), size});
}

absl::Time TimeOf(const ASN1_TIME* time, absl::Time otherwise) {
  int64_t seconds = 0;
  if (ASN1_TIME_to_posix(time, &seconds) != 1) return otherwise;
  return absl::FromUnixSeconds(seconds);
}

// False if it has names that cannot be read.
bool AddNames(X509* certificate, PeerIdentity* identity) {
  int found = 0;
  bssl::UniquePtr<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, &found, nullptr)));
  if (names == nullptr) return found == -1;
  auto text = [](const ASN1_STRING* s) {
    return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)),
                       static_cast<size_t>(ASN1_STRING_length(s)));
  };
  for (size_t i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      identity->dns_names.push_back(text(name->d.dNSName));
    } else if (name->type == GEN_URI) {
      identity->uris.push_back(text(name->d.uniformResourceIdentifier));
    } else if (name->type == GEN_IPADD) {
      const std::string bytes = text(name->d.iPAddress);
      std::array<uint8_t, 16> address = {};
      if (bytes.size() != 4 && bytes.size() != 16) continue;
      std::copy(bytes.begin(), bytes.end(), address.begin());
      identity->ip_addresses.push_back(
          (bytes.size() == 16
               ? net::Endpoint::V6(address, 0)
               : net::Endpoint::V4(
                     {address[0], address[1], address[2], address[3]}, 0))
              .AddressToString());
    }
  }
  return true;
}

// Null if it cannot be read, or is beyond a limit.
bssl::UniquePtr<X509> Parse(CRYPTO_BUFFER* buffer,
                            const CertificateLimits& limits) {
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> alone(sk_CRYPTO_BUFFER_new_null());
  if (alone == nullptr ||
      !bssl::PushToStack(alone.get(), bssl::UpRef(buffer)) ||
      FindExceededLimit(alone.get(), 0, limits).has_value()) {
    return nullptr;
  }
  return bssl::UniquePtr<X509>(X509_parse_from_buffer(buffer));
}

std::string FingerprintHex(absl::string_view der) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const uint8_t*>(der.data()), der.size(),
         digest.data());
  return Hex(digest.data(), digest.size());
}

}  // namespace

std::string SubjectOf(const X509* certificate) {
  return ReadableName(X509_get_subject_name(certificate));
}

std::string FingerprintOf(const X509* certificate) {
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) {
    ERR_clear_error();
    return "";
  }
  return {reinterpret_cast<const char*>(digest.data()), size};
}

std::string SpkiFingerprintOf(const X509* certificate) {
  uint8_t* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size < 0) {
    ERR_clear_error();
    return "";
  }
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(der, static_cast<size_t>(size), digest.data());
  OPENSSL_free(der);
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

absl::StatusOr<std::string> ParseFingerprint(absl::string_view text) {
  const std::string hex = absl::StrReplaceAll(text, {{":", ""}});
  const bool digits = std::all_of(hex.begin(), hex.end(), [](unsigned char c) {
    return absl::ascii_isxdigit(c);
  });
  if (hex.size() != 64 || !digits) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text,
                     "\" is no SHA-256 fingerprint: it needs 64 hexadecimal "
                     "digits"));
  }
  return absl::HexStringToBytes(hex);
}

std::string SubjectOf(const CRYPTO_BUFFER* certificate,
                      const CertificateLimits& limits) {
  bssl::UniquePtr<X509> parsed =
      Parse(const_cast<CRYPTO_BUFFER*>(certificate), limits);
  ERR_clear_error();
  return parsed == nullptr ? "" : SubjectOf(parsed.get());
}

PeerIdentity IdentityOf(const STACK_OF(CRYPTO_BUFFER) * chain, bool* whole,
                        const CertificateLimits& limits) {
  PeerIdentity identity;
  bool read = true;
  for (size_t i = 0; chain != nullptr && i < sk_CRYPTO_BUFFER_num(chain); ++i) {
    CRYPTO_BUFFER* buffer = sk_CRYPTO_BUFFER_value(chain, i);
    identity.chain.emplace_back(
        reinterpret_cast<const char*>(CRYPTO_BUFFER_data(buffer)),
        CRYPTO_BUFFER_len(buffer));
    if (i > 0) continue;
    identity.fingerprint = FingerprintHex(identity.chain.back());
    bssl::UniquePtr<X509> leaf = Parse(buffer, limits);
    if (leaf == nullptr) {
      read = false;
      continue;
    }
    identity.subject = SubjectOf(leaf.get());
    identity.issuer = ReadableName(X509_get_issuer_name(leaf.get()));
    const ASN1_INTEGER* serial = X509_get0_serialNumber(leaf.get());
    const auto serial_bytes = static_cast<size_t>(ASN1_STRING_length(serial));
    identity.serial = Hex(ASN1_STRING_get0_data(serial),
                          std::min(serial_bytes, kMaxSerialBytes));
    if (serial_bytes > kMaxSerialBytes) identity.serial += "…";
    identity.spki_fingerprint =
        absl::BytesToHexString(SpkiFingerprintOf(leaf.get()));
    identity.not_before =
        TimeOf(X509_get0_notBefore(leaf.get()), absl::InfinitePast());
    identity.not_after =
        TimeOf(X509_get0_notAfter(leaf.get()), absl::InfiniteFuture());
    read = AddNames(leaf.get(), &identity);
  }
  ERR_clear_error();
  if (whole != nullptr) *whole = read;
  return identity;
}

}  // namespace cordon::dtls::internal
