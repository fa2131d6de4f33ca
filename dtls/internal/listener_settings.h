// What comes of `ListenerOptions`.
#ifndef CORDON_DTLS_INTERNAL_LISTENER_SETTINGS_H_
#define CORDON_DTLS_INTERNAL_LISTENER_SETTINGS_H_

#include <memory>

#include "absl/status/status.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/internal/admission_ledger.h"
#include "cordon/dtls/internal/listener_group.h"
#include "cordon/dtls/listener.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/udp/datagram_socket.h"

namespace cordon::dtls::internal {

// See `Listener::Bind`.
absl::Status CheckListenerOptions(const Context& context,
                                  const ListenerOptions& options);

net::DatagramSocketOptions SocketOptionsOf(const ListenerOptions& options,
                                           const net::Endpoint& at);

// What a listener has in common with those on other reactors.
struct ListenerShares {
  // Null if it shares its address with nobody.
  std::shared_ptr<ListenerGroup> group;
  std::shared_ptr<AdmissionLedger> ledger;
};
ListenerShares SharesOf(const ListenerOptions& options,
                        const net::Reactor& reactor,
                        const net::Endpoint& local);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_LISTENER_SETTINGS_H_
