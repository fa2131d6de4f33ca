#include "cordon/dtls/internal/chain_limits.h"

#include <openssl/bytestring.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace cordon::dtls::internal {
namespace {

// Contents of object identifiers.
constexpr std::array<uint8_t, 3> kSubjectAltName = {0x55, 0x1d, 0x11};
constexpr std::array<uint8_t, 3> kNameConstraints = {0x55, 0x1d, 0x1e};
constexpr std::array<uint8_t, 3> kCertificatePolicies = {0x55, 0x1d, 0x20};
constexpr std::array<uint8_t, 3> kPolicyMappings = {0x55, 0x1d, 0x21};
constexpr std::array<uint8_t, 9> kRsa = {0x2a, 0x86, 0x48, 0x86, 0xf7,
                                         0x0d, 0x01, 0x01, 0x01};
constexpr std::array<uint8_t, 7> kDsa = {0x2a, 0x86, 0x48, 0xce,
                                         0x38, 0x04, 0x01};

constexpr CBS_ASN1_TAG kContext = CBS_ASN1_CONTEXT_SPECIFIC;
constexpr CBS_ASN1_TAG kConstructedContext = kContext | CBS_ASN1_CONSTRUCTED;

template <size_t kSize>
bool Is(const CBS& cbs, const std::array<uint8_t, kSize>& bytes) {
  return CBS_mem_equal(&cbs, bytes.data(), bytes.size()) == 1;
}

// The elements that follow each other in `cbs`. What is no DER may be more to a
// decoder that is less strict: an element has two bytes or more.
size_t CountElements(CBS cbs) {
  size_t count = 0;
  while (CBS_len(&cbs) > 0) {
    CBS element;
    if (!CBS_get_any_asn1_element(&cbs, &element, nullptr, nullptr)) {
      return count + CBS_len(&cbs) / 2 + 1;
    }
    ++count;
  }
  return count;
}

// Those in the sequence that `cbs` is.
size_t CountInSequence(CBS cbs) {
  CBS sequence;
  const size_t most = CBS_len(&cbs) / 2;
  if (!CBS_get_asn1(&cbs, &sequence, CBS_ASN1_SEQUENCE)) return most;
  return CountElements(sequence);
}

// The subtrees of `NameConstraints`: two sequences of them.
size_t CountSubtrees(CBS cbs) {
  CBS sequence;
  const size_t most = CBS_len(&cbs) / 2;
  if (!CBS_get_asn1(&cbs, &sequence, CBS_ASN1_SEQUENCE)) return most;
  size_t count = 0;
  while (CBS_len(&sequence) > 0) {
    CBS subtrees;
    if (!CBS_get_any_asn1(&sequence, &subtrees, nullptr)) return most;
    count += CountElements(subtrees);
  }
  return count;
}

// Of a sequence of sets (RelativeDistinguishedName) with attributes.
size_t CountAttributes(CBS name) {
  size_t count = 0;
  while (CBS_len(&name) > 0) {
    CBS set;
    if (!CBS_get_any_asn1(&name, &set, nullptr)) {
      return count + CBS_len(&name) / 2 + 1;
    }
    count += CountElements(set);
  }
  return count;
}

// Bits of the INTEGER that `cbs` begins with, or of everything in it.
size_t BitsOfFirstInteger(CBS cbs) {
  const size_t most = CBS_len(&cbs) * 8;
  CBS integer;
  if (!CBS_get_asn1(&cbs, &integer, CBS_ASN1_INTEGER)) return most;
  uint8_t byte = 0;
  while (CBS_len(&integer) > 0) {
    const size_t rest = CBS_len(&integer);
    if (!CBS_get_u8(&integer, &byte)) return most;
    if (byte == 0) continue;
    size_t bits = (rest - 1) * 8;
    for (; byte != 0; byte = static_cast<uint8_t>(byte >> 1)) ++bits;
    return bits;
  }
  return 0;
}

// Of a SubjectPublicKeyInfo. False: it is none.
bool ReadKeyBits(CBS spki, size_t* bits) {
  CBS algorithm;
  CBS oid;
  CBS key;
  if (!CBS_get_asn1(&spki, &algorithm, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&algorithm, &oid, CBS_ASN1_OBJECT) ||
      !CBS_get_asn1(&spki, &key, CBS_ASN1_BITSTRING)) {
    return false;
  }
  CBS numbers;
  if (Is(oid, kRsa)) {
    // The modulus is the first of the two; the exponent has at most 33 bits.
    *bits = CBS_len(&key) * 8;
    if (CBS_skip(&key, 1) && CBS_get_asn1(&key, &numbers, CBS_ASN1_SEQUENCE)) {
      *bits = BitsOfFirstInteger(numbers);
    }
  } else if (Is(oid, kDsa)) {
    // The parameters begin with the modulus. Without any it has the issuer's,
    // which BoringSSL does not know.
    *bits = CBS_len(&key) * 8;
    if (CBS_get_asn1(&algorithm, &numbers, CBS_ASN1_SEQUENCE)) {
      *bits = BitsOfFirstInteger(numbers);
    }
  }
  return true;
}

bool ReadExtension(CBS extension, CertificateSizes* sizes) {
  CBS oid;
  CBS value;
  if (!CBS_get_asn1(&extension, &oid, CBS_ASN1_OBJECT) ||
      !CBS_get_optional_asn1(&extension, nullptr, nullptr, CBS_ASN1_BOOLEAN) ||
      !CBS_get_asn1(&extension, &value, CBS_ASN1_OCTETSTRING)) {
    return false;
  }
  ++sizes->extensions;
  if (Is(oid, kSubjectAltName)) {
    sizes->names += CountInSequence(value);
  } else if (Is(oid, kNameConstraints)) {
    sizes->name_constraints += CountSubtrees(value);
  } else if (Is(oid, kCertificatePolicies) || Is(oid, kPolicyMappings)) {
    sizes->policies += CountInSequence(value);
  }
  return true;
}

absl::string_view View(const CRYPTO_BUFFER* buffer) {
  return {reinterpret_cast<const char*>(CRYPTO_BUFFER_data(buffer)),
          CRYPTO_BUFFER_len(buffer)};
}

}  // namespace

std::optional<CertificateSizes> SizesOf(absl::string_view der) {
  CertificateSizes sizes;
  sizes.bytes = der.size();
  CBS cbs;
  CBS_init(&cbs, reinterpret_cast<const uint8_t*>(der.data()), der.size());
  CBS certificate;
  CBS signed_part;
  CBS subject;
  CBS spki;
  if (!CBS_get_asn1(&cbs, &certificate, CBS_ASN1_SEQUENCE) ||
      CBS_len(&cbs) != 0 ||
      !CBS_get_asn1(&certificate, &signed_part, CBS_ASN1_SEQUENCE) ||
      // The version.
      !CBS_get_optional_asn1(&signed_part, nullptr, nullptr,
                             kConstructedContext | 0) ||
      // The serial number, the algorithm, the issuer, and the validity.
      !CBS_get_asn1(&signed_part, nullptr, CBS_ASN1_INTEGER) ||
      !CBS_get_asn1(&signed_part, nullptr, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&signed_part, nullptr, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&signed_part, nullptr, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&signed_part, &subject, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&signed_part, &spki, CBS_ASN1_SEQUENCE) ||
      !ReadKeyBits(spki, &sizes.key_bits) ||
      // The unique identifiers of the issuer and of the subject.
      !CBS_get_optional_asn1(&signed_part, nullptr, nullptr, kContext | 1) ||
      !CBS_get_optional_asn1(&signed_part, nullptr, nullptr, kContext | 2)) {
    return std::nullopt;
  }
  sizes.names += CountAttributes(subject);
  CBS wrapped;
  int present = 0;
  if (!CBS_get_optional_asn1(&signed_part, &wrapped, &present,
                             kConstructedContext | 3)) {
    return std::nullopt;
  }
  if (present == 0) return sizes;
  CBS extensions;
  if (!CBS_get_asn1(&wrapped, &extensions, CBS_ASN1_SEQUENCE)) {
    return std::nullopt;
  }
  while (CBS_len(&extensions) > 0) {
    CBS extension;
    if (!CBS_get_asn1(&extensions, &extension, CBS_ASN1_SEQUENCE) ||
        !ReadExtension(extension, &sizes)) {
      return std::nullopt;
    }
  }
  return sizes;
}

size_t MaxCertificates(int max_chain_depth) {
  return static_cast<size_t>(std::max(max_chain_depth, 0)) + 2;
}

std::optional<ExceededLimit> FindExceededLimit(
    const STACK_OF(CRYPTO_BUFFER) * chain, int max_chain_depth,
    const CertificateLimits& limits) {
  const size_t sent = chain == nullptr ? 0 : sk_CRYPTO_BUFFER_num(chain);
  size_t bytes = 0;
  for (size_t i = 0; i < sent; ++i) {
    bytes += CRYPTO_BUFFER_len(sk_CRYPTO_BUFFER_value(chain, i));
  }
  if (bytes > limits.max_chain_bytes) {
    return ExceededLimit{0, "max_chain_bytes", bytes, limits.max_chain_bytes};
  }
  const size_t count = std::min(sent, MaxCertificates(max_chain_depth));
  size_t names = 0;
  size_t constraints = 0;
  size_t own = 0;
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view der = View(sk_CRYPTO_BUFFER_value(chain, i));
    if (der.size() > limits.max_certificate_bytes) {
      return ExceededLimit{i, "max_certificate_bytes", der.size(),
                           limits.max_certificate_bytes};
    }
    const std::optional<CertificateSizes> sizes = SizesOf(der);
    if (!sizes.has_value()) return ExceededLimit{.depth = i};
    struct Limit {
      absl::string_view name;
      size_t found;
      size_t allowed;
    };
    for (const Limit& limit :
         {Limit{"max_extensions", sizes->extensions, limits.max_extensions},
          {"max_names", sizes->names, limits.max_names},
          {"max_name_constraints", sizes->name_constraints,
           limits.max_name_constraints},
          {"max_policies", sizes->policies, limits.max_policies},
          {"max_key_bits", sizes->key_bits, limits.max_key_bits}}) {
      if (limit.found > limit.allowed) {
        return ExceededLimit{i, limit.name, limit.found, limit.allowed};
      }
    }
    // Who stands above whom is not known yet: each may, but none above itself.
    names += sizes->names;
    constraints += sizes->name_constraints;
    own += sizes->names * sizes->name_constraints;
    const size_t checks = names * constraints - own;
    if (checks > limits.max_name_checks) {
      return ExceededLimit{i, "max_name_checks", checks,
                           limits.max_name_checks};
    }
  }
  return std::nullopt;
}

absl::Status CheckLimits(const CertificateLimits& limits) {
  struct Field {
    absl::string_view name;
    size_t value;
  };
  for (const Field& field :
       {Field{"max_chain_bytes", limits.max_chain_bytes},
        {"max_certificate_bytes", limits.max_certificate_bytes},
        {"max_extensions", limits.max_extensions},
        {"max_names", limits.max_names},
        {"max_name_constraints", limits.max_name_constraints},
        {"max_policies", limits.max_policies},
        {"max_name_checks", limits.max_name_checks},
        {"max_key_bits", limits.max_key_bits}}) {
    if (field.value == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("verification.limits.", field.name,
                       " is 0, so that nobody could pass; it must be at least "
                       "1"));
    }
  }
  return absl::OkStatus();
}

bool LeavesPeerUnknown(VerificationErrorCode code) {
  using Code = VerificationErrorCode;
  switch (code) {
    case Code::kUnspecified:
    case Code::kNoPeerCertificate:
    case Code::kUnableToGetIssuer:
    case Code::kUnableToGetLocalIssuer:
    case Code::kUnableToVerifyFirst:
    case Code::kSelfSigned:
    case Code::kSelfSignedInChain:
    case Code::kUnableToDecryptSignature:
    case Code::kUnableToDecodeIssuerKey:
    case Code::kSignatureInvalid:
    case Code::kInvalidCa:
    case Code::kNotTrusted:
    case Code::kSubjectIssuerMismatch:
    case Code::kAuthorityKeyMismatch:
    case Code::kLimitExceeded:
      return true;
    case Code::kNotYetValid:
    case Code::kExpired:
    case Code::kInvalidNotBefore:
    case Code::kInvalidNotAfter:
    case Code::kRevoked:
    case Code::kCrlUnavailable:
    case Code::kCrlInvalid:
    case Code::kPathTooLong:
    case Code::kInvalidPurpose:
    case Code::kRejected:
    case Code::kHostNameMismatch:
    case Code::kWeakKey:
    case Code::kWeakSignature:
    case Code::kBlocked:
    case Code::kNotPinned:
    case Code::kNameNotAllowed:
    case Code::kNameDenied:
    case Code::kPskNotAllowed:
      return false;
  }
  return true;
}

}  // namespace cordon::dtls::internal
