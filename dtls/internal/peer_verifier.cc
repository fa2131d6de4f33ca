#include "cordon/dtls/internal/peer_verifier.h"

#include <openssl/bio.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/stack.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cordon/dtls/internal/chain_limits.h"
#include "cordon/dtls/internal/peer_identity.h"
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
  using Code = VerificationErrorCode;
  switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
      return Code::kUnableToGetIssuer;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
      return Code::kUnableToGetLocalIssuer;
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return Code::kUnableToVerifyFirst;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return Code::kSelfSigned;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return Code::kSelfSignedInChain;
    case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
      return Code::kUnableToDecryptSignature;
    case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY:
      return Code::kUnableToDecodeIssuerKey;
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return Code::kSignatureInvalid;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Code::kNotYetValid;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Code::kExpired;
    case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
      return Code::kInvalidNotBefore;
    case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
      return Code::kInvalidNotAfter;
    case X509_V_ERR_CERT_REVOKED:
      return Code::kRevoked;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
      return Code::kCrlUnavailable;
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD:
    case X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
    case X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
      return Code::kCrlInvalid;
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_INVALID_NON_CA:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
      return Code::kInvalidCa;
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return Code::kPathTooLong;
    case X509_V_ERR_INVALID_PURPOSE:
      return Code::kInvalidPurpose;
    case X509_V_ERR_CERT_UNTRUSTED:
      return Code::kNotTrusted;
    case X509_V_ERR_CERT_REJECTED:
      return Code::kRejected;
    case X509_V_ERR_SUBJECT_ISSUER_MISMATCH:
      return Code::kSubjectIssuerMismatch;
    case X509_V_ERR_AKID_SKID_MISMATCH:
    case X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH:
      return Code::kAuthorityKeyMismatch;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return Code::kHostNameMismatch;
    default:
      return Code::kUnspecified;
  }
}

}  // namespace

class PeerVerifier::Findings {
 public:
  // `sent` are the peer's certificates, of which `decoded` were made.
  Findings(const STACK_OF(CRYPTO_BUFFER) * sent, const STACK_OF(X509) * decoded,
           const CertificateLimits& limits)
      : sent_(sent), decoded_(decoded), limits_(limits) {}

  void Add(VerificationErrorCode code, int depth, X509* certificate,
           absl::string_view why) {
    if (IsNew(code, depth)) {
      AddNew(code, depth, SubjectOf(certificate), DerOf(certificate), why);
    }
  }
  // Of a certificate that was not decoded.
  void AddUnread(VerificationErrorCode code, size_t depth,
                 absl::string_view why) {
    AddNew(code, static_cast<int>(depth), "", SentDer(depth), why);
  }

  bool Has(VerificationErrorCode code) const {
    return std::any_of(
        errors_.begin(), errors_.end(),
        [code](const VerificationError& error) { return error.code == code; });
  }

  // What X509_verify_cert reports. False: it is not worth going on.
  bool OnReport(X509_STORE_CTX* context) {
    const int error = X509_STORE_CTX_get_error(context);
    const int depth = std::max(X509_STORE_CTX_get_error_depth(context), 0);
    // The lists of the authorities' issuers may be missing.
    if (error == X509_V_ERR_UNABLE_TO_GET_CRL && depth > 0) return true;
    const VerificationErrorCode code = CodeOf(error);
    X509* const current = X509_STORE_CTX_get_current_cert(context);
    Add(code, depth, current == nullptr ? sk_X509_value(decoded_, 0) : current,
        X509_verify_cert_error_string(error));
    if (!LeavesPeerUnknown(code)) return true;
    // Of those that are still to come: each certificate below the one in
    // question has a signature.
    if (static_cast<size_t>(depth) <= limits_.max_unanchored_signatures) {
      return true;
    }
    stopped_ = true;
    Add(VerificationErrorCode::kUnableToVerifyFirst, 0,
        sk_X509_value(decoded_, 0),
        absl::StrCat("its signature was not checked, because that of "
                     "certificate ",
                     depth, " cannot be trusted"));
    return false;
  }
  bool stopped() const { return stopped_; }

  std::vector<VerificationError> Take() { return std::move(errors_); }

 private:
  // False: it has been told already, or there is no room for it.
  bool IsNew(VerificationErrorCode code, int depth) {
    for (const VerificationError& known : errors_) {
      if (known.code == code && known.depth == depth) return false;
    }
    if (errors_.size() < kMaxVerificationErrors) return true;
    // Who ignores those that are told does not ignore this one.
    errors_.pop_back();
    AddNew(VerificationErrorCode::kLimitExceeded, 0, "", SentDer(0),
           absl::StrCat("there are more errors than ",
                        kMaxVerificationErrors - 1, ", which are not told"));
    return false;
  }
  void AddNew(VerificationErrorCode code, int depth, std::string subject,
              SharedBytes certificate, absl::string_view why) {
    VerificationError error;
    error.code = code;
    error.depth = depth;
    error.message = absl::StrCat(VerificationErrorName(code), ": certificate ",
                                 depth, subject.empty() ? "" : " (", subject,
                                 subject.empty() ? "" : ")", ": ", why);
    error.subject = std::move(subject);
    error.certificate = std::move(certificate);
    errors_.push_back(std::move(error));
  }

  // The one that the session has, too.
  SharedBytes SentDer(size_t depth) const {
    if (depth >= sk_CRYPTO_BUFFER_num(sent_)) return {};
    std::shared_ptr<CRYPTO_BUFFER> buffer(
        bssl::UpRef(sk_CRYPTO_BUFFER_value(sent_, depth)).release(),
        CRYPTO_BUFFER_free);
    const absl::string_view bytes(
        reinterpret_cast<const char*>(CRYPTO_BUFFER_data(buffer.get())),
        CRYPTO_BUFFER_len(buffer.get()));
    return {std::move(buffer), bytes};
  }
  // Shared by all errors of the certificate.
  SharedBytes DerOf(X509* certificate) {
    for (const auto& [known, der] : ders_) {
      if (known == certificate) return der;
    }
    ders_.emplace_back(certificate, NewDerOf(certificate));
    return ders_.back().second;
  }
  SharedBytes NewDerOf(X509* certificate) const {
    for (size_t i = 0; i < sk_X509_num(decoded_); ++i) {
      if (sk_X509_value(decoded_, i) == certificate) return SentDer(i);
    }
    uint8_t* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    if (size < 0) return {};
    std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
    return SharedBytes(std::move(text));
  }

  const STACK_OF(CRYPTO_BUFFER) * const sent_;
  const STACK_OF(X509) * const decoded_;
  const CertificateLimits& limits_;
  std::vector<VerificationError> errors_;
  std::vector<std::pair<const X509*, SharedBytes>> ders_;
  bool stopped_ = false;
};

// Called by X509_verify_cert: for each error, and for each certificate that has
// none.
int PeerVerifier::Collect(int ok, X509_STORE_CTX* context) {
  if (ok == 1) return 1;
  return static_cast<Findings*>(X509_STORE_CTX_get_ex_data(context, 0))
                 ->OnReport(context)
             ? 1
             : 0;
}

namespace {

bool KeyIsWeak(X509* certificate) {
  bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(certificate));
  return key == nullptr || (EVP_PKEY_id(key.get()) == EVP_PKEY_RSA &&
                            EVP_PKEY_bits(key.get()) < kMinRsaBits);
}

// Collisions of MD5 and SHA-1 can be bought (RFC 9325 section 4.1).
bool SignatureIsWeak(const X509* certificate) {
  switch (X509_get_signature_nid(certificate)) {
    case NID_md2WithRSAEncryption:
    case NID_md4WithRSAEncryption:
    case NID_md5WithRSAEncryption:
    case NID_md5WithRSA:
    case NID_sha1WithRSAEncryption:
    case NID_sha1WithRSA:
    case NID_dsaWithSHA1:
    case NID_ecdsa_with_SHA1:
      return true;
    default:
      return false;
  }
}

bool IsSelfIssued(X509* certificate) {
  return X509_NAME_cmp(X509_get_subject_name(certificate),
                       X509_get_issuer_name(certificate)) == 0;
}

absl::Status OutOfMemory() {
  return absl::ResourceExhaustedError("out of memory for the trust anchors");
}

absl::Status AddCrls(const std::string& pem, X509_STORE* store) {
  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(pem.data(), static_cast<ossl_ssize_t>(pem.size())));
  if (bio == nullptr) return OutOfMemory();
  int count = 0;
  while (true) {
    bssl::UniquePtr<X509_CRL> crl(
        PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr));
    if (crl == nullptr) break;
    if (X509_STORE_add_crl(store, crl.get()) != 1) {
      ERR_clear_error();
      return OutOfMemory();
    }
    ++count;
  }
  const uint32_t error = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM &&
                      ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (at_end && count > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the trust anchors: revocation list ", count + 1,
                   " cannot be read; is it PEM?"));
}

}  // namespace

bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> NameStack(
    const std::vector<std::string>& names) {
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> stack(sk_CRYPTO_BUFFER_new_null());
  if (stack == nullptr) return nullptr;
  for (const std::string& name : names) {
    bssl::UniquePtr<CRYPTO_BUFFER> buffer(CRYPTO_BUFFER_new(
        reinterpret_cast<const uint8_t*>(name.data()), name.size(), nullptr));
    if (buffer == nullptr ||
        !bssl::PushToStack(stack.get(), std::move(buffer))) {
      return nullptr;
    }
  }
  return stack;
}

absl::Status CheckChainDepth(int depth) {
  if (depth >= 0 && depth <= 100) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("max_chain_depth is ", depth, "; it must be from 0 to 100"));
}

VerificationError NoCertificateError() {
  VerificationError error;
  error.code = VerificationErrorCode::kNoPeerCertificate;
  error.message = "no certificate: the peer sent none";
  return error;
}

absl::StatusOr<std::vector<bssl::UniquePtr<X509>>> ParseCertificates(
    absl::string_view pem, absl::string_view what) {
  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(pem.data(), static_cast<ossl_ssize_t>(pem.size())));
  if (bio == nullptr) return OutOfMemory();
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

absl::StatusOr<PeerVerifier> PeerVerifier::Create(
    const TrustAnchors& anchors, const VerificationOptions& options,
    Peer peer) {
  PeerVerifier verifier(peer);
  verifier.common_name_fallback_ = options.common_name_fallback;
  for (const std::string& entry : options.blocked) {
    if (absl::Status status = verifier.blocked_.Add(entry); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("verification.blocked: ", status.message()));
    }
  }
  verifier.store_.reset(X509_STORE_new());
  if (verifier.store_ == nullptr) return OutOfMemory();
  if (!anchors.pem.empty()) {
    absl::StatusOr<std::vector<bssl::UniquePtr<X509>>> certificates =
        ParseCertificates(anchors.pem, "the trust anchors");
    if (!certificates.ok()) return certificates.status();
    for (const bssl::UniquePtr<X509>& certificate : *certificates) {
      uint8_t* der = nullptr;
      const int size =
          i2d_X509_NAME(X509_get_subject_name(certificate.get()), &der);
      const bssl::UniquePtr<uint8_t> owned(der);
      if (size < 0 ||
          X509_STORE_add_cert(verifier.store_.get(), certificate.get()) != 1) {
        ERR_clear_error();
        return OutOfMemory();
      }
      verifier.anchor_names_.emplace_back(reinterpret_cast<char*>(der),
                                          static_cast<size_t>(size));
    }
  }
  if (anchors.system) {
    // A machine without trust store trusts nobody, which is safe.
    for (const char* path : kSystemTrustFiles) {
      if (X509_STORE_load_locations(verifier.store_.get(), path, nullptr) ==
          1) {
        break;
      }
    }
    ERR_clear_error();
  }
  // A trusted certificate need not be a root, nor an authority: pinning a
  // peer's own certificate works.
  constexpr unsigned long kFlags = X509_V_FLAG_PARTIAL_CHAIN;
  if (!anchors.crl_pem.empty()) {
    if (absl::Status status = AddCrls(anchors.crl_pem, verifier.store_.get());
        !status.ok()) {
      return status;
    }
    verifier.has_crls_ = true;
  }
  if (X509_VERIFY_PARAM_set_flags(X509_STORE_get0_param(verifier.store_.get()),
                                  kFlags) != 1) {
    return OutOfMemory();
  }
  // What they say is read now: whether they are good for anything is decided
  // once, and memory may be short when a peer comes.
  const STACK_OF(X509_OBJECT)* objects =
      X509_STORE_get0_objects(verifier.store_.get());
  for (size_t i = 0; i < sk_X509_OBJECT_num(objects); ++i) {
    X509* const anchor =
        X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
    if (anchor == nullptr || X509_check_purpose(anchor, -1, 0) == 1) continue;
    // One that is good for nothing lets nobody pass, as long as it is there;
    // one for which there was no memory would be taken for it.
    for (uint32_t e = ERR_get_error(); e != 0; e = ERR_get_error()) {
      if (ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE) {
        ERR_clear_error();
        return OutOfMemory();
      }
    }
  }
  ERR_clear_error();
  return verifier;
}

// RFC 9525 knows no common name.
bool PeerVerifier::NameMatches(X509* certificate,
                               absl::string_view name) const {
  if (net::Endpoint::ParseAddress(name).ok()) {
    return X509_check_ip_asc(certificate, std::string(name).c_str(), 0) == 1;
  }
  unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
  if (!common_name_fallback_) flags |= X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
  return X509_check_host(certificate, name.data(), name.size(), flags,
                         nullptr) == 1;
}

bssl::UniquePtr<X509_STORE_CTX> PeerVerifier::Build(STACK_OF(X509) *
                                                        certificates,
                                                    const Demands& demands,
                                                    bool with_crls,
                                                    Findings* findings) const {
  X509* leaf = sk_X509_value(certificates, 0);
  bssl::UniquePtr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  if (context == nullptr ||
      X509_STORE_CTX_init(context.get(), store_.get(), leaf, certificates) !=
          1 ||
      X509_STORE_CTX_set_default(context.get(), peer_ == Peer::kServer
                                                    ? "ssl_server"
                                                    : "ssl_client") != 1 ||
      X509_STORE_CTX_set_ex_data(context.get(), 0, findings) != 1) {
    ERR_clear_error();
    findings->Add(VerificationErrorCode::kUnspecified, 0, leaf,
                  "it cannot be verified");
    return nullptr;
  }
  if (with_crls) {
    X509_STORE_CTX_set_flags(context.get(),
                             X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  }
  X509_STORE_CTX_set_verify_cb(context.get(), Collect);
  X509_STORE_CTX_set_time(context.get(), 0, absl::ToTimeT(demands.now));
  if (X509_verify_cert(context.get()) != 1 && !findings->stopped()) {
    // It may have been given up, for want of memory for example, before it came
    // to worse than what it has reported.
    const int last = X509_STORE_CTX_get_error(context.get());
    if (!findings->Has(CodeOf(last))) {
      findings->Add(VerificationErrorCode::kUnspecified, 0, leaf,
                    X509_verify_cert_error_string(last));
    }
  }
  return context;
}

// Weak or blocked certificates and too many of them, in the chain as it was
// built, from the peer's own to the trusted one.
void PeerVerifier::JudgeBuilt(const STACK_OF(X509) * chain, int max_depth,
                              Findings* findings) const {
  const int size = static_cast<int>(sk_X509_num(chain));
  for (int i = 0; i < size; ++i) {
    X509* certificate = sk_X509_value(chain, static_cast<size_t>(i));
    if (KeyIsWeak(certificate)) {
      findings->Add(
          VerificationErrorCode::kWeakKey, i, certificate,
          absl::StrCat("its RSA key has fewer than ", kMinRsaBits, " bits"));
    }
    // Nobody relies on what an anchor says of itself.
    const bool anchor = i == size - 1 && (i > 0 || IsSelfIssued(certificate));
    if (!anchor && SignatureIsWeak(certificate)) {
      findings->Add(VerificationErrorCode::kWeakSignature, i, certificate,
                    "it is signed with MD5 or SHA-1");
    }
    if (!blocked_.empty() && blocked_.Blocks(certificate)) {
      findings->Add(VerificationErrorCode::kBlocked, i, certificate,
                    "it is on the block list");
    }
  }
  // The peer's own and the anchor do not count.
  if (size - 2 > max_depth) {
    findings->Add(VerificationErrorCode::kPathTooLong, max_depth + 1,
                  sk_X509_value(chain, static_cast<size_t>(max_depth) + 1),
                  absl::StrCat("there are ", size - 2,
                               " authorities below the trusted one; at most ",
                               max_depth, " are allowed"));
  }
}

std::vector<VerificationError> PeerVerifier::Verify(
    const STACK_OF(CRYPTO_BUFFER) * chain, const Demands& demands) const {
  const size_t sent = chain == nullptr ? 0 : sk_CRYPTO_BUFFER_num(chain);
  if (sent == 0) return {NoCertificateError()};
  bssl::UniquePtr<STACK_OF(X509)> certificates(sk_X509_new_null());
  Findings findings(chain, certificates.get(), demands.limits);
  const std::optional<ExceededLimit> exceeded =
      FindExceededLimit(chain, demands.max_chain_depth, demands.limits);
  if (exceeded.has_value()) {
    if (exceeded->name.empty()) {
      findings.AddUnread(VerificationErrorCode::kUnspecified, exceeded->depth,
                         "it cannot be read");
    } else {
      findings.AddUnread(VerificationErrorCode::kLimitExceeded, exceeded->depth,
                         absl::StrCat(exceeded->name, " is ", exceeded->allowed,
                                      ", and it comes to ", exceeded->found));
    }
    return findings.Take();
  }
  const size_t looked_at =
      std::min(sent, MaxCertificates(demands.max_chain_depth));
  for (size_t i = 0; i < looked_at; ++i) {
    bssl::UniquePtr<X509> certificate(
        X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(chain, i)));
    // Were one missing another would be taken for the peer's own.
    if (certificates == nullptr || certificate == nullptr ||
        !bssl::PushToStack(certificates.get(), std::move(certificate))) {
      ERR_clear_error();
      findings.AddUnread(VerificationErrorCode::kUnspecified, i,
                         "it cannot be read");
      return findings.Take();
    }
  }

  X509* leaf = sk_X509_value(certificates.get(), 0);
  // Revocation lists come before signatures in X509_verify_cert, but a list is
  // hashed whole for each certificate that names its issuer: so strangers are
  // turned away first.
  bssl::UniquePtr<X509_STORE_CTX> context =
      Build(certificates.get(), demands, /*with_crls=*/false, &findings);
  if (context != nullptr && has_crls_ && !findings.stopped()) {
    context = Build(certificates.get(), demands, /*with_crls=*/true, &findings);
  }
  if (context == nullptr) return findings.Take();
  const STACK_OF(X509)* built = X509_STORE_CTX_get0_chain(context.get());
  JudgeBuilt(built == nullptr ? certificates.get() : built,
             demands.max_chain_depth, &findings);
  if (sent > looked_at &&
      (findings.Has(VerificationErrorCode::kUnableToGetIssuer) ||
       findings.Has(VerificationErrorCode::kUnableToGetLocalIssuer))) {
    findings.Add(VerificationErrorCode::kPathTooLong,
                 static_cast<int>(looked_at) - 1,
                 sk_X509_value(certificates.get(), looked_at - 1),
                 absl::StrCat("there are ", sent,
                              " certificates, of which with max_chain_depth ",
                              demands.max_chain_depth, " only the first ",
                              looked_at, " are looked at"));
  }
  if (!demands.name.empty() && !NameMatches(leaf, demands.name)) {
    findings.Add(VerificationErrorCode::kHostNameMismatch, 0, leaf,
                 absl::StrCat("it is not for \"", demands.name, "\""));
  }
  ERR_clear_error();
  return findings.Take();
}

uint8_t AlertFor(const VerificationError& error) {
  switch (error.code) {
    case VerificationErrorCode::kExpired:
    case VerificationErrorCode::kNotYetValid:
      return SSL_AD_CERTIFICATE_EXPIRED;
    case VerificationErrorCode::kRevoked:
      return SSL_AD_CERTIFICATE_REVOKED;
    case VerificationErrorCode::kUnableToGetIssuer:
    case VerificationErrorCode::kUnableToGetLocalIssuer:
    case VerificationErrorCode::kSelfSigned:
    case VerificationErrorCode::kSelfSignedInChain:
    case VerificationErrorCode::kUnableToVerifyFirst:
    case VerificationErrorCode::kNotTrusted:
      return SSL_AD_UNKNOWN_CA;
    case VerificationErrorCode::kInvalidPurpose:
      return SSL_AD_UNSUPPORTED_CERTIFICATE;
    case VerificationErrorCode::kNoPeerCertificate:
      return SSL_AD_HANDSHAKE_FAILURE;
    case VerificationErrorCode::kBlocked:
    case VerificationErrorCode::kRejected:
    case VerificationErrorCode::kNotPinned:
    case VerificationErrorCode::kNameNotAllowed:
    case VerificationErrorCode::kNameDenied:
      return SSL_AD_ACCESS_DENIED;
    case VerificationErrorCode::kPskNotAllowed:
      return SSL_AD_UNKNOWN_PSK_IDENTITY;
    case VerificationErrorCode::kUnspecified:
    case VerificationErrorCode::kLimitExceeded:
    case VerificationErrorCode::kUnableToDecryptSignature:
    case VerificationErrorCode::kUnableToDecodeIssuerKey:
    case VerificationErrorCode::kSignatureInvalid:
    case VerificationErrorCode::kInvalidNotBefore:
    case VerificationErrorCode::kInvalidNotAfter:
    case VerificationErrorCode::kCrlUnavailable:
    case VerificationErrorCode::kCrlInvalid:
    case VerificationErrorCode::kInvalidCa:
    case VerificationErrorCode::kPathTooLong:
    case VerificationErrorCode::kSubjectIssuerMismatch:
    case VerificationErrorCode::kAuthorityKeyMismatch:
    case VerificationErrorCode::kHostNameMismatch:
    case VerificationErrorCode::kWeakKey:
    case VerificationErrorCode::kWeakSignature:
      break;
  }
  return SSL_AD_BAD_CERTIFICATE;
}

}  // namespace cordon::dtls::internal
