// An echo server on two reactors, of which one is stopped and started all the
// time: for the soak. It has the flags of `echo_server` that the soak needs.
#include <pthread.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/control/control.h"
#include "cordon/dtls/listener.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/base/resolve.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/tools/command_line.h"
#include "cordon/tools/common_flags.h"
#include "cordon/tools/control_flags.h"
#include "cordon/tools/server_certificates.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:0", "Where to listen: HOST:PORT.");
ABSL_FLAG(std::string, client_auth, "require", "Only require.");
ABSL_FLAG(absl::Duration, restart_reactor, absl::Seconds(1),
          "How long the second reactor runs, and then half as long does not.");

namespace {

using namespace cordon;  // NOLINT(google-build-using-namespace)

constexpr char kProgram[] = "restarting_server";

std::atomic<bool> ending = false;

struct Totals {
  uint64_t accepted = 0;
  uint64_t forwarded = 0;
  uint64_t handed_over = 0;
  uint64_t dropped = 0;

  void Add(const dtls::ListenerStatistics& s) {
    accepted += s.sessions_accepted;
    forwarded += s.strays_forwarded;
    handed_over += s.hellos_handed_over;
    dropped += s.strays_dropped;
  }
};

net::Task<absl::Status> Echo(dtls::Connection connection) {
  if (!(co_await connection.Handshake()).ok()) co_return absl::OkStatus();
  while (true) {
    absl::StatusOr<dtls::Message> message = co_await connection.RecvDecrypted();
    if (!message.ok()) break;
    const absl::Status sent =
        co_await connection.SendEncrypted(message->bytes());
    if (!sent.ok()) break;
  }
  (void)co_await connection.Close();
  co_return absl::OkStatus();
}

net::Task<absl::Status> Accept(dtls::Listener& listener) {
  net::TaskScope sessions;
  while (true) {
    absl::StatusOr<dtls::Connection> connection = co_await listener.Accept();
    if (!connection.ok()) break;
    sessions.Spawn(Echo(*std::move(connection)));
  }
  sessions.RequestStop();
  co_return co_await sessions.Join();
}

// For `time`, or until the program is to end.
net::Task<absl::Status> Serve(dtls::Listener& listener, absl::Duration time) {
  net::TaskScope scope;
  scope.Spawn(Accept(listener));
  const absl::Time end = absl::Now() + time;
  while (!ending && absl::Now() < end) {
    CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(20)));
  }
  scope.RequestStop();
  co_return co_await scope.Join();
}

struct Server {
  std::unique_ptr<net::Reactor> reactor;
  dtls::Listener listener;
};

Server MakeServer(const net::Endpoint& at, const dtls::Context& context,
                  const std::shared_ptr<dtls::Registry>& registry) {
  absl::StatusOr<std::unique_ptr<net::Reactor>> reactor = net::MakeReactor({});
  if (!reactor.ok()) tools::Die(kProgram, reactor.status().message());
  absl::StatusOr<dtls::Listener> listener = dtls::Listener::Bind(
      **reactor, at, context,
      {.name = "echo", .registry = registry, .reuse_port = true});
  if (!listener.ok()) tools::Die(kProgram, listener.status().message());
  return {*std::move(reactor), *std::move(listener)};
}

}  // namespace

int main(int argc, char** argv) {
  tools::ParseCommandLine(
      argc, argv,
      {.program = kProgram,
       .synopsis = "--cert=FILE --key=FILE --ca=FILE [flags]",
       .summary = "Serves DTLS on two reactors, of which one is restarted.",
       .repeated = {"sni", "control", "control_admin", "control_reader"}});
  absl::StatusOr<std::vector<net::Endpoint>> at =
      net::Resolve(absl::GetFlag(FLAGS_listen));
  if (!at.ok()) tools::DieOfUsage(kProgram, at.status().message());
  dtls::ServerOptions options;
  options.certificates = tools::ServerCertificates(kProgram);
  options.client_trust = tools::Trust(kProgram);
  options.verification.mode = dtls::PeerVerification::kVerify;
  absl::StatusOr<dtls::Context> context =
      dtls::Context::Server(std::move(options));
  if (!context.ok()) tools::Die(kProgram, context.status().message());

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  const auto registry = std::make_shared<dtls::Registry>();
  const std::unique_ptr<dtls::control::Control> control =
      tools::StartControlOrDie(kProgram, registry,
                               {tools::ServerCertificateSource(kProgram)});
  Server steady = MakeServer(at->front(), *context, registry);
  const net::Endpoint endpoint = steady.listener.local_endpoint();
  std::printf("listening on %s\n", endpoint.ToString().c_str());
  std::fflush(stdout);
  std::thread waiter([&signals] {
    int signal = 0;
    sigwait(&signals, &signal);
    ending = true;
  });

  Totals totals;
  int restarts = 0;
  std::thread restarted([&] {
    const absl::Duration time = absl::GetFlag(FLAGS_restart_reactor);
    for (; !ending; ++restarts) {
      Server server = MakeServer(endpoint, *context, registry);
      const absl::Status status =
          server.reactor->Run(Serve(server.listener, time));
      if (!status.ok()) tools::Die(kProgram, status.message());
      totals.Add(server.listener.statistics());
      // Its listener is still there.
      const absl::Time next = absl::Now() + time / 2;
      while (!ending && absl::Now() < next) {
        absl::SleepFor(absl::Milliseconds(20));
      }
    }
  });
  const absl::Status status =
      steady.reactor->Run(Serve(steady.listener, absl::InfiniteDuration()));
  restarted.join();
  waiter.join();
  totals.Add(steady.listener.statistics());
  if (!status.ok()) tools::Die(kProgram, status.message());
  std::printf(
      "%s: done: %d restarts, %llu sessions accepted, %llu datagrams sent on, "
      "%llu hellos handed over, %llu of these lost\n",
      kProgram, restarts, static_cast<unsigned long long>(totals.accepted),
      static_cast<unsigned long long>(totals.forwarded),
      static_cast<unsigned long long>(totals.handed_over),
      static_cast<unsigned long long>(totals.dropped));
  return 0;
}
