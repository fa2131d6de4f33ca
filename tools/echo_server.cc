// A DTLS server that sends every message back.
#include <pthread.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/net/base/resolve.h"
#include "cordon/net/reactor/reactor_group.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/tools/command_line.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:4433",
          "Where to listen: HOST:PORT. Port 0 takes any free one; [::] serves "
          "IPv4 as well.");
ABSL_FLAG(std::string, cert, "", "The server's certificate chain, a PEM file.");
ABSL_FLAG(std::string, key, "", "Its private key, a PEM file.");
ABSL_FLAG(std::string, ca, "",
          "Who may have issued client certificates, a PEM file.");
ABSL_FLAG(std::string, client_auth, "none",
          "Client certificates: none, request (one that is sent must be good) "
          "or require.");
ABSL_FLAG(cordon::tools::RepeatedFlag, psk, {},
          "A pre-shared key, IDENTITY:HEX. May be repeated.");
ABSL_FLAG(std::string, ciphers, "",
          "Cipher suites, OpenSSL's names with \":\" between them. By default "
          "all with AEAD.");
ABSL_FLAG(std::string, alpn, "",
          "Application protocols, the preferred one first, with commas.");
ABSL_FLAG(std::string, cookies, "on",
          "Whether clients must show that they receive at their address: on "
          "or off.");
ABSL_FLAG(uint32_t, mtu, cordon::dtls::kDefaultMtu,
          "The largest IP packet to send while handshaking, in bytes.");
ABSL_FLAG(uint32_t, reactors, 1, "Threads to serve with; 0: one per core.");
ABSL_FLAG(cordon::net::Backend, backend, cordon::net::Backend::kAuto,
          "auto, io_uring or epoll.");
ABSL_FLAG(absl::Duration, stats_interval, absl::ZeroDuration(),
          "Print statistics on stderr so often; 0: never.");
ABSL_FLAG(bool, verbose, false, "Say of each session how it ended.");

namespace {

using namespace cordon;  // NOLINT(google-build-using-namespace)

constexpr char kProgram[] = "echo_server";

// Totals over all reactors, for people to read.
struct Totals {
  size_t sessions = 0;
  uint64_t accepted = 0;
  uint64_t completed = 0;
  uint64_t failed = 0;
  uint64_t messages = 0;
  uint64_t bytes = 0;

  std::string ToString() const {
    return absl::StrCat(accepted, " sessions accepted, ", sessions,
                        " now; handshakes: ", completed, " completed, ", failed,
                        " failed; ", messages, " messages with ", bytes,
                        " bytes echoed");
  }
};

// What each reactor has last told of itself.
class Board {
 public:
  explicit Board(size_t reactors) : totals_(reactors) {}

  void Tell(size_t reactor, const Totals& totals) {
    absl::MutexLock lock(&mutex_);
    totals_[reactor] = totals;
  }
  Totals Sum() {
    absl::MutexLock lock(&mutex_);
    Totals sum;
    for (const Totals& t : totals_) {
      sum.sessions += t.sessions;
      sum.accepted += t.accepted;
      sum.completed += t.completed;
      sum.failed += t.failed;
      sum.messages += t.messages;
      sum.bytes += t.bytes;
    }
    return sum;
  }

 private:
  absl::Mutex mutex_;
  std::vector<Totals> totals_ ABSL_GUARDED_BY(mutex_);
};

struct Server {
  size_t index = 0;
  dtls::Listener listener;
  uint64_t messages = 0;
  uint64_t bytes = 0;

  Totals totals() const {
    const dtls::ListenerStatistics s = listener.statistics();
    return {s.sessions,
            s.sessions_accepted,
            s.handshakes_completed,
            s.handshakes_failed,
            messages,
            bytes};
  }
};

net::Task<absl::Status> Echo(Server& server, dtls::Connection& connection) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  while (true) {
    absl::StatusOr<dtls::Message> message = co_await connection.RecvDecrypted();
    if (dtls::IsClosed(message.status())) {
      co_return co_await connection.Close();
    }
    if (!message.ok()) co_return message.status();
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
    ++server.messages;
    server.bytes += message->size();
  }
}

net::Task<absl::Status> EchoSession(Server& server,
                                    dtls::Connection connection) {
  absl::Status status = co_await Echo(server, connection);
  if (absl::GetFlag(FLAGS_verbose)) {
    const dtls::SessionInfo info = connection.info();
    std::fprintf(stderr, "%s: %s %s %s: %s\n", kProgram,
                 connection.peer().ToString().c_str(), info.version.c_str(),
                 info.cipher.c_str(),
                 status.ok() ? "closed in order"
                             : std::string(status.message()).c_str());
  }
  // A session that fails is that peer's business.
  co_return absl::OkStatus();
}

net::Task<absl::Status> Report(Server& server, Board& board) {
  const absl::Duration interval = absl::GetFlag(FLAGS_stats_interval);
  while (true) {
    CO_RETURN_IF_ERROR(co_await net::SleepFor(interval));
    board.Tell(server.index, server.totals());
    if (server.index == 0) {
      std::fprintf(stderr, "%s: %s\n", kProgram,
                   board.Sum().ToString().c_str());
    }
  }
}

net::Task<absl::Status> Serve(Server& server, Board& board) {
  net::TaskScope sessions;
  if (absl::GetFlag(FLAGS_stats_interval) > absl::ZeroDuration()) {
    sessions.Spawn(Report(server, board));
  }
  absl::Status why;
  while (why.ok()) {
    absl::StatusOr<dtls::Connection> connection =
        co_await server.listener.Accept();
    why = connection.status();
    if (connection.ok()) {
      sessions.Spawn(EchoSession(server, *std::move(connection)));
    }
  }
  // Each session that ends sends close_notify.
  server.listener.StopAccepting();
  sessions.RequestStop();
  (void)co_await sessions.Join();
  board.Tell(server.index, server.totals());
  co_return absl::IsCancelled(why) ? absl::OkStatus() : why;
}

bool OnOrOff(absl::string_view flag, const std::string& value) {
  if (value != "on" && value != "off") {
    tools::DieOfUsage(kProgram, absl::StrCat("--", flag, "=", value,
                                             " is neither on nor off"));
  }
  return value == "on";
}

dtls::Context MakeContext() {
  dtls::ServerOptions options;
  const std::string cert = absl::GetFlag(FLAGS_cert);
  const std::string key = absl::GetFlag(FLAGS_key);
  if (cert.empty() != key.empty()) {
    tools::DieOfUsage(kProgram, "--cert and --key go together");
  }
  const tools::RepeatedFlag psks = absl::GetFlag(FLAGS_psk);
  if (cert.empty() && psks.values.empty()) {
    tools::DieOfUsage(kProgram, "give --cert and --key, or --psk");
  }
  if (!cert.empty()) {
    absl::StatusOr<dtls::Certificate> certificate =
        dtls::LoadCertificate(cert, key);
    if (!certificate.ok()) {
      tools::Die(kProgram, certificate.status().message());
    }
    options.certificates.push_back(*std::move(certificate));
  }
  for (const std::string& text : psks.values) {
    absl::StatusOr<dtls::PreSharedKey> psk = dtls::ParsePreSharedKey(text);
    if (!psk.ok()) {
      tools::DieOfUsage(kProgram,
                        absl::StrCat("--psk: ", psk.status().message()));
    }
    options.pre_shared_keys.push_back(*std::move(psk));
  }
  const std::string auth = absl::GetFlag(FLAGS_client_auth);
  if (auth == "request") {
    options.client_authentication = dtls::ClientAuthentication::kRequest;
  } else if (auth == "require") {
    options.client_authentication = dtls::ClientAuthentication::kRequire;
  } else if (auth != "none") {
    tools::DieOfUsage(kProgram, absl::StrCat("--client_auth=", auth,
                                             " is not none, request or "
                                             "require"));
  }
  if (auth != "none" && absl::GetFlag(FLAGS_ca).empty()) {
    tools::DieOfUsage(kProgram,
                      absl::StrCat("--client_auth=", auth, " needs --ca"));
  }
  if (const std::string ca = absl::GetFlag(FLAGS_ca); !ca.empty()) {
    absl::StatusOr<dtls::TrustAnchors> trust = dtls::LoadTrustAnchors(ca);
    if (!trust.ok()) tools::Die(kProgram, trust.status().message());
    options.client_trust = *std::move(trust);
  }
  options.ciphers = absl::GetFlag(FLAGS_ciphers);
  options.alpn =
      absl::StrSplit(absl::GetFlag(FLAGS_alpn), ',', absl::SkipEmpty());
  options.cookies = OnOrOff("cookies", absl::GetFlag(FLAGS_cookies));
  options.session.mtu = absl::GetFlag(FLAGS_mtu);
  absl::StatusOr<dtls::Context> context =
      dtls::Context::Server(std::move(options));
  if (!context.ok()) tools::Die(kProgram, context.status().message());
  return *std::move(context);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> rest = tools::ParseCommandLine(
      argc, argv,
      {.program = kProgram,
       .synopsis = "--listen=HOST:PORT --cert=FILE --key=FILE [flags]",
       .summary = "Serves DTLS and sends every message back. SIGINT and "
                  "SIGTERM close all sessions and end it.",
       .repeated = {"psk"}});
  if (!rest.empty()) {
    tools::DieOfUsage(kProgram, absl::StrCat("what is \"", rest[0], "\"?"));
  }
  const dtls::Context context = MakeContext();
  absl::StatusOr<std::vector<net::Endpoint>> at =
      net::Resolve(absl::GetFlag(FLAGS_listen));
  if (!at.ok()) {
    const std::string message =
        absl::StrCat("--listen: ", at.status().message());
    if (absl::IsInvalidArgument(at.status())) {
      tools::DieOfUsage(kProgram, message);
    }
    tools::Die(kProgram, message);
  }

  // Before there are threads: they inherit it.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  absl::StatusOr<net::ReactorGroup> group = net::ReactorGroup::Create(
      {.reactors = absl::GetFlag(FLAGS_reactors),
       .reactor = {.backend = absl::GetFlag(FLAGS_backend)}});
  if (!group.ok()) tools::Die(kProgram, group.status().message());

  std::vector<Server> servers;
  net::Endpoint endpoint = at->front();
  for (size_t i = 0; i < group->size(); ++i) {
    absl::StatusOr<dtls::Listener> listener =
        dtls::Listener::Bind(group->reactor(i), endpoint, context,
                             {.reuse_port = group->size() > 1});
    if (!listener.ok()) tools::Die(kProgram, listener.status().message());
    // All others take the port that the first was given.
    endpoint = listener->local_endpoint();
    servers.push_back({.index = i, .listener = *std::move(listener)});
  }
  std::printf("listening on %s\n", endpoint.ToString().c_str());
  std::fflush(stdout);

  std::thread waiter([&] {
    int signal = 0;
    sigwait(&signals, &signal);
    group->RequestStop();
  });
  Board board(servers.size());
  const absl::Status status =
      group->RunOnEach([&](net::Reactor& reactor) -> net::Task<absl::Status> {
        size_t i = 0;
        while (&group->reactor(i) != &reactor) ++i;
        return Serve(servers[i], board);
      });
  pthread_kill(waiter.native_handle(), SIGINT);
  waiter.join();
  if (!status.ok()) tools::Die(kProgram, status.message());
  std::printf("%s: done: %s\n", kProgram, board.Sum().ToString().c_str());
  return 0;
}
