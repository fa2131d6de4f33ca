// What an application may do in the middle of a handshake, as coroutines.
#ifndef CORDON_DTLS_SESSION_HOOKS_H_
#define CORDON_DTLS_SESSION_HOOKS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cordon/dtls/verification.h"
#include "cordon/net/task/task.h"

namespace cordon::dtls {

// Judges a peer's certificate chain; may wait for a database or for another
// service. The handshake rests until it returns: nothing that depends on the
// verdict is sent, datagrams are still answered, and the deadline counts on.
//
//   options.verify_peer = [&](const dtls::PeerIdentity& peer)
//       -> net::Task<dtls::VerificationVerdict> {
//     if (!peer.errors.empty()) {
//       co_return dtls::VerificationVerdict::AsFound();
//     }
//     const bool known = co_await devices.Contains(peer.fingerprint);
//     co_return known ? dtls::VerificationVerdict::Accept()
//                     : dtls::VerificationVerdict::Reject("unknown device");
//   };
//
// Called once for each chain, in every mode in which there is one, on the
// reactor's thread. The identity lives until the task ends. Stopped, and its
// verdict ignored, when the handshake ends before; destroyed with the
// connection, which it must not destroy itself.
using VerifyPeer =
    std::function<net::Task<VerificationVerdict>(const PeerIdentity& peer)>;

// Finds the pre-shared key of an identity that is not among
// `ServerOptions::pre_shared_keys`; likewise. Any error, or an empty key, means
// that there is none: the client gets the alert unknown_psk_identity. It is
// asked for a session that is resumed, too, which ends so if its key is another
// one.
using PskLookup = std::function<net::Task<absl::StatusOr<std::vector<uint8_t>>>(
    const std::string& identity)>;

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_SESSION_HOOKS_H_
