#include "cordon/dtls/internal/ssl_callbacks.h"

#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "cordon/dtls/internal/boringssl_seam.h"
#include "cordon/dtls/internal/chain_limits.h"
#include "cordon/dtls/internal/compiled_policy.h"
#include "cordon/dtls/internal/context_state.h"
#include "cordon/dtls/internal/peer_verifier.h"

namespace cordon::dtls::internal {
namespace {

// BoringSSL's callback gets nothing to find a context by. The clock is read
// only when BoringSSL asks, which it does not for each record.
constinit thread_local const ContextState* clock_of = nullptr;
constinit thread_local absl::Duration clock_ahead = absl::ZeroDuration();

int NotesIndex() {
  static const int index =
      SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

HandshakeNotes* NotesOf(const SSL* ssl) {
  return static_cast<HandshakeNotes*>(SSL_get_ex_data(ssl, NotesIndex()));
}

void CurrentTime(const SSL*, timeval* out) {
  const absl::Time now =
      (clock_of == nullptr ? absl::Now() : clock_of->WallNow()) + clock_ahead;
  // BoringSSL knows no time before 1970.
  *out = absl::ToTimeval(std::max(now, absl::UnixEpoch()));
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

using PskMark = std::array<uint8_t, SHA256_DIGEST_LENGTH>;

// Tells a session by which key it was begun, without giving the key away. False
// if there is no memory for it.
bool MarkOf(const std::vector<uint8_t>& key, PskMark* mark) {
  constexpr absl::string_view kLabel = "cordon pre-shared key of a session";
  unsigned size = 0;
  return HMAC(EVP_sha256(), key.data(), key.size(),
              reinterpret_cast<const uint8_t*>(kLabel.data()), kLabel.size(),
              mark->data(), &size) != nullptr;
}

// BoringSSL has decided whether to resume. A session whose pre-shared key is
// gone from the context, or is another one now, is begun anew instead; what is
// looked up is looked up when the handshake is over.
int CheckResumption(const SSL_CLIENT_HELLO* hello) {
  SSL* const ssl = hello->ssl;
  if (SSL_session_reused(ssl) == 0) return 1;
  const char* identity = SSL_get_psk_identity(ssl);
  if (identity == nullptr) return 1;
  const ContextState* context = ContextState::Of(ssl);
  const std::vector<uint8_t>* key = context->FindPsk(identity);
  if (key == nullptr ? context->psk_lookup() : IsOfPsk(ssl, *key)) return 1;
  const uint8_t* ticket = nullptr;
  size_t size = 0;
  const bool tickets =
      (SSL_get_options(ssl) & SSL_OP_NO_TICKET) == 0 &&
      SSL_early_callback_ctx_extension_get(hello, TLSEXT_TYPE_session_ticket,
                                           &ticket, &size) == 1;
  return BeginInsteadOfResuming(ssl, tickets) ? 1 : 0;
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
  PskMark mark;
  if (!MarkOf(*key, &mark) || !MarkNewSession(ssl, mark)) return 0;
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

absl::string_view AsText(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// After a handshake. Never takes the reference that it is offered.
int KeepSession(SSL* ssl, SSL_SESSION* session) {
  unsigned id_size = 0;
  const uint8_t* id = SSL_SESSION_get_id(session, &id_size);
  // One that was resumed is kept already, or else in its ticket: its id is what
  // the client has made up.
  if (id_size == 0 || SSL_session_reused(ssl) != 0) return 0;
  uint8_t* bytes = nullptr;
  size_t size = 0;
  if (SSL_SESSION_to_bytes(session, &bytes, &size) != 1) {
    ERR_clear_error();
    return 0;
  }
  const ContextState* context = ContextState::Of(ssl);
  const absl::Time expires = absl::FromUnixSeconds(
      static_cast<int64_t>(SSL_SESSION_get_time(session)) +
      SSL_SESSION_get_timeout(session));
  context->session_id_cache()->Add(AsText(id, id_size),
                                   std::string(AsText(bytes, size)), expires,
                                   context->WallNow());
  OPENSSL_cleanse(bytes, size);
  OPENSSL_free(bytes);
  return 0;
}

SSL_SESSION* FindSession(SSL* ssl, const uint8_t* id, int id_size,
                         int* wants_copy) {
  *wants_copy = 0;
  const ContextState* context = ContextState::Of(ssl);
  std::string bytes = context->session_id_cache()->Find(
      AsText(id, static_cast<size_t>(id_size)), context->WallNow());
  if (bytes.empty()) return nullptr;
  SSL_SESSION* session =
      SSL_SESSION_from_bytes(reinterpret_cast<const uint8_t*>(bytes.data()),
                             bytes.size(), SSL_get_SSL_CTX(ssl));
  OPENSSL_cleanse(bytes.data(), bytes.size());
  if (session == nullptr) ERR_clear_error();
  return session;
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

bool IsOfPsk(const SSL* ssl, const std::vector<uint8_t>& key) {
  PskMark mark;
  if (key.empty() || !MarkOf(key, &mark)) return false;
  const absl::Span<const uint8_t> kept = MarkOfSession(ssl);
  return kept.size() == mark.size() &&
         CRYPTO_memcmp(kept.data(), mark.data(), mark.size()) == 0;
}

ScopedWallClock::ScopedWallClock(const ContextState& context,
                                 absl::Duration ahead)
    : previous_context_(std::exchange(clock_of, &context)),
      previous_ahead_(std::exchange(clock_ahead, ahead)) {}

ScopedWallClock::~ScopedWallClock() {
  clock_of = previous_context_;
  clock_ahead = previous_ahead_;
}

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
  const bool strict = RefusesUnverified(notes->mode);
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

void KeepSessionsById(SSL_CTX* ctx) {
  SSL_CTX_set_session_cache_mode(
      ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, KeepSession);
  SSL_CTX_sess_set_get_cb(ctx, FindSession);
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
    case Verdict::kNone:
    case Verdict::kPending:
      break;
  }
  return ssl_verify_retry;
}

bool InstallCallbacks(SSL_CTX* ctx, const ContextState& state) {
  // The first call needs memory, which may be short later.
  if (NotesIndex() < 0) return false;
  SSL_CTX_set_current_time_cb(ctx, CurrentTime);
  SSL_CTX_set_info_callback(ctx, Info);
  SSL_CTX_set_cert_cb(ctx, ProvideCertificate, nullptr);
  if (state.key_log()) SSL_CTX_set_keylog_callback(ctx, KeyLog);
  if (state.is_server()) {
    SSL_CTX_set_psk_server_callback(ctx, ServerPsk);
    SSL_CTX_set_dos_protection_cb(ctx, CheckResumption);
    SSL_CTX_set_alpn_select_cb(ctx, SelectAlpn, nullptr);
  } else {
    if (state.has_client_psk()) {
      SSL_CTX_set_psk_client_callback(ctx, ClientPsk);
    }
    // It answers 0 for success.
    if (!state.alpn_wire().empty() &&
        SSL_CTX_set_alpn_protos(ctx, state.alpn_wire().data(),
                                state.alpn_wire().size()) != 0) {
      return false;
    }
    SSL_CTX_set_reverify_on_resume(ctx, 1);
  }
  return true;
}

}  // namespace cordon::dtls::internal
