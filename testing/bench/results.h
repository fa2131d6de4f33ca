// What a comparison says, as a page for people.
#ifndef CORDON_TESTING_BENCH_RESULTS_H_
#define CORDON_TESTING_BENCH_RESULTS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cordon/testing/bench/sample.h"

namespace cordon::bench {

// The loads of a comparison.
inline constexpr char kHandshake[] = "handshake";
inline constexpr char kResume[] = "resume";
inline constexpr char kHello[] = "hello";
inline constexpr char kIdle[] = "idle";
// These exist once for each kind of peers.
inline constexpr char kEcho64[] = "echo 64";
inline constexpr char kEcho1200[] = "echo 1200";
inline constexpr char kPaced[] = "paced";
inline constexpr char kBulk[] = "bulk";
// `kEcho64` in other circumstances, of our server alone.
inline constexpr char kEchoAmongMany[] = "echo among many";
inline constexpr char kEchoInACrowd[] = "echo in a crowd";
inline constexpr char kEchoTwoReactors[] = "echo, two reactors";
inline constexpr char kEchoWatched[] = "echo, watched";

// Peers that send and receive each datagram by itself, and peers that send and
// receive trains.
inline constexpr char kSingly[] = "singly";
inline constexpr char kTrains[] = "trains";

// The name that `Samples` has for a load by such peers.
std::string By(absl::string_view peers, absl::string_view load);

// The servers.
inline constexpr char kCordon[] = "Cordon";
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
  std::string machine = {};
  // How it was run.
  int rounds = 0;
  double seconds = 0;
  // `kIdle` and `kEchoAmongMany`, and `kEchoInACrowd`.
  int idle_sessions = 0;
  int crowd = 0;
};

// A page of Markdown: medians of every server, and the ratios that are aimed
// at. `servers` are in the order of the tables.
std::string ResultsPage(const Samples& samples,
                        const std::vector<std::string>& servers,
                        const Conditions& conditions);

}  // namespace cordon::bench

#endif  // CORDON_TESTING_BENCH_RESULTS_H_
