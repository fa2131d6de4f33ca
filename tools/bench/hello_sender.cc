#include "cordon/tools/bench/hello_sender.h"

#include <cstring>
#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "cordon/dtls/engine.h"
#include "cordon/net/task/status_macros.h"

namespace cordon::tools {
namespace {

constexpr uint8_t kHandshakeRecord = 22;
constexpr uint8_t kHelloVerifyRequest = 3;
constexpr size_t kRecordHeaderBytes = 13;
constexpr size_t kHandshakeHeaderBytes = 12;
// After both headers and the version.
constexpr size_t kRandomAt = kRecordHeaderBytes + kHandshakeHeaderBytes + 2;
constexpr size_t kRandomBytes = 32;

// Keeps what a client sends first.
class FirstDatagram final : public dtls::EngineOutput {
 public:
  absl::Span<uint8_t> Reserve(size_t max_bytes) override {
    room_.resize(max_bytes);
    return absl::MakeSpan(room_);
  }
  void Commit(size_t bytes) override {
    if (bytes == 0) return;
    ++datagrams_;
    if (first_.empty()) first_.assign(room_.begin(), room_.begin() + bytes);
  }
  bool OnMessage(absl::Span<const uint8_t>) override { return false; }

  size_t datagrams() const { return datagrams_; }
  std::vector<uint8_t> Take() { return std::move(first_); }

 private:
  std::vector<uint8_t> room_;
  std::vector<uint8_t> first_;
  size_t datagrams_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<uint8_t>> FirstHello(
    const dtls::Context& context, const std::string& server_name) {
  dtls::EngineOptions options;
  options.server_name = server_name;
  absl::StatusOr<std::unique_ptr<dtls::Engine>> engine =
      dtls::Engine::Create(context, options);
  if (!engine.ok()) return engine.status();
  FirstDatagram output;
  (*engine)->Start(absl::Now(), output);
  std::vector<uint8_t> hello = output.Take();
  if (output.datagrams() != 1 || hello.size() < kRandomAt + kRandomBytes) {
    return absl::FailedPreconditionError(
        "a hello with these settings does not fit into one datagram");
  }
  return hello;
}

bool IsHelloVerifyRequest(absl::Span<const uint8_t> datagram) {
  return datagram.size() > kRecordHeaderBytes + kHandshakeHeaderBytes &&
         datagram[0] == kHandshakeRecord &&
         datagram[kRecordHeaderBytes] == kHelloVerifyRequest;
}

HelloSender::HelloSender(net::UdpSocket socket, std::vector<uint8_t> hello,
                         size_t outstanding, bool trains,
                         EchoCounters& counters)
    : socket_(std::move(socket)),
      hello_(std::move(hello)),
      outstanding_(outstanding),
      trains_(trains),
      counters_(counters) {}

net::Task<absl::Status> HelloSender::Fill() {
  if (filling_) co_return absl::OkStatus();
  filling_ = true;
  absl::Status status;
  while (status.ok() && sent_.size() < outstanding_) {
    std::memcpy(hello_.data() + kRandomAt, &next_number_, sizeof(next_number_));
    ++next_number_;
    sent_.push_back(MonotonicNow());
    status = co_await socket_.Send(path_, hello_);
    if (status.ok() && !trains_) status = co_await NextTurn();
  }
  filling_ = false;
  co_return status;
}

net::Task<absl::Status> HelloSender::Receive() {
  CO_ASSIGN_OR_RETURN(const net::UdpSocket::Packet packet,
                      co_await socket_.Recv());
  if (!IsHelloVerifyRequest(packet.payload.bytes())) {
    co_return absl::FailedPreconditionError(
        "the server answers a hello without a cookie by something else than a "
        "HelloVerifyRequest");
  }
  if (sent_.empty()) {
    counters_.OnLate();
  } else {
    counters_.OnEcho(MonotonicNow() - sent_.front());
    sent_.pop_front();
  }
  co_return absl::OkStatus();
}

bool HelloSender::DropLost(absl::Duration now) {
  bool any = false;
  while (!sent_.empty() && now - sent_.front() >= kLossTimeout) {
    sent_.pop_front();
    counters_.OnLost();
    any = true;
  }
  return any;
}

net::Task<absl::Status> HelloSender::Close() { return socket_.Close(); }

}  // namespace cordon::tools
