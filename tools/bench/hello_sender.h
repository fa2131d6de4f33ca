// First hellos, which show no cookie, and the HelloVerifyRequests that answer
// them (RFC 6347 section 4.2.1): what a server does for strangers.
#ifndef CORDON_TOOLS_BENCH_HELLO_SENDER_H_
#define CORDON_TOOLS_BENCH_HELLO_SENDER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/context.h"
#include "cordon/net/task/task.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/udp_socket.h"
#include "cordon/tools/bench/echo_session.h"

namespace cordon::tools {

// The datagram that a client with these settings sends first.
// kFailedPrecondition: its hello does not fit into one.
absl::StatusOr<std::vector<uint8_t>> FirstHello(const dtls::Context& context,
                                                const std::string& server_name);

bool IsHelloVerifyRequest(absl::Span<const uint8_t> datagram);

// Sends hellos from one connected socket, each with a random of its own, and
// takes the answers, which are counted as echoes. It never sends a cookie.
class HelloSender {
 public:
  // `hello` is what `FirstHello` returned. `counters` must outlive the sender.
  HelloSender(net::UdpSocket socket, std::vector<uint8_t> hello,
              size_t outstanding, bool trains, EchoCounters& counters);
  HelloSender(const HelloSender&) = delete;
  HelloSender& operator=(const HelloSender&) = delete;

  // Sends hellos until as many as may be are on their way.
  net::Task<absl::Status> Fill();
  // Suspends until an answer has come. kFailedPrecondition: it asks for no
  // cookie.
  net::Task<absl::Status> Receive();
  // Gives up the hellos that nobody has answered. True if there are any.
  bool DropLost(absl::Duration now);

  net::Task<absl::Status> Close();

 private:
  net::UdpSocket socket_;
  net::Path path_;
  std::vector<uint8_t> hello_;
  const size_t outstanding_;
  const bool trains_;
  EchoCounters& counters_;
  uint64_t next_number_ = 1;
  // When the hellos left that are on their way, the earliest first. Answers
  // need not tell to which hello they belong.
  std::deque<absl::Duration> sent_;
  bool filling_ = false;
};

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_BENCH_HELLO_SENDER_H_
