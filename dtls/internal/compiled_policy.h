// A `Policy` that has been checked and is ready for use.
#ifndef CORDON_DTLS_INTERNAL_COMPILED_POLICY_H_
#define CORDON_DTLS_INTERNAL_COMPILED_POLICY_H_

#include <openssl/base.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/stack.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/internal/name_pattern.h"
#include "cordon/dtls/internal/name_rules.h"
#include "cordon/dtls/internal/peer_verifier.h"
#include "cordon/dtls/policy.h"
#include "cordon/dtls/verification.h"

namespace cordon::dtls::internal {

// Immutable; shared by all threads.
class CompiledPolicy {
 public:
  // kInvalidArgument: the message begins with the name of the field that is
  // wrong, "pins[1].sha256: ...".
  static absl::StatusOr<std::shared_ptr<const CompiledPolicy>> Compile(
      const Policy& policy, uint64_t version, uint64_t judges_before = 0);

  const Policy& policy() const { return policy_; }
  uint64_t version() const { return version_; }
  // Sessions that were begun under a version before this one are judged by this
  // policy, too: it, or one between, was set with
  // `PolicyStore::Change::apply_to_sessions`. 0: none are.
  uint64_t judges_before() const { return judges_before_; }

  // What is wrong with a peer's certificates.
  struct Judgement {
    // Verification errors that count, and those that are tolerated.
    std::vector<VerificationError> errors = {};
    std::vector<VerificationError> tolerated = {};
    // Pins and names that the peer does not have, or must not have: nobody but
    // the policy decides about these.
    std::vector<VerificationError> refusals = {};
    // Its names were not looked at, because anybody may have made the chain:
    // whoever lets the peer pass all the same asks `JudgeNames` first.
    bool names_unjudged = false;
  };
  Judgement JudgeChain(const STACK_OF(CRYPTO_BUFFER) * chain,
                       const PeerVerifier::Demands& demands) const;

  // The refusals because of the names of the peer's own certificate.
  std::vector<VerificationError> JudgeNames(
      const STACK_OF(CRYPTO_BUFFER) * chain,
      const CertificateLimits& limits) const;

  // What is wrong with a session that is there already; nothing if it may stay.
  // It was begun with the pre-shared key of `psk_identity`, which may be empty,
  // or without any. Errors that only the application has let pass count again.
  std::vector<VerificationError> JudgeSession(
      const STACK_OF(CRYPTO_BUFFER) * chain,
      std::optional<absl::string_view> psk_identity, absl::Time now,
      const CertificateLimits& limits = {}) const;

  // What such a session ends with: kPermissionDenied, with the alert that tells
  // its peer.
  absl::Status Refusal(const std::vector<VerificationError>& errors) const;

  // Whether a peer without certificate may pass where one is required.
  bool ToleratesAnonymous() const;

  bool AllowsPsk(absl::string_view identity) const;
  // The error of a session with a key that is not allowed.
  static VerificationError PskError(absl::string_view identity);

  // What a server's `ssl` sends of it to clients, and the sessions that it
  // resumes: those that were begun under the same rules.
  bool ApplyTo(SSL* ssl) const;

 private:
  CompiledPolicy(const Policy& policy, uint64_t version, uint64_t judges_before)
      : policy_(policy), version_(version), judges_before_(judges_before) {}
  absl::Status Init();

  struct CompiledTolerance {
    VerificationErrorCode error = VerificationErrorCode::kUnspecified;
    std::string fingerprint = {};        // lower-case hexadecimal, or empty
    std::string spki = {};               // likewise
    std::vector<NamePattern> name = {};  // none or one
  };
  bool Tolerates(const VerificationError& error,
                 const PeerIdentity& peer) const;
  std::vector<VerificationError> JudgeNamesOf(const PeerIdentity& peer,
                                              bool whole) const;

  const Policy policy_;
  const uint64_t version_;
  const uint64_t judges_before_;
  std::vector<PeerVerifier> verifier_;  // one
  std::vector<CompiledTolerance> tolerated_;
  // In lower-case hexadecimal.
  absl::flat_hash_set<std::string> spki_pins_;
  absl::flat_hash_set<std::string> certificate_pins_;
  NameRules allowed_;
  NameRules denied_;
  absl::flat_hash_set<std::string> psk_enabled_;
  absl::flat_hash_set<std::string> psk_disabled_;
  std::array<uint8_t, 32> rules_digest_ = {};
};

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_COMPILED_POLICY_H_
