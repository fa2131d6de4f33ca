#include "cordon/dtls/session_snapshot.h"

#include "cordon/dtls/internal/peer_identity.h"

namespace cordon::dtls {
namespace {

size_t BytesOf(const std::vector<VerificationError>& errors) {
  size_t bytes = errors.capacity() * sizeof(VerificationError);
  for (const VerificationError& error : errors) {
    bytes += error.subject.capacity() + error.message.capacity();
  }
  return bytes;
}

}  // namespace

size_t BytesOf(const SessionSnapshot& session) {
  const SessionInfo& info = session.info;
  size_t bytes = sizeof(session) + BytesOf(session.errors) +
                 BytesOf(info.ignored_errors) + session.error.message().size();
  for (const std::string* text :
       {&info.version, &info.cipher, &info.group, &info.signature_algorithm,
        &info.alpn, &info.server_name, &info.psk_identity,
        &info.psk_identity_hint, &info.srtp_profile}) {
    bytes += text->capacity();
  }
  // The errors refer to these.
  for (size_t i = 0; session.chain != nullptr &&
                     i < sk_CRYPTO_BUFFER_num(session.chain.get());
       ++i) {
    bytes += CRYPTO_BUFFER_len(sk_CRYPTO_BUFFER_value(session.chain.get(), i));
  }
  // The status of a refusal has its errors, too, and their certificates.
  if (!session.error.ok()) bytes += bytes;
  return bytes;
}

PeerIdentity IdentityOf(const SessionSnapshot& session) {
  PeerIdentity identity =
      internal::IdentityOf(session.chain.get(), nullptr, session.limits);
  identity.endpoint = session.peer;
  identity.resumed = session.info.resumed;
  identity.errors = session.errors;
  return identity;
}

}  // namespace cordon::dtls
