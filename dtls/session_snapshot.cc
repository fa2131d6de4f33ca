#include "cordon/dtls/session_snapshot.h"

#include "cordon/dtls/internal/peer_identity.h"

namespace cordon::dtls {

PeerIdentity IdentityOf(const SessionSnapshot& session) {
  PeerIdentity identity = internal::IdentityOf(session.chain.get());
  identity.endpoint = session.peer;
  identity.resumed = session.info.resumed;
  identity.errors = session.errors;
  return identity;
}

}  // namespace cordon::dtls
