#include "cordon/dtls/internal/ssl_callbacks.h"

#include <openssl/pool.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "cordon/dtls/internal/context_state.h"

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
  if (type == SSL_CB_READ_ALERT) notes->alert_received = value & 0xff;
  if (type == SSL_CB_WRITE_ALERT) notes->alert_sent = value & 0xff;
}

int SelectAlpn(SSL* ssl, const uint8_t** out, uint8_t* out_size,
               const uint8_t* in, unsigned in_size, void*) {
  const std::vector<uint8_t>& ours = ContextState::Of(ssl)->alpn_wire();
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
  const std::vector<uint8_t>* key = ContextState::Of(ssl)->FindPsk(identity);
  if (key == nullptr || key->size() > max_size) return 0;
  std::copy(key->begin(), key->end(), psk);
  return static_cast<unsigned>(key->size());
}

unsigned ClientPsk(SSL* ssl, const char*, char* identity,
                   unsigned max_identity_size, uint8_t* psk,
                   unsigned max_size) {
  const PreSharedKey* ours = ContextState::Of(ssl)->client_psk();
  if (ours == nullptr || ours->identity.size() >= max_identity_size ||
      ours->key.size() > max_size) {
    return 0;
  }
  std::memcpy(identity, ours->identity.c_str(), ours->identity.size() + 1);
  std::copy(ours->key.begin(), ours->key.end(), psk);
  return static_cast<unsigned>(ours->key.size());
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
  const LoadedCertificate* certificate =
      ContextState::Of(ssl)->ChooseCertificate(
          SSL_is_server(ssl)
              ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
              : nullptr);
  if (certificate == nullptr) return 1;
  return UseCertificate(ssl, *certificate) ? 1 : 0;
}

}  // namespace

void AttachNotes(SSL* ssl, HandshakeNotes* notes) {
  SSL_set_ex_data(ssl, NotesIndex(), notes);
}

ScopedTime::ScopedTime(absl::Time now)
    : previous_(std::exchange(current_micros, absl::ToUnixMicros(now))) {}

ScopedTime::~ScopedTime() { current_micros = previous_; }

ssl_verify_result_t VerifyCallback(SSL* ssl, uint8_t* out_alert) {
  HandshakeNotes* notes = NotesOf(ssl);
  ContextState* context = ContextState::Of(ssl);
  if (context->verifier() == nullptr) return ssl_verify_ok;
  notes->verification_errors = context->verifier()->Verify(
      SSL_get0_peer_certificates(ssl), notes->verify_name, context->WallNow());
  if (notes->verification_errors.empty()) {
    notes->verified = true;
    return ssl_verify_ok;
  }
  *out_alert = AlertFor(notes->verification_errors.front());
  return ssl_verify_invalid;
}

void InstallCallbacks(SSL_CTX* ctx, const ContextState& state) {
  SSL_CTX_set_current_time_cb(ctx, CurrentTime);
  SSL_CTX_set_info_callback(ctx, Info);
  SSL_CTX_set_cert_cb(ctx, ProvideCertificate, nullptr);
  if (state.is_server()) {
    SSL_CTX_set_psk_server_callback(ctx, ServerPsk);
    if (!state.alpn_wire().empty()) {
      SSL_CTX_set_alpn_select_cb(ctx, SelectAlpn, nullptr);
    }
  } else {
    if (state.client_psk() != nullptr) {
      SSL_CTX_set_psk_client_callback(ctx, ClientPsk);
    }
    if (!state.alpn_wire().empty()) {
      SSL_CTX_set_alpn_protos(ctx, state.alpn_wire().data(),
                              state.alpn_wire().size());
    }
  }
}

}  // namespace cordon::dtls::internal
