#include "cordon/dtls/internal/ssl_callbacks.h"

#include <openssl/mem.h>
#include <openssl/pool.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <utility>

#include "cordon/dtls/internal/chain_limits.h"
#include "cordon/dtls/internal/compiled_policy.h"
#include "cordon/dtls/internal/context_state.h"
#include "cordon/dtls/internal/peer_verifier.h"

namespace cordon::dtls::internal {
namespace {

// Microseconds since 1970; BoringSSL's callback gets no context to find an
// engine by.
constinit thread_local int64_t current_micros = 0;

int NotesIndex() {
  static const int index =
      SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

HandshakeNotes* NotesOf(const SSL* ssl) {
  return static_cast<HandshakeNotes*>(SSL_get_ex_data(ssl, NotesIndex()));
}

void CurrentTime(const SSL*, timeval* out) {
  out->tv_sec = current_micros / 1'000'000;
  out->tv_usec = current_micros % 1'000'000;
}

void Info(const SSL* ssl, int type, int value) {
  HandshakeNotes* notes = NotesOf(ssl);
  if (notes == nullptr) return;
  // A warning ends nothing, unless it says that the peer closes.
  const int alert = value & 0xff;
  if (value >> 8 == SSL3_AL_WARNING && alert != SSL_AD_CLOSE_NOTIFY) return;
  if (type == SSL_CB_READ_ALERT) notes->alert_received = alert;
  if (type == SSL_CB_WRITE_ALERT) notes->alert_sent = alert;
}

int SelectAlpn(SSL* ssl, const uint8_t** out, uint8_t* out_size,
               const uint8_t* in, unsigned in_size, void*) {
  const HandshakeNotes* notes = NotesOf(ssl);
  const std::vector<uint8_t>& ours = notes->alpn_wire.has_value()
                                         ? *notes->alpn_wire
                                         : ContextState::Of(ssl)->alpn_wire();
  if (ours.empty()) return SSL_TLSEXT_ERR_NOACK;
  uint8_t* selected = nullptr;
  if (SSL_select_next_proto(&selected, out_size, ours.data(),
                            static_cast<unsigned>(ours.size()), in,
                            in_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

unsigned ServerPsk(SSL* ssl, const char* identity, uint8_t* psk,
                   unsigned max_size) {
  HandshakeNotes* notes = NotesOf(ssl);
  if (notes->policy != nullptr && !notes->policy->AllowsPsk(identity)) {
    notes->Refuse(CompiledPolicy::PskError(identity));
    return 0;
  }
  const std::vector<uint8_t>* key = ContextState::Of(ssl)->FindPsk(identity);
  if (key == nullptr && !notes->psk.key.empty() &&
      notes->psk.identity == identity) {
    key = &notes->psk.key;
  }
  if (key == nullptr || key->size() > max_size) return 0;
  std::copy(key->begin(), key->end(), psk);
  return static_cast<unsigned>(key->size());
}

unsigned ClientPsk(SSL* ssl, const char* hint, char* identity,
                   unsigned max_identity_size, uint8_t* psk,
                   unsigned max_size) {
  HandshakeNotes* notes = NotesOf(ssl);
  if (hint != nullptr) notes->psk_hint = hint;
  absl::StatusOr<PreSharedKey> ours =
      ContextState::Of(ssl)->ClientPsk(notes->psk_hint);
  if (!ours.ok()) {
    notes->psk_error = ours.status();
    return 0;
  }
  unsigned size = 0;
  if (ours->identity.size() < max_identity_size &&
      ours->key.size() <= max_size) {
    std::memcpy(identity, ours->identity.c_str(), ours->identity.size() + 1);
    std::copy(ours->key.begin(), ours->key.end(), psk);
    size = static_cast<unsigned>(ours->key.size());
  }
  OPENSSL_cleanse(ours->key.data(), ours->key.size());
  return size;
}

void KeyLog(const SSL* ssl, const char* line) {
  ContextState::Of(ssl)->key_log()(line);
}

bool UseCertificate(SSL* ssl, const LoadedCertificate& certificate) {
  std::vector<CRYPTO_BUFFER*> chain;
  chain.reserve(certificate.chain.size());
  for (const bssl::UniquePtr<CRYPTO_BUFFER>& c : certificate.chain) {
    chain.push_back(c.get());
  }
  return SSL_set_chain_and_key(ssl, chain.data(), chain.size(),
                               certificate.key.get(), nullptr) == 1;
}

// When the peer's hello is known and our certificate is needed.
int ProvideCertificate(SSL* ssl, void*) {
  if (const LoadedCertificate* own = NotesOf(ssl)->certificate.get()) {
    return UseCertificate(ssl, *own) ? 1 : 0;
  }
  const std::shared_ptr<const LoadedCertificate> certificate =
      ContextState::Of(ssl)->ChooseCertificate(
          SSL_is_server(ssl)
              ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
              : nullptr);
  if (certificate == nullptr) return 1;
  return UseCertificate(ssl, *certificate) ? 1 : 0;
}

}  // namespace

bool AttachNotes(SSL* ssl, HandshakeNotes* notes) {
  return SSL_set_ex_data(ssl, NotesIndex(), notes) == 1;
}

ScopedTime::ScopedTime(absl::Time now)
    : previous_(std::exchange(current_micros, absl::ToUnixMicros(now))) {}

ScopedTime::~ScopedTime() { current_micros = previous_; }

HandshakeNotes::HandshakeNotes() = default;
HandshakeNotes::~HandshakeNotes() { ForgetPsk(); }

void HandshakeNotes::Reset() {
  std::destroy_at(this);
  std::construct_at(this);
}

void HandshakeNotes::Refuse(VerificationError error) {
  refusal = error.message;
  reject_alert = AlertFor(error);
  errors = {std::move(error)};
  verdict = Verdict::kRejected;
}

void HandshakeNotes::ForgetPsk() {
  OPENSSL_cleanse(psk.key.data(), psk.key.size());
  psk = {};
}

void JudgePeer(const SSL* ssl, HandshakeNotes* notes) {
  const ContextState* context = ContextState::Of(ssl);
  const STACK_OF(CRYPTO_BUFFER)* chain = SSL_get0_peer_certificates(ssl);
  const bool judged = notes->mode != PeerVerification::kNone;
  CompiledPolicy::Judgement found;
  if (judged) {
    PeerVerifier::Demands demands;
    demands.name = notes->verify_name;
    demands.max_chain_depth = notes->max_chain_depth;
    demands.now = context->WallNow();
    demands.limits = context->certificate_limits();
    if (notes->policy != nullptr) {
      found = notes->policy->JudgeChain(chain, demands);
    } else {
      found.errors = context->verifier().Verify(chain, demands);
    }
  }
  notes->verified = judged && found.errors.empty() && found.tolerated.empty() &&
                    found.refusals.empty();
  notes->errors = NotIgnored(found.errors, notes->ignored);
  notes->tolerated = std::move(found.tolerated);
  if (notes->errors.size() < found.errors.size()) {
    for (VerificationError& error : found.errors) {
      if (std::find(notes->errors.begin(), notes->errors.end(), error) ==
          notes->errors.end()) {
        notes->tolerated.push_back(std::move(error));
      }
    }
  }
  const bool strict = notes->mode == PeerVerification::kVerify ||
                      notes->mode == PeerVerification::kVerifyIfGiven;
  notes->names_unjudged =
      found.names_unjudged && strict &&
      std::any_of(notes->errors.begin(), notes->errors.end(),
                  [](const VerificationError& error) {
                    return LeavesPeerUnknown(error.code);
                  });
  if (found.names_unjudged && strict && !notes->names_unjudged) {
    // What left the peer unknown is ignored.
    std::vector<VerificationError> names =
        notes->policy->JudgeNames(chain, context->certificate_limits());
    std::move(names.begin(), names.end(), std::back_inserter(found.refusals));
  }
  if (!found.refusals.empty() && strict) {
    notes->refusal = found.refusals.front().message;
    notes->reject_alert = AlertFor(found.refusals.front());
  }
  std::move(found.refusals.begin(), found.refusals.end(),
            std::back_inserter(notes->errors));
  if (!notes->refusal.empty()) {
    notes->verdict = Verdict::kRejected;
  } else if ((notes->errors.empty() || !strict) && !notes->ask_application) {
    notes->verdict = Verdict::kAccepted;
  } else {
    notes->verdict = Verdict::kPending;
  }
}

bool NamesMayPass(const SSL* ssl, HandshakeNotes* notes) {
  if (!std::exchange(notes->names_unjudged, false)) return true;
  std::vector<VerificationError> refusals =
      notes->policy->JudgeNames(SSL_get0_peer_certificates(ssl),
                                ContextState::Of(ssl)->certificate_limits());
  if (refusals.empty()) return true;
  notes->Refuse(std::move(refusals.front()));
  return false;
}

int TicketKey(SSL* ssl, uint8_t* name, uint8_t* iv, EVP_CIPHER_CTX* cipher,
              HMAC_CTX* hmac, int encrypt) {
  const ContextState* context = ContextState::Of(ssl);
  TicketKeys* keys = context->ticket_keys();
  const absl::Time now = context->WallNow();
  return encrypt != 0 ? keys->Encrypt(name, iv, cipher, hmac, now)
                      : keys->Decrypt(name, iv, cipher, hmac, now);
}

ssl_verify_result_t VerifyCallback(SSL* ssl, uint8_t* out_alert) {
  HandshakeNotes* notes = NotesOf(ssl);
  if (notes->verdict == Verdict::kNone) JudgePeer(ssl, notes);
  switch (notes->verdict) {
    case Verdict::kAccepted:
      return ssl_verify_ok;
    case Verdict::kRejected:
      *out_alert = notes->reject_alert;
      return ssl_verify_invalid;
    default:
      return ssl_verify_retry;
  }
}

void InstallCallbacks(SSL_CTX* ctx, const ContextState& state) {
  // The first call needs memory, which may be short later.
  NotesIndex();
  SSL_CTX_set_current_time_cb(ctx, CurrentTime);
  SSL_CTX_set_info_callback(ctx, Info);
  SSL_CTX_set_cert_cb(ctx, ProvideCertificate, nullptr);
  if (state.key_log()) SSL_CTX_set_keylog_callback(ctx, KeyLog);
  if (state.is_server()) {
    SSL_CTX_set_psk_server_callback(ctx, ServerPsk);
    SSL_CTX_set_alpn_select_cb(ctx, SelectAlpn, nullptr);
  } else {
    if (state.has_client_psk()) {
      SSL_CTX_set_psk_client_callback(ctx, ClientPsk);
    }
    if (!state.alpn_wire().empty()) {
      SSL_CTX_set_alpn_protos(ctx, state.alpn_wire().data(),
                              state.alpn_wire().size());
    }
    SSL_CTX_set_reverify_on_resume(ctx, 1);
  }
}

}  // namespace cordon::dtls::internal
