#include "cordon/dtls/connect.h"

#include <memory>
#include <string>
#include <utility>

#include "cordon/dtls/internal/session.h"

namespace cordon::dtls {
namespace {

using internal::Session;

// The socket of one client session.
class ClientCore final : public internal::SessionOwner,
                         public net::DatagramReceiver {
 public:
  explicit ClientCore(std::unique_ptr<net::DatagramSocket> socket)
      : socket_(std::move(socket)) {}

  void Serve(Session& session) {
    session_ = &session;
    socket_->StartReceiving(*this);
  }

  net::DatagramSocket& socket() override { return *socket_; }
  void OnHandshakeEnded(const Session&, bool) override {}
  void OnSessionGone(Session&) override {
    session_ = nullptr;
    socket_->StopReceiving();
  }
  net::Task<absl::Status> CloseSocket() override { return socket_->Close(); }

  void OnDatagram(const net::Datagram& datagram) override {
    if (session_ != nullptr) session_->OnDatagram(datagram.bytes);
  }
  void OnSocketError(const absl::Status& status) override {
    if (session_ != nullptr) session_->OnRefused(status);
  }

 private:
  Session* session_ = nullptr;
  std::unique_ptr<net::DatagramSocket> socket_;
};

}  // namespace

net::Task<absl::StatusOr<Connection>> Connect(net::Reactor& reactor,
                                              net::Endpoint server,
                                              Context context,
                                              ConnectOptions options) {
  if (context.is_server()) {
    co_return absl::InvalidArgumentError(
        "Connect needs a context made by Context::Client");
  }
  EngineOptions engine_options;
  engine_options.server_name = std::move(options.server_name);
  engine_options.ipv6 = server.is_v6();
  absl::StatusOr<std::unique_ptr<Engine>> engine =
      Engine::Create(context, engine_options);
  if (!engine.ok()) co_return engine.status();
  net::DatagramSocketOptions socket_options;
  socket_options.bind = options.bind;
  socket_options.connect = server;
  absl::StatusOr<std::unique_ptr<net::DatagramSocket>> socket =
      reactor.OpenSocket(socket_options);
  if (!socket.ok()) co_return socket.status();

  auto core = std::make_shared<ClientCore>(*std::move(socket));
  net::Path path;
  path.peer = server;
  auto session =
      std::make_unique<Session>(reactor, core, path, *std::move(engine));
  core->Serve(*session);
  co_return Connection(std::move(session));
}

net::Task<absl::StatusOr<Connection>> Connect(net::Reactor& reactor,
                                              net::Endpoint server,
                                              Context context,
                                              std::string server_name) {
  ConnectOptions options;
  options.server_name = std::move(server_name);
  return Connect(reactor, server, std::move(context), std::move(options));
}

}  // namespace cordon::dtls
