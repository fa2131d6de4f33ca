// Loads that a DTLS server can be put under, on one reactor.
//
//   Load load(reactor, context, options);
//   absl::Status status = reactor.Run(load.Run());
//   Print(load.result());
#ifndef CORDON_TOOLS_BENCH_LOAD_H_
#define CORDON_TOOLS_BENCH_LOAD_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/resumption.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/tools/bench/echo_session.h"
#include "cordon/tools/bench/hello_sender.h"
#include "cordon/tools/bench/latency_histogram.h"

namespace cordon::tools {

enum class Workload {
  kHandshake,  // full handshakes, one after the other on each connection
  kResume,     // the same, but resumed
  kEcho,       // each message that comes back is followed by another at once
  kPaced,      // messages leave at a given rate, whatever comes back
  kBulk,       // kEcho by one peer, which sends a quarter of its slots at once
  kIdle,       // sessions are opened, and held
  kHello,      // hellos without a cookie, each answer is followed by another
};

// "handshake", "resume", "echo", "paced", "bulk", "idle", "hello".
absl::StatusOr<Workload> ParseWorkload(absl::string_view name);
std::string WorkloadName(Workload workload);

struct LoadOptions {
  Workload workload = Workload::kEcho;
  net::Endpoint server = {};
  std::string server_name = {};
  // The server echoes without DTLS. Not for handshakes or idle sessions.
  bool plain = false;
  // Send in trains what is sent at once; without, each message leaves by
  // itself.
  bool gso = true;
  // Receive trains, as a network card that cuts them to pieces would spare the
  // server that work.
  bool gro = false;
  size_t connections = 64;
  // Messages of one connection that are on their way at one time.
  size_t outstanding = 8;
  size_t payload_bytes = 64;
  // kPaced: messages per second, of all connections together.
  double rate = 20'000;
  // Sessions that are held open beside the load and say nothing.
  size_t idle_sessions = 0;
  // Bind the connections to so many addresses from 127.0.0.1 on; 0: to none. A
  // single address has about 28,000 ports.
  size_t source_addresses = 0;
  // What happens before the measurement, and how long that takes.
  absl::Duration warmup = absl::Seconds(1);
  absl::Duration duration = absl::Seconds(5);
};

struct LoadResult {
  // Echoes that came back right, handshakes that were completed, sessions that
  // were opened, or HelloVerifyRequests.
  uint64_t operations = 0;
  absl::Duration elapsed = absl::ZeroDuration();
  LatencyHistogram latency;
  // Messages that did not come back within `kLossTimeout`.
  uint64_t lost = 0;
  // Messages that came when they were taken for lost, or twice.
  uint64_t late = 0;
  // Messages that came back changed.
  uint64_t wrong = 0;
  // kPaced: messages that were due while all slots were taken.
  uint64_t skipped = 0;
  // Handshakes that failed, and why the first one did.
  uint64_t failures = 0;
  absl::Status first_failure;
};

class Load final : private EchoCounters {
 public:
  // `reactor` must outlive the load.
  Load(net::Reactor& reactor, const dtls::Context& context,
       const LoadOptions& options);
  ~Load();

  // Called when the measurement begins and ends, and about once a second.
  std::function<absl::Status()> on_begin = [] { return absl::OkStatus(); };
  std::function<absl::Status()> on_end = [] { return absl::OkStatus(); };
  std::function<void(const LoadResult&)> on_progress = [](const LoadResult&) {};
  // Called when so many sessions that say nothing are open.
  std::function<void(size_t)> on_idle = [](size_t) {};

  // Runs the load to its end. An error: it could not be run, the server is not
  // there, or a session ended. Stop: kCancelled.
  net::Task<absl::Status> Run();
  const LoadResult& result() const { return result_; }

 private:
  void OnEcho(absl::Duration latency) override;
  void OnLost() override { ++result_.lost; }
  void OnLate() override { ++result_.late; }
  void OnWrong() override { ++result_.wrong; }

  net::Endpoint NextSource();
  absl::StatusOr<net::UdpSocket> OpenPlain();
  net::Task<absl::StatusOr<dtls::Connection>> Open(
      dtls::ResumableSession resume);
  // Opens `count` sessions, several at a time.
  net::Task<absl::Status> OpenAll(size_t count,
                                  std::vector<dtls::Connection>* sessions);
  net::Task<absl::Status> OpenSome(size_t count,
                                   std::vector<dtls::Connection>* sessions);
  static net::Task<absl::Status> CloseAll(
      std::vector<dtls::Connection>* sessions);

  // Puts as many `echoes_` into being as there are to be connections.
  net::Task<absl::Status> OpenEchoes();

  net::Task<absl::Status> RunHandshakes();
  net::Task<absl::Status> RunEchoes();
  net::Task<absl::Status> RunIdle();
  net::Task<absl::Status> RunHellos();
  // Until something came of the load, or something went wrong.
  net::Task<absl::Status> AwaitFirst();
  // Lets the load that was begun run, and measures it.
  net::Task<absl::Status> Measure();
  net::Task<absl::Status> Pass(absl::Duration time);

  net::Task<absl::Status> Handshakes();
  net::Task<absl::Status> Handshake(dtls::ResumableSession resume);
  net::Task<absl::Status> Echoes(EchoSession& session);
  net::Task<absl::Status> Hellos(HelloSender& sender);
  net::Task<absl::Status> Pace();
  net::Task<absl::Status> ReplaceLost();
  net::Task<absl::Status> ReplaceLostHellos();
  void Fail(const absl::Status& status);

  net::Reactor& reactor_;
  const dtls::Context context_;
  const LoadOptions options_;
  LoadResult result_;
  // Of a session that ended: the load cannot go on.
  absl::Status broken_;
  size_t opened_ = 0;
  std::vector<std::unique_ptr<EchoSession>> echoes_;
  std::vector<std::unique_ptr<HelloSender>> hellos_;
};

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_BENCH_LOAD_H_
