// What a comparison says, as a page for people.
#ifndef CORDON_TESTING_BENCH_RESULTS_H_
#define CORDON_TESTING_BENCH_RESULTS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cordon/testing/bench/sample.h"

namespace cordon::bench {

// The loads of a comparison, by the names that `Samples` has for them.
inline constexpr char kHandshake[] = "handshake";
inline constexpr char kResume[] = "resume";
inline constexpr char kEcho64[] = "echo 64";
inline constexpr char kEcho1200[] = "echo 1200";
inline constexpr char kPaced[] = "paced";
inline constexpr char kBulk[] = "bulk";
inline constexpr char kIdle[] = "idle";
inline constexpr char kEchoAmongMany[] = "echo among many";

// Its servers.
inline constexpr char kCordon[] = "Cordon";
// Our server, and peers like ours, receive trains of datagrams whole.
inline constexpr char kCordonTrains[] = "Cordon, trains both ways";
inline constexpr char kOpensslConnected[] =
    "OpenSSL, a connected socket per peer, epoll";
inline constexpr char kOpensslBatched[] =
    "OpenSSL, one socket, recvmmsg/sendmmsg";
inline constexpr char kGnutls[] = "GnuTLS, one socket, recvmmsg/sendmmsg";
inline constexpr char kUdpBatched[] =
    "plain UDP, recvmmsg/sendmmsg, no encryption";
inline constexpr char kUdpUring[] = "plain UDP, io_uring, no encryption";

// Processor, cores, memory and kernel of this machine, for people.
std::string DescribeMachine();

struct Conditions {
  std::string machine;
  // How it was run.
  int rounds = 0;
  double seconds = 0;
  int idle_sessions = 0;
};

// A page of Markdown: medians of every server, and the ratios that are aimed
// at. `servers` are in the order of the tables.
std::string ResultsPage(const Samples& samples,
                        const std::vector<std::string>& servers,
                        const Conditions& conditions);

}  // namespace cordon::bench

#endif  // CORDON_TESTING_BENCH_RESULTS_H_
