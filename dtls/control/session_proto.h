// Sessions and statistics as messages of the control service.
#ifndef CORDON_DTLS_CONTROL_SESSION_PROTO_H_
#define CORDON_DTLS_CONTROL_SESSION_PROTO_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/time_proto.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/dtls/session_snapshot.h"
#include "cordon/dtls/verification.h"

namespace cordon::dtls::control {

// A session, where it is, and who its peer is.
struct SessionRow {
  std::shared_ptr<ListenerHandle> listener;
  std::shared_ptr<const SessionSnapshot> session;
  // Parsed when it is needed first: it takes longer than all the rest.
  const PeerIdentity& identity() const;

 private:
  mutable std::shared_ptr<const PeerIdentity> identity_;
};

// The names of a certificate that a message has, in bytes.
inline constexpr size_t kMaxNamesBytes = 8192;

::cordon::control::v1::SessionState ToProto(EngineState state);
::cordon::control::v1::Session ToProto(const SessionRow& row);
::cordon::control::v1::Certificate ToProto(const PeerIdentity& identity);
::cordon::control::v1::VerificationError ToProto(
    const VerificationError& error);

// The best name that the peer has: a DNS name, a URI, the subject, the PSK
// identity; or empty.
std::string NameOf(const SessionRow& row);

// Adds to `sum`, which may have other listeners in it.
void AddTo(const ListenerStatistics& statistics,
           ::cordon::control::v1::ListenerStatistics* sum);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_SESSION_PROTO_H_
