#include "cordon/dtls/connect.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/dtls/internal/session.h"

namespace cordon::dtls {
namespace {

using internal::Session;

// Bytes of the kernel's queue. A server with a long chain sends some hundred
// small packets at once; were there room for fewer, the same ones would be lost
// with each repetition of the flight.
constexpr int kReceiveBuffer = 1 << 20;

// The socket of one client session.
class ClientCore final : public internal::SessionOwner,
                         public net::DatagramReceiver {
 public:
  ClientCore(std::unique_ptr<net::DatagramSocket> socket,
             VerifyPeer verify_peer)
      : verify_peer_(std::move(verify_peer)), socket_(std::move(socket)) {}

  void Serve(Session& session) {
    session_ = &session;
    socket_->StartReceiving(*this);
  }

  net::DatagramSocket& socket() override { return *socket_; }
  const VerifyPeer& verify_peer() const override { return verify_peer_; }
  const PskLookup& psk_lookup() const override { return psk_lookup_; }
  void OnHandshakeEnded(Session&, const absl::Status&) override {}
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
  void OnSocketFailed(const absl::Status& status) override {
    if (session_ != nullptr) session_->OnSocketFailed(status);
  }
  void OnPathMtuChanged(size_t mtu) override {
    if (session_ != nullptr) session_->engine().SetPathMtu(mtu);
  }

 private:
  Session* session_ = nullptr;
  const VerifyPeer verify_peer_;
  const PskLookup psk_lookup_;
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
  if (!server.is_answerable()) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("\"", server.ToString(),
                     "\" is no address of one server and its port"));
  }
  EngineOptions engine_options;
  engine_options.server_name = std::move(options.server_name);
  engine_options.resume = std::move(options.resume);
  engine_options.ipv6 = server.is_v6();
  engine_options.ask_for_verdict = options.verify_peer != nullptr;
  net::DatagramSocketOptions socket_options;
  socket_options.bind = options.bind;
  socket_options.connect = server;
  socket_options.gro = options.gro;
  socket_options.receive_buffer = kReceiveBuffer;
  absl::StatusOr<std::unique_ptr<net::DatagramSocket>> socket =
      reactor.OpenSocket(socket_options);
  if (!socket.ok()) co_return socket.status();
  engine_options.path_mtu = (*socket)->path_mtu();
  absl::StatusOr<std::unique_ptr<Engine>> engine =
      Engine::Create(context, engine_options, options.overrides);
  if (!engine.ok()) co_return engine.status();

  auto core = std::make_shared<ClientCore>(*std::move(socket),
                                           std::move(options.verify_peer));
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
