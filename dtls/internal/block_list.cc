#include "cordon/dtls/internal/block_list.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/bytestring.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cordon/dtls/internal/peer_identity.h"
#include "cordon/dtls/internal/readable_name.h"

namespace cordon::dtls::internal {
namespace {

// All that BoringSSL verifies ECDSA with.
constexpr std::array<int, 4> kCurves = {NID_secp224r1, NID_X9_62_prime256v1,
                                        NID_secp384r1, NID_secp521r1};

std::string Sha256(const uint8_t* data, size_t size) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(data, size, digest.data());
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

// Spaces and case tell no issuer from another: who has the serial number of one
// is taken for it.
std::string SerialKey(absl::string_view serial, absl::string_view issuer) {
  const size_t digit = serial.find_first_not_of('0');
  serial = digit == absl::string_view::npos ? "0" : serial.substr(digit);
  std::string key = absl::StrCat(serial, "@", issuer);
  key.erase(std::remove(key.begin(), key.end(), ' '), key.end());
  return absl::AsciiStrToLower(key);
}

// The parts of a certificate (RFC 5280 section 4.1). Its issuer has signed only
// the first; whoever has the certificate can write the others anew.
struct Parts {
  CBS signed_part;
  // As the signed part names it: what stands outside of it must say the same.
  CBS algorithm;
  CBS signature;
};

bool ReadParts(const uint8_t* der, size_t size, Parts* parts) {
  CBS all;
  CBS certificate;
  CBS algorithm;
  CBS bits;
  uint8_t unused_bits = 0;
  CBS_init(&all, der, size);
  if (!CBS_get_asn1(&all, &certificate, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1_element(&certificate, &parts->signed_part,
                            CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&certificate, &algorithm, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&certificate, &bits, CBS_ASN1_BITSTRING) ||
      !CBS_get_u8(&bits, &unused_bits)) {
    return false;
  }
  parts->signature = bits;
  CBS outer = parts->signed_part;
  CBS inner;
  CBS serial;
  return CBS_get_asn1(&outer, &inner, CBS_ASN1_SEQUENCE) &&
         CBS_get_optional_asn1(
             &inner, nullptr, nullptr,
             CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 0) &&
         CBS_get_asn1(&inner, &serial, CBS_ASN1_INTEGER) &&
         CBS_get_asn1_element(&inner, &parts->algorithm, CBS_ASN1_SEQUENCE);
}

// The fingerprint of the certificate with this signature, written as DER wants
// it; empty if there is no memory for it.
std::string FingerprintWith(const Parts& parts, const uint8_t* signature,
                            size_t size) {
  bssl::ScopedCBB cbb;
  CBB certificate;
  CBB bits;
  uint8_t* der = nullptr;
  size_t der_size = 0;
  if (!CBB_init(cbb.get(), CBS_len(&parts.signed_part) + size + 64) ||
      !CBB_add_asn1(cbb.get(), &certificate, CBS_ASN1_SEQUENCE) ||
      !CBB_add_bytes(&certificate, CBS_data(&parts.signed_part),
                     CBS_len(&parts.signed_part)) ||
      !CBB_add_bytes(&certificate, CBS_data(&parts.algorithm),
                     CBS_len(&parts.algorithm)) ||
      !CBB_add_asn1(&certificate, &bits, CBS_ASN1_BITSTRING) ||
      !CBB_add_u8(&bits, 0) || !CBB_add_bytes(&bits, signature, size) ||
      !CBB_finish(cbb.get(), &der, &der_size)) {
    return "";
  }
  bssl::UniquePtr<uint8_t> owner(der);
  return Sha256(der, der_size);
}

// Of an ECDSA signature (r, s): (r, n - s), which is as good, for each curve of
// which it may be. False if there is no memory for it.
bool Twins(const CBS& signature, std::vector<std::vector<uint8_t>>* twins) {
  bssl::UniquePtr<ECDSA_SIG> sig(
      ECDSA_SIG_from_bytes(CBS_data(&signature), CBS_len(&signature)));
  if (sig == nullptr) return true;  // It is of another kind.
  const BIGNUM* r = ECDSA_SIG_get0_r(sig.get());
  const BIGNUM* s = ECDSA_SIG_get0_s(sig.get());
  for (const int curve : kCurves) {
    bssl::UniquePtr<EC_GROUP> group(EC_GROUP_new_by_curve_name(curve));
    if (group == nullptr) return false;
    const BIGNUM* order = EC_GROUP_get0_order(group.get());
    if (BN_cmp(r, order) >= 0 || BN_cmp(s, order) >= 0) continue;
    bssl::UniquePtr<ECDSA_SIG> twin(ECDSA_SIG_new());
    bssl::UniquePtr<BIGNUM> same(BN_dup(r));
    bssl::UniquePtr<BIGNUM> other(BN_new());
    if (twin == nullptr || same == nullptr || other == nullptr ||
        BN_sub(other.get(), order, s) != 1 ||
        ECDSA_SIG_set0(twin.get(), same.get(), other.get()) != 1) {
      return false;
    }
    static_cast<void>(same.release());
    static_cast<void>(other.release());
    uint8_t* der = nullptr;
    size_t size = 0;
    if (ECDSA_SIG_to_bytes(&der, &size, twin.get()) != 1) return false;
    bssl::UniquePtr<uint8_t> owner(der);
    twins->emplace_back(der, der + size);
  }
  return true;
}

}  // namespace

absl::Status BlockList::Add(absl::string_view entry) {
  if (absl::string_view spki = entry; absl::ConsumePrefix(&spki, "spki:")) {
    absl::StatusOr<std::string> fingerprint = ParseFingerprint(spki);
    if (!fingerprint.ok()) return fingerprint.status();
    spkis_.insert(*std::move(fingerprint));
    return absl::OkStatus();
  }
  if (absl::string_view rest = entry; absl::ConsumePrefix(&rest, "serial:")) {
    const size_t at = rest.find('@');
    const std::string serial =
        absl::StrReplaceAll(rest.substr(0, at), {{":", ""}});
    const bool digits =
        std::all_of(serial.begin(), serial.end(),
                    [](unsigned char c) { return absl::ascii_isxdigit(c); });
    if (at == absl::string_view::npos || serial.empty() || !digits ||
        rest.find('=', at) == absl::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", absl::CHexEscape(entry),
          "\" names no certificate: write the serial number, in hexadecimal, "
          "and the issuer, as in \"serial:0a1b@CN=Example CA, O=Example\""));
    }
    serials_.insert(SerialKey(serial, rest.substr(at + 1)));
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> fingerprint = ParseFingerprint(entry);
  if (!fingerprint.ok()) return fingerprint.status();
  fingerprints_.insert(*std::move(fingerprint));
  return absl::OkStatus();
}

bool BlockList::Blocks(X509* certificate) const {
  const bool blocked =
      (!fingerprints_.empty() && BlocksFingerprint(certificate)) ||
      (!spkis_.empty() && BlocksSpki(certificate)) ||
      (!serials_.empty() && BlocksSerial(certificate));
  ERR_clear_error();
  return blocked;
}

// Whoever has a certificate can change how it is written, without its issuer,
// so that it is still good but has another fingerprint: by the twin of an ECDSA
// signature, and by what stands outside of the signed part.
bool BlockList::BlocksFingerprint(X509* certificate) const {
  const std::string fingerprint = FingerprintOf(certificate);
  if (fingerprint.empty() || fingerprints_.contains(fingerprint)) return true;
  uint8_t* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size < 0) return true;
  bssl::UniquePtr<uint8_t> owner(der);
  Parts parts;
  std::vector<std::vector<uint8_t>> signatures;
  if (!ReadParts(der, static_cast<size_t>(size), &parts) ||
      !Twins(parts.signature, &signatures)) {
    return true;
  }
  signatures.emplace_back(
      CBS_data(&parts.signature),
      CBS_data(&parts.signature) + CBS_len(&parts.signature));
  return std::any_of(signatures.begin(), signatures.end(),
                     [&](const std::vector<uint8_t>& signature) {
                       const std::string other = FingerprintWith(
                           parts, signature.data(), signature.size());
                       return other.empty() || fingerprints_.contains(other);
                     });
}

// As the certificate has the key, and as keys are usually written: a point of a
// curve may be compressed.
bool BlockList::BlocksSpki(X509* certificate) const {
  const std::string fingerprint = SpkiFingerprintOf(certificate);
  if (fingerprint.empty() || spkis_.contains(fingerprint)) return true;
  bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(certificate));
  if (key == nullptr) return false;  // Nobody can use it.
  uint8_t* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  if (size < 0) return true;
  bssl::UniquePtr<uint8_t> owner(der);
  return spkis_.contains(Sha256(der, static_cast<size_t>(size)));
}

bool BlockList::BlocksSerial(X509* certificate) const {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate);
  X509_NAME* const name = X509_get_issuer_name(certificate);
  const std::string issuer = ReadableName(name);
  if (issuer.empty() && X509_NAME_entry_count(name) > 0) return true;
  const std::string hex = absl::BytesToHexString(
      {reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
       static_cast<size_t>(ASN1_STRING_length(serial))});
  return serials_.contains(SerialKey(hex, issuer));
}

}  // namespace cordon::dtls::internal
