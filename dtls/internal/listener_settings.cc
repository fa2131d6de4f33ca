#include "cordon/dtls/internal/listener_settings.h"

#include "cordon/dtls/internal/context_state.h"

namespace cordon::dtls::internal {
namespace {

ListenerLimits LimitsOf(const ListenerOptions& options) {
  return {.max_sessions = options.max_sessions,
          .max_session_memory = options.max_session_memory,
          .max_reassembly_bytes = options.max_reassembly_bytes,
          .accept_backlog = options.accept_backlog,
          .max_half_open = options.max_half_open,
          .max_half_open_per_source = options.max_half_open_per_source,
          .handshake_rate_per_source = options.handshake_rate_per_source,
          .handshake_burst_per_source = options.handshake_burst_per_source,
          .half_open_before_cookies = options.half_open_before_cookies};
}

}  // namespace

absl::Status CheckListenerOptions(const Context& context,
                                  const ListenerOptions& options) {
  if (!context.is_server()) {
    return absl::InvalidArgumentError(
        "a listener needs a context made by Context::Server");
  }
  if (context.state()->psk_lookup() != (options.psk_lookup != nullptr)) {
    return absl::InvalidArgumentError(
        "ServerOptions::psk_lookup and ListenerOptions::psk_lookup go "
        "together: "
        "set both or none");
  }
  if (options.name.empty()) {
    return absl::InvalidArgumentError("ListenerOptions::name is empty");
  }
  if (options.source_prefix_v4 < 0 || options.source_prefix_v4 > 32 ||
      options.source_prefix_v6 < 0 || options.source_prefix_v6 > 128) {
    return absl::InvalidArgumentError(
        "ListenerOptions::source_prefix_v4 is from 0 to 32, source_prefix_v6 "
        "from 0 to 128");
  }
  return absl::OkStatus();
}

net::DatagramSocketOptions SocketOptionsOf(const ListenerOptions& options,
                                           const net::Endpoint& at) {
  return {.bind = at,
          .reuse_port = options.reuse_port,
          .gso = options.gso,
          .gro = options.gro,
          .peer_notices = true,
          .receive_buffer = options.receive_buffer,
          .send_buffer = options.send_buffer};
}

ListenerShares SharesOf(const ListenerOptions& options,
                        const net::Reactor& reactor,
                        const net::Endpoint& local) {
  ListenerShares shares;
  if (options.reuse_port) {
    shares.group = ListenerGroup::Of(reactor.network(), local);
    shares.ledger = shares.group->Ledger(options.registry.get(), options.name,
                                         LimitsOf(options));
  } else {
    shares.ledger = std::make_shared<AdmissionLedger>(LimitsOf(options));
  }
  return shares;
}

}  // namespace cordon::dtls::internal
