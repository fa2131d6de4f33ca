#include "cordon/dtls/internal/peer_verifier.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/stack.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cordon/net/base/endpoint.h"

namespace cordon::dtls::internal {
namespace {

constexpr std::array<const char*, 3> kSystemTrustFiles = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
};

// 2048 bits of RSA; RFC 9325 section 4.5.
constexpr int kMinRsaBits = 2048;

VerificationErrorCode CodeOf(int error) {
  switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
      return VerificationErrorCode::kUnableToGetIssuer;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return VerificationErrorCode::kSelfSigned;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return VerificationErrorCode::kSelfSignedInChain;
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return VerificationErrorCode::kUnableToVerifyFirst;
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
    case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY:
      return VerificationErrorCode::kSignatureInvalid;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return VerificationErrorCode::kNotYetValid;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return VerificationErrorCode::kExpired;
    case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
    case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
      return VerificationErrorCode::kInvalidDates;
    case X509_V_ERR_CERT_REVOKED:
      return VerificationErrorCode::kRevoked;
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
      return VerificationErrorCode::kInvalidCa;
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return VerificationErrorCode::kPathTooLong;
    case X509_V_ERR_INVALID_PURPOSE:
      return VerificationErrorCode::kInvalidPurpose;
    case X509_V_ERR_CERT_UNTRUSTED:
      return VerificationErrorCode::kNotTrusted;
    case X509_V_ERR_CERT_REJECTED:
      return VerificationErrorCode::kRejected;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return VerificationErrorCode::kHostNameMismatch;
    default:
      return VerificationErrorCode::kUnspecified;
  }
}

std::string DerOf(X509* certificate) {
  uint8_t* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size < 0) return "";
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return text;
}

VerificationError MakeError(VerificationErrorCode code, int depth,
                            X509* certificate, absl::string_view why) {
  VerificationError error;
  error.code = code;
  error.depth = depth;
  if (certificate != nullptr) {
    error.subject = SubjectOf(certificate);
    error.certificate = DerOf(certificate);
  }
  error.message = absl::StrCat(VerificationErrorName(code), ": certificate ",
                               depth, " (", error.subject, "): ", why);
  return error;
}

// What X509_verify_cert reports, one call an error.
int Collect(int ok, X509_STORE_CTX* context) {
  if (ok == 1) return 1;
  auto* errors = static_cast<std::vector<VerificationError>*>(
      X509_STORE_CTX_get_ex_data(context, 0));
  const int error = X509_STORE_CTX_get_error(context);
  X509* certificate = X509_STORE_CTX_get_current_cert(context);
  VerificationError found =
      MakeError(CodeOf(error), X509_STORE_CTX_get_error_depth(context),
                certificate, X509_verify_cert_error_string(error));
  for (const VerificationError& known : *errors) {
    if (known.code == found.code && known.depth == found.depth) return 1;
  }
  errors->push_back(std::move(found));
  return 1;
}

bool KeyIsWeak(X509* certificate) {
  bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(certificate));
  return key == nullptr || (EVP_PKEY_id(key.get()) == EVP_PKEY_RSA &&
                            EVP_PKEY_bits(key.get()) < kMinRsaBits);
}

// The peer's own name, as far as SAN goes: RFC 9525 knows no common name.
bool NameMatches(X509* certificate, absl::string_view name) {
  if (net::Endpoint::ParseAddress(name).ok()) {
    return X509_check_ip_asc(certificate, std::string(name).c_str(), 0) == 1;
  }
  return X509_check_host(certificate, name.data(), name.size(),
                         X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                             X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                         nullptr) == 1;
}

}  // namespace

std::string SubjectOf(const X509* certificate) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr ||
      X509_NAME_print_ex(
          bio.get(), X509_get_subject_name(certificate), 0,
          XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB & ~XN_FLAG_SPC_EQ) < 0) {
    return "";
  }
  const uint8_t* text = nullptr;
  size_t size = 0;
  BIO_mem_contents(bio.get(), &text, &size);
  return {reinterpret_cast<const char*>(text), size};
}

absl::StatusOr<std::vector<bssl::UniquePtr<X509>>> ParseCertificates(
    absl::string_view pem, absl::string_view what) {
  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(pem.data(), static_cast<ossl_ssize_t>(pem.size())));
  std::vector<bssl::UniquePtr<X509>> certificates;
  while (true) {
    bssl::UniquePtr<X509> certificate(
        PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
    certificates.push_back(std::move(certificate));
  }
  const uint32_t error = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM &&
                      ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": certificate ", certificates.size() + 1,
                     " cannot be read; is it PEM?"));
  }
  if (certificates.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has no certificate in PEM form"));
  }
  return certificates;
}

absl::StatusOr<PeerVerifier> PeerVerifier::Create(const TrustAnchors& anchors,
                                                  Peer peer) {
  PeerVerifier verifier(peer);
  verifier.store_.reset(X509_STORE_new());
  if (!anchors.pem.empty()) {
    absl::StatusOr<std::vector<bssl::UniquePtr<X509>>> certificates =
        ParseCertificates(anchors.pem, "the trust anchors");
    if (!certificates.ok()) return certificates.status();
    for (const bssl::UniquePtr<X509>& certificate : *certificates) {
      X509_STORE_add_cert(verifier.store_.get(), certificate.get());
      uint8_t* der = nullptr;
      const int size =
          i2d_X509_NAME(X509_get_subject_name(certificate.get()), &der);
      if (size > 0) {
        verifier.anchor_names_.emplace_back(reinterpret_cast<char*>(der),
                                            static_cast<size_t>(size));
        OPENSSL_free(der);
      }
    }
  }
  if (anchors.system) {
    bool found = false;
    for (const char* path : kSystemTrustFiles) {
      found = found || X509_STORE_load_locations(verifier.store_.get(), path,
                                                 nullptr) == 1;
    }
    ERR_clear_error();
    // A machine without trust store trusts nobody, which is safe.
    (void)found;
  }
  // A trusted certificate need not be a root, nor an authority: pinning a
  // peer's own certificate works.
  X509_VERIFY_PARAM_set_flags(X509_STORE_get0_param(verifier.store_.get()),
                              X509_V_FLAG_PARTIAL_CHAIN);
  return verifier;
}

std::vector<VerificationError> PeerVerifier::Verify(
    const STACK_OF(CRYPTO_BUFFER) * chain, absl::string_view name,
    absl::Time now) const {
  std::vector<VerificationError> errors;
  bssl::UniquePtr<STACK_OF(X509)> certificates(sk_X509_new_null());
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(chain); ++i) {
    bssl::UniquePtr<X509> certificate(
        X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(chain, i)));
    if (certificate == nullptr) {
      ERR_clear_error();
      errors.push_back(MakeError(VerificationErrorCode::kUnspecified,
                                 static_cast<int>(i), nullptr,
                                 "it cannot be read"));
      return errors;
    }
    bssl::PushToStack(certificates.get(), std::move(certificate));
  }
  if (sk_X509_num(certificates.get()) == 0) {
    errors.push_back(MakeError(VerificationErrorCode::kNoPeerCertificate, 0,
                               nullptr, "the peer sent none"));
    return errors;
  }

  X509* leaf = sk_X509_value(certificates.get(), 0);
  bssl::UniquePtr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  if (context == nullptr ||
      X509_STORE_CTX_init(context.get(), store_.get(), leaf,
                          certificates.get()) != 1 ||
      X509_STORE_CTX_set_default(context.get(), peer_ == Peer::kServer
                                                    ? "ssl_server"
                                                    : "ssl_client") != 1) {
    ERR_clear_error();
    errors.push_back(MakeError(VerificationErrorCode::kUnspecified, 0, leaf,
                               "it cannot be verified"));
    return errors;
  }
  X509_STORE_CTX_set_ex_data(context.get(), 0, &errors);
  X509_STORE_CTX_set_verify_cb(context.get(), Collect);
  X509_STORE_CTX_set_time(context.get(), 0, absl::ToTimeT(now));
  if (X509_verify_cert(context.get()) != 1 && errors.empty()) {
    errors.push_back(MakeError(VerificationErrorCode::kUnspecified, 0, leaf,
                               "it cannot be verified"));
  }
  for (size_t i = 0; i < sk_X509_num(certificates.get()); ++i) {
    X509* certificate = sk_X509_value(certificates.get(), i);
    if (KeyIsWeak(certificate)) {
      errors.push_back(MakeError(VerificationErrorCode::kWeakKeyOrSignature,
                                 static_cast<int>(i), certificate,
                                 "its key is too short"));
    }
  }
  if (!name.empty() && !NameMatches(leaf, name)) {
    errors.push_back(MakeError(VerificationErrorCode::kHostNameMismatch, 0,
                               leaf,
                               absl::StrCat("it is not for \"", name, "\"")));
  }
  ERR_clear_error();
  return errors;
}

uint8_t AlertFor(const VerificationError& error) {
  switch (error.code) {
    case VerificationErrorCode::kExpired:
    case VerificationErrorCode::kNotYetValid:
      return SSL_AD_CERTIFICATE_EXPIRED;
    case VerificationErrorCode::kRevoked:
      return SSL_AD_CERTIFICATE_REVOKED;
    case VerificationErrorCode::kUnableToGetIssuer:
    case VerificationErrorCode::kSelfSigned:
    case VerificationErrorCode::kSelfSignedInChain:
    case VerificationErrorCode::kUnableToVerifyFirst:
    case VerificationErrorCode::kNotTrusted:
      return SSL_AD_UNKNOWN_CA;
    case VerificationErrorCode::kInvalidPurpose:
      return SSL_AD_UNSUPPORTED_CERTIFICATE;
    case VerificationErrorCode::kNoPeerCertificate:
      return SSL_AD_HANDSHAKE_FAILURE;
    default:
      return SSL_AD_BAD_CERTIFICATE;
  }
}

}  // namespace cordon::dtls::internal
