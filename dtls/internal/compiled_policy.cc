#include "cordon/dtls/internal/compiled_policy.h"

#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cordon/dtls/internal/block_list.h"
#include "cordon/dtls/internal/chain_limits.h"
#include "cordon/dtls/internal/peer_identity.h"
#include "cordon/net/base/printable.h"

namespace cordon::dtls::internal {
namespace {

// More would be a mistake, or an attempt to fill the memory.
constexpr size_t kMaxListEntries = 100'000;

absl::Status At(absl::string_view field, const absl::Status& status) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", status.message()));
}

absl::Status Bad(absl::string_view field, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", why));
}

std::string Item(absl::string_view list, size_t index,
                 absl::string_view field = "") {
  return absl::StrCat(list, "[", index, "]", field);
}

absl::StatusOr<std::string> LowerHex(absl::string_view fingerprint) {
  absl::StatusOr<std::string> binary = ParseFingerprint(fingerprint);
  if (!binary.ok()) return binary.status();
  return absl::BytesToHexString(*binary);
}

absl::Status ParsePatterns(absl::string_view field,
                           const std::vector<std::string>& texts,
                           NameRules* patterns) {
  for (size_t i = 0; i < texts.size(); ++i) {
    absl::StatusOr<NamePattern> pattern = NamePattern::Parse(texts[i]);
    if (!pattern.ok()) return At(Item(field, i), pattern.status());
    patterns->Add(*std::move(pattern));
  }
  return absl::OkStatus();
}

absl::Status CheckIdentities(absl::string_view field,
                             const std::vector<std::string>& identities,
                             absl::flat_hash_set<std::string>* set) {
  for (size_t i = 0; i < identities.size(); ++i) {
    if (identities[i].empty() || identities[i].size() > PSK_MAX_IDENTITY_LEN) {
      return Bad(Item(field, i),
                 absl::StrCat("an identity must have from 1 to ",
                              PSK_MAX_IDENTITY_LEN, " characters"));
    }
    set->insert(identities[i]);
  }
  return absl::OkStatus();
}

// Pins, names and identities have lists of their own.
absl::Status CheckTolerable(VerificationErrorCode code) {
  switch (code) {
    case VerificationErrorCode::kNotPinned:
    case VerificationErrorCode::kNameNotAllowed:
    case VerificationErrorCode::kNameDenied:
    case VerificationErrorCode::kPskNotAllowed:
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", VerificationErrorId(code),
          "\" cannot be tolerated: change the policy's list instead"));
    case VerificationErrorCode::kLimitExceeded:
      return absl::InvalidArgumentError(
          "\"limit_exceeded\" cannot be tolerated: nothing is known of such a "
          "peer");
    case VerificationErrorCode::kUnspecified:
      return absl::InvalidArgumentError(
          "say which error is tolerated, \"expired\" for one; "
          "\"unspecified\" would be too many");
    case VerificationErrorCode::kNoPeerCertificate:
    case VerificationErrorCode::kUnableToGetIssuer:
    case VerificationErrorCode::kUnableToGetLocalIssuer:
    case VerificationErrorCode::kUnableToVerifyFirst:
    case VerificationErrorCode::kSelfSigned:
    case VerificationErrorCode::kSelfSignedInChain:
    case VerificationErrorCode::kUnableToDecryptSignature:
    case VerificationErrorCode::kUnableToDecodeIssuerKey:
    case VerificationErrorCode::kSignatureInvalid:
    case VerificationErrorCode::kNotYetValid:
    case VerificationErrorCode::kExpired:
    case VerificationErrorCode::kInvalidNotBefore:
    case VerificationErrorCode::kInvalidNotAfter:
    case VerificationErrorCode::kRevoked:
    case VerificationErrorCode::kCrlUnavailable:
    case VerificationErrorCode::kCrlInvalid:
    case VerificationErrorCode::kInvalidCa:
    case VerificationErrorCode::kPathTooLong:
    case VerificationErrorCode::kInvalidPurpose:
    case VerificationErrorCode::kNotTrusted:
    case VerificationErrorCode::kRejected:
    case VerificationErrorCode::kSubjectIssuerMismatch:
    case VerificationErrorCode::kAuthorityKeyMismatch:
    case VerificationErrorCode::kHostNameMismatch:
    case VerificationErrorCode::kWeakKey:
    case VerificationErrorCode::kWeakSignature:
    case VerificationErrorCode::kBlocked:
      break;
  }
  return absl::OkStatus();
}

// Why `code` is not tolerated of a name.
std::string Forgeable(VerificationErrorCode code) {
  return absl::StrCat(
      "a certificate with the error \"", VerificationErrorId(code),
      "\" may have any name, because nobody vouches for it: say which peer is "
      "meant by its certificate (fingerprint) or its key (spki) instead");
}

VerificationError ErrorOf(VerificationErrorCode code, const PeerIdentity& peer,
                          absl::string_view why) {
  VerificationError error;
  error.code = code;
  error.subject = peer.subject;
  error.certificate = peer.chain.empty() ? "" : peer.chain.front();
  error.message = absl::StrCat(VerificationErrorName(code), ": certificate 0 (",
                               peer.subject, "): ", why);
  return error;
}

// The first few.
std::string NamesOf(const PeerIdentity& peer) {
  constexpr size_t kShown = 4;
  std::vector<std::string> names;
  for (const auto* list : {&peer.dns_names, &peer.uris}) {
    for (const std::string& name : *list) {
      if (names.size() == kShown) break;
      names.push_back(net::Printable(name, net::kMaxNameBytes));
    }
  }
  if (names.empty()) return "it has none";
  const size_t all = peer.dns_names.size() + peer.uris.size();
  return absl::StrCat(
      "it has ", absl::StrJoin(names, ", "),
      all > kShown ? absl::StrCat(" and ", all - kShown, " more") : "");
}

}  // namespace

absl::StatusOr<std::shared_ptr<const CompiledPolicy>> CompiledPolicy::Compile(
    const Policy& policy, uint64_t version, uint64_t judges_before) {
  std::shared_ptr<CompiledPolicy> compiled(
      new CompiledPolicy(policy, version, judges_before));
  if (absl::Status status = compiled->Init(); !status.ok()) return status;
  return std::shared_ptr<const CompiledPolicy>(std::move(compiled));
}

absl::Status CompiledPolicy::Init() {
  const Policy& p = policy_;
  for (const auto& [field, size] :
       {std::pair<const char*, size_t>("tolerated", p.tolerated.size()),
        {"pins", p.pins.size()},
        {"allowed_names", p.allowed_names.size()},
        {"denied_names", p.denied_names.size()},
        {"blocked", p.blocked.size()},
        {"psk.enabled_identities", p.psk_enabled_identities.size()},
        {"psk.disabled_identities", p.psk_disabled_identities.size()}}) {
    if (size > kMaxListEntries) {
      return Bad(field, absl::StrCat("it has ", size, " entries; at most ",
                                     kMaxListEntries, " are allowed"));
    }
  }
  if (p.client_certificate == PeerVerification::kAuto) {
    return Bad("client_certificate",
               "say NONE, QUERY, REQUEST or REQUIRE: there is no default");
  }
  if (RefusesUnverified(p.client_certificate) && p.trust.empty()) {
    return Bad("trust",
               "client certificates are verified, but nobody is trusted: give "
               "trust.pem or trust.system");
  }
  if (absl::Status status = CheckChainDepth(p.max_chain_depth); !status.ok()) {
    return At("max_chain_depth", status);
  }
  if (!p.min_version.empty() && p.min_version != "DTLSv1.2") {
    return Bad("min_version",
               absl::StrCat("\"", absl::CEscape(p.min_version),
                            "\" is not supported: leave it empty, or say "
                            "\"DTLSv1.2\""));
  }
  if (!p.trust.pem.empty()) {
    absl::Status status =
        ParseCertificates(p.trust.pem, "the trust anchors").status();
    if (!status.ok()) return At("trust.pem", status);
  }
  BlockList blocked;
  for (size_t i = 0; i < p.blocked.size(); ++i) {
    absl::Status status = blocked.Add(p.blocked[i]);
    if (!status.ok()) return At(Item("blocked", i), status);
  }
  VerificationOptions options;
  options.blocked = p.blocked;
  absl::StatusOr<PeerVerifier> verifier =
      PeerVerifier::Create(p.trust, options, PeerVerifier::Peer::kClient);
  if (!verifier.ok()) return At("trust.crl_pem", verifier.status());
  verifier_.push_back(*std::move(verifier));

  for (size_t i = 0; i < p.tolerated.size(); ++i) {
    const Tolerance& tolerance = p.tolerated[i];
    if (absl::Status status = CheckTolerable(tolerance.error); !status.ok()) {
      return At(Item("tolerated", i, ".error"), status);
    }
    CompiledTolerance compiled = {.error = tolerance.error};
    for (const auto& [field, text, hex] :
         {std::tuple(".fingerprint", &tolerance.fingerprint,
                     &compiled.fingerprint),
          {".spki", &tolerance.spki, &compiled.spki}}) {
      if (text->empty()) continue;
      absl::StatusOr<std::string> parsed = LowerHex(*text);
      if (!parsed.ok()) {
        return At(Item("tolerated", i, field), parsed.status());
      }
      *hex = *std::move(parsed);
    }
    const bool forgeable = BreaksTrust(tolerance.error) &&
                           tolerance.fingerprint.empty() &&
                           tolerance.spki.empty();
    if (forgeable && !tolerance.name.empty()) {
      return Bad(Item("tolerated", i, ".name"), Forgeable(tolerance.error));
    }
    if (forgeable && !p.allowed_names.empty() && p.pins.empty()) {
      return Bad(Item("tolerated", i, ".error"),
                 absl::StrCat("there are allowed_names, but ",
                              Forgeable(tolerance.error), ", or pins"));
    }
    if (!tolerance.name.empty()) {
      absl::StatusOr<NamePattern> name = NamePattern::Parse(tolerance.name);
      if (!name.ok()) return At(Item("tolerated", i, ".name"), name.status());
      compiled.name.push_back(*std::move(name));
    }
    tolerated_.push_back(std::move(compiled));
  }
  for (size_t i = 0; i < p.pins.size(); ++i) {
    absl::StatusOr<std::string> hex = LowerHex(p.pins[i].sha256);
    if (!hex.ok()) return At(Item("pins", i, ".sha256"), hex.status());
    (p.pins[i].kind == Pin::Kind::kSpki ? spki_pins_ : certificate_pins_)
        .insert(*std::move(hex));
  }
  absl::Status status =
      ParsePatterns("allowed_names", p.allowed_names, &allowed_);
  status.Update(ParsePatterns("denied_names", p.denied_names, &denied_));
  status.Update(CheckIdentities("psk.enabled_identities",
                                p.psk_enabled_identities, &psk_enabled_));
  status.Update(CheckIdentities("psk.disabled_identities",
                                p.psk_disabled_identities, &psk_disabled_));
  if (!status.ok()) return status;

  const std::string rules =
      absl::StrCat(PeerVerificationName(p.client_certificate), "\n",
                   p.trust.system ? "system\n" : "\n", p.trust.pem);
  SHA256(reinterpret_cast<const uint8_t*>(rules.data()), rules.size(),
         rules_digest_.data());
  return absl::OkStatus();
}

bool CompiledPolicy::ApplyTo(SSL* ssl) const {
  if (SSL_set_session_id_context(ssl, rules_digest_.data(),
                                 rules_digest_.size()) != 1) {
    return false;
  }
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> names =
      NameStack(verifier_.front().anchor_names());
  if (names == nullptr) return false;
  SSL_set0_client_CAs(ssl, names.release());
  return true;
}

bool CompiledPolicy::Tolerates(const VerificationError& error,
                               const PeerIdentity& peer) const {
  return std::any_of(
      tolerated_.begin(), tolerated_.end(), [&](const CompiledTolerance& t) {
        return t.error == error.code &&
               (t.fingerprint.empty() || t.fingerprint == peer.fingerprint) &&
               (t.spki.empty() || t.spki == peer.spki_fingerprint) &&
               (t.name.empty() || t.name.front().Allows(peer));
      });
}

CompiledPolicy::Judgement CompiledPolicy::JudgeChain(
    const STACK_OF(CRYPTO_BUFFER) * chain,
    const PeerVerifier::Demands& demands) const {
  Judgement judgement;
  bool whole = true;
  const PeerIdentity peer = IdentityOf(chain, &whole, demands.limits);
  for (VerificationError& error : verifier_.front().Verify(chain, demands)) {
    (Tolerates(error, peer) ? judgement.tolerated : judgement.errors)
        .push_back(std::move(error));
  }
  if (peer.chain.empty()) return judgement;
  if (!(spki_pins_.empty() && certificate_pins_.empty()) &&
      !spki_pins_.contains(peer.spki_fingerprint) &&
      !certificate_pins_.contains(peer.fingerprint)) {
    judgement.refusals.push_back(
        ErrorOf(VerificationErrorCode::kNotPinned, peer,
                absl::StrCat("its fingerprint ", peer.fingerprint,
                             " and that of its key ", peer.spki_fingerprint,
                             " are not among the pins")));
  }
  // Names of chains that anybody can make are many, and say nothing.
  judgement.names_unjudged = std::any_of(
      judgement.errors.begin(), judgement.errors.end(),
      [](const VerificationError& e) { return LeavesPeerUnknown(e.code); });
  if (!judgement.names_unjudged) {
    std::vector<VerificationError> names = JudgeNamesOf(peer, whole);
    std::move(names.begin(), names.end(),
              std::back_inserter(judgement.refusals));
  }
  return judgement;
}

std::vector<VerificationError> CompiledPolicy::JudgeNames(
    const STACK_OF(CRYPTO_BUFFER) * chain,
    const CertificateLimits& limits) const {
  bool whole = true;
  const PeerIdentity peer = IdentityOf(chain, &whole, limits);
  if (peer.chain.empty()) return {};
  return JudgeNamesOf(peer, whole);
}

std::vector<VerificationError> CompiledPolicy::JudgeNamesOf(
    const PeerIdentity& peer, bool whole) const {
  std::vector<VerificationError> refusals;
  if (!whole) {
    // It may have a name that is denied.
    refusals.push_back(ErrorOf(VerificationErrorCode::kUnspecified, peer,
                               "its names cannot be read"));
  }
  if (const std::optional<size_t> i = denied_.Denying(peer); i.has_value()) {
    refusals.push_back(
        ErrorOf(VerificationErrorCode::kNameDenied, peer,
                absl::StrCat("it has a name that \"", policy_.denied_names[*i],
                             "\" denies")));
  }
  if (!allowed_.empty() && !allowed_.Allowing(peer).has_value()) {
    refusals.push_back(
        ErrorOf(VerificationErrorCode::kNameNotAllowed, peer,
                absl::StrCat("none of its names is allowed; ", NamesOf(peer))));
  }
  return refusals;
}

std::vector<VerificationError> CompiledPolicy::JudgeSession(
    const STACK_OF(CRYPTO_BUFFER) * chain,
    std::optional<absl::string_view> psk_identity, absl::Time now,
    const CertificateLimits& limits) const {
  if (psk_identity.has_value()) {
    if (AllowsPsk(*psk_identity)) return {};
    return {PskError(*psk_identity)};
  }
  if (chain == nullptr || sk_CRYPTO_BUFFER_num(chain) == 0) {
    if (policy_.client_certificate != PeerVerification::kVerify ||
        ToleratesAnonymous()) {
      return {};
    }
    return {NoCertificateError()};
  }
  if (!RefusesUnverified(policy_.client_certificate)) return {};
  PeerVerifier::Demands demands;
  demands.max_chain_depth = policy_.max_chain_depth;
  demands.now = now;
  demands.limits = limits;
  Judgement judgement = JudgeChain(chain, demands);
  std::vector<VerificationError> errors = std::move(judgement.errors);
  std::move(judgement.refusals.begin(), judgement.refusals.end(),
            std::back_inserter(errors));
  return errors;
}

absl::Status CompiledPolicy::Refusal(
    const std::vector<VerificationError>& errors) const {
  absl::Status status = absl::PermissionDeniedError(
      absl::StrCat("the policy (version ", version_,
                   ") no longer lets the peer pass: ", MessagesOf(errors)));
  ErrorDetail detail;
  detail.alert = AlertFor(errors.front());
  detail.verification_errors = errors;
  SetErrorDetail(&status, detail);
  return status;
}

bool CompiledPolicy::ToleratesAnonymous() const {
  return Tolerates(NoCertificateError(), PeerIdentity());
}

bool CompiledPolicy::AllowsPsk(absl::string_view identity) const {
  return !policy_.psk_disabled && !psk_disabled_.contains(identity) &&
         (psk_enabled_.empty() || psk_enabled_.contains(identity));
}

VerificationError CompiledPolicy::PskError(absl::string_view identity) {
  VerificationError error;
  error.code = VerificationErrorCode::kPskNotAllowed;
  error.subject = net::Printable(identity, net::kMaxNameBytes);
  error.message =
      absl::StrCat(VerificationErrorName(error.code), ": the identity \"",
                   absl::StrReplaceAll(error.subject, {{"\"", "\\\""}}),
                   "\" is not enabled");
  return error;
}

}  // namespace cordon::dtls::internal
