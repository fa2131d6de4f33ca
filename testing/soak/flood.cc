#include "cordon/testing/soak/flood.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/engine.h"
#include "cordon/net/base/errno_status.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/testing/soak/soak_server.h"

namespace cordon::testing {
namespace {

absl::StatusOr<dtls::Context> ClientContext(const TestAuthority& authority) {
  dtls::ClientOptions options;
  options.trust = authority.trust();
  options.certificate = authority.Issue({.common_name = "client"});
  return dtls::Context::Client(options);
}

// What a client sends first.
class FirstDatagram final : public dtls::EngineOutput {
 public:
  absl::Span<uint8_t> Reserve(size_t max_bytes) override {
    bytes_.resize(max_bytes);
    return absl::MakeSpan(bytes_);
  }
  void Commit(size_t bytes) override { bytes_.resize(bytes); }
  bool OnMessage(absl::Span<const uint8_t>) override { return false; }
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

absl::StatusOr<std::vector<uint8_t>> HelloOf(const dtls::Context& context) {
  dtls::EngineOptions options;
  options.server_name = "localhost";
  CORDON_ASSIGN_OR_RETURN(const std::unique_ptr<dtls::Engine> engine,
                          dtls::Engine::Create(context, options));
  FirstDatagram output;
  engine->Start(absl::Now(), output);
  return output.bytes();
}

// One socket that sends from any address of this machine.
class Spoofer {
 public:
  static constexpr size_t kBatch = 64;

  absl::Status Open(const net::Endpoint& server) {
    fd_.Reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in any = {};
    any.sin_family = AF_INET;
    if (!fd_.valid() ||
        bind(fd_.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)) != 0) {
      return net::ErrnoStatus(errno, "the flood's socket");
    }
    to_.sin_family = AF_INET;
    to_.sin_port = htons(server.port());
    to_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return absl::OkStatus();
  }

  // Sends the same from `kBatch` addresses, beginning with the `first`th;
  // returns how many left.
  size_t Send(absl::Span<const uint8_t> datagram, size_t first, size_t of) {
    std::array<mmsghdr, kBatch> messages = {};
    std::array<Control, kBatch> controls = {};
    iovec bytes = {const_cast<uint8_t*>(datagram.data()), datagram.size()};
    for (size_t i = 0; i < kBatch; ++i) {
      msghdr& header = messages[i].msg_hdr;
      header.msg_name = &to_;
      header.msg_namelen = sizeof(to_);
      header.msg_iov = &bytes;
      header.msg_iovlen = 1;
      header.msg_control = controls[i].bytes;
      header.msg_controllen = sizeof(controls[i].bytes);
      cmsghdr* control = CMSG_FIRSTHDR(&header);
      control->cmsg_level = IPPROTO_IP;
      control->cmsg_type = IP_PKTINFO;
      control->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
      in_pktinfo from = {};
      // 127.1.0.0 and up.
      from.ipi_spec_dst.s_addr =
          htonl(0x7f010000U + static_cast<uint32_t>((first + i) % of));
      std::memcpy(CMSG_DATA(control), &from, sizeof(from));
    }
    const int sent = sendmmsg(fd_.get(), messages.data(), kBatch, 0);
    return sent < 0 ? 0 : static_cast<size_t>(sent);
  }

 private:
  union Control {
    cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(in_pktinfo))];
  };

  net::UniqueFd fd_;
  sockaddr_in to_ = {};
};

net::Task<absl::Status> Client(net::Reactor& reactor, net::Endpoint server,
                               dtls::Context context, FloodReport* report) {
  CO_ASSIGN_OR_RETURN(
      dtls::Connection connection,
      co_await dtls::Connect(reactor, server, context, "localhost"));
  const absl::Status handshake = co_await connection.Handshake();
  const dtls::SessionStatistics statistics = connection.statistics();
  report->retransmissions_most =
      std::max(report->retransmissions_most, statistics.retransmissions);
  if (handshake.ok()) {
    ++report->connected;
    report->handshake_most =
        std::max(report->handshake_most, statistics.handshake_duration);
  }
  co_return co_await connection.Close();
}

}  // namespace

absl::StatusOr<FloodReport> RunFlood(absl::string_view program,
                                     const FloodOptions& options) {
  CORDON_ASSIGN_OR_RETURN(const std::unique_ptr<SoakServer> server,
                          SoakServer::Start(program, options.server_flags));
  CORDON_ASSIGN_OR_RETURN(const dtls::Context context,
                          ClientContext(server->authority()));
  CORDON_ASSIGN_OR_RETURN(const std::vector<uint8_t> hello, HelloOf(context));
  CORDON_ASSIGN_OR_RETURN(const std::unique_ptr<net::Reactor> reactor,
                          net::MakeReactor({}));
  Spoofer spoofer;
  CORDON_RETURN_IF_ERROR(spoofer.Open(server->endpoint()));

  FloodReport report;
  // One of each, so that what is made at first use is there.
  FloodReport first;
  CORDON_RETURN_IF_ERROR(
      reactor->Run(Client(*reactor, server->endpoint(), context, &first)));
  spoofer.Send(hello, 0, options.addresses);
  const auto before = server->Statistics();
  report.resident_before = before.process().resident_bytes();

  std::atomic<bool> done = false;
  std::thread flood([&] {
    const absl::Time begin = absl::Now();
    while (!done) {
      report.hellos += spoofer.Send(hello, report.hellos, options.addresses);
      absl::SleepFor(
          begin +
          absl::Seconds(static_cast<double>(report.hellos) /
                        static_cast<double>(options.hellos_per_second)) -
          absl::Now());
    }
  });
  absl::Status status;
  for (size_t i = 0; status.ok() && i < options.clients; ++i) {
    const absl::Time next =
        absl::Now() + options.duration / static_cast<int64_t>(options.clients);
    status =
        reactor->Run(Client(*reactor, server->endpoint(), context, &report));
    report.sessions_most = std::max<size_t>(
        report.sessions_most, server->Statistics().total().sessions());
    absl::SleepFor(next - absl::Now());
  }
  done = true;
  flood.join();
  CORDON_RETURN_IF_ERROR(status);

  const auto after = server->Statistics();
  report.resident_after = after.process().resident_bytes();
  report.cookies =
      after.total().cookies().sent() - before.total().cookies().sent();
  if (report.cookies > 0) {
    report.cpu_per_hello = absl::Seconds(after.process().cpu_seconds() -
                                         before.process().cpu_seconds()) /
                           static_cast<double>(report.cookies);
  }
  server->Stop();
  return report;
}

}  // namespace cordon::testing
