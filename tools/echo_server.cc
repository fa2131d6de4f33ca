// A DTLS server that sends every message back.
#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/control/control.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/listener.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/base/line_writer.h"
#include "cordon/net/base/printable.h"
#include "cordon/net/base/resolve.h"
#include "cordon/net/reactor/reactor_group.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/tools/command_line.h"
#include "cordon/tools/common_flags.h"
#include "cordon/tools/control_flags.h"
#include "cordon/tools/server_certificates.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:4433",
          "Where to listen: HOST:PORT. Port 0 takes any free one; [::] serves "
          "IPv4 as well.");
ABSL_FLAG(std::string, client_auth, "none",
          "Client certificates: none, query (what is wrong with one is told "
          "with --verbose), request (one that is sent must be good) or "
          "require.");
ABSL_FLAG(cordon::tools::RepeatedFlag, psk_file, {},
          "A file with pre-shared keys, IDENTITY:HEX in each line. May be "
          "repeated.");
ABSL_FLAG(cordon::tools::RepeatedFlag, psk, {},
          "A pre-shared key, IDENTITY:HEX. May be repeated. Better --psk_file: "
          "every user of the machine can see command lines.");
ABSL_FLAG(std::string, psk_hint, "",
          "Tells clients which of their pre-shared keys to use.");
ABSL_FLAG(bool, prefer_client_ciphers, false,
          "Of the cipher suites that both have, use what the client prefers.");
ABSL_FLAG(bool, session_tickets, true, "Resume sessions by tickets.");
ABSL_FLAG(bool, session_ids, true, "Resume sessions that are kept here.");
ABSL_FLAG(uint64_t, max_session_id_bytes,
          cordon::dtls::ServerOptions().max_session_id_bytes,
          "Memory for sessions that are kept here, the clients' certificates "
          "included.");
ABSL_FLAG(std::string, ticket_secret_file, "",
          "A file with a secret, 32 bytes or more in hexadecimal: servers with "
          "the same take each other's tickets.");
ABSL_FLAG(std::string, ticket_secret, "",
          "The secret itself. Better --ticket_secret_file: every user of the "
          "machine can see command lines.");
ABSL_FLAG(std::string, cookies, "on",
          "Whether clients must show that they receive at their address: on "
          "or off.");
ABSL_FLAG(std::string, cookie_secret_file, "",
          "A file with a secret, 16 bytes or more in hexadecimal: servers with "
          "the same take each other's cookies.");
ABSL_FLAG(std::string, cookie_secret, "",
          "The secret itself. Better --cookie_secret_file: every user of the "
          "machine can see command lines.");
ABSL_FLAG(uint32_t, mtu, cordon::dtls::kDefaultMtu,
          "The largest IP packet to send while handshaking, in bytes.");
ABSL_FLAG(absl::Duration, handshake_deadline,
          cordon::dtls::SessionOptions().handshake_deadline,
          "How long a handshake may take.");
ABSL_FLAG(absl::Duration, idle_timeout,
          cordon::dtls::SessionOptions().idle_timeout,
          "A session whose peer has sent no message for so long is ended; inf: "
          "never.");
ABSL_FLAG(uint64_t, max_queued_messages,
          cordon::dtls::SessionOptions().max_queued_messages,
          "How many messages of a session may wait to be sent back; more are "
          "dropped.");
ABSL_FLAG(uint64_t, max_queued_bytes,
          cordon::dtls::SessionOptions().max_queued_bytes, "Their bytes.");
ABSL_FLAG(
    uint32_t, reactors, 1,
    "Threads to serve with; 0: one per core, as far as the CPU quota of a "
    "container allows.");
ABSL_FLAG(bool, gro, true,
          "Receive trains of datagrams whole, from peers that send in bulk.");
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

// "127.0.0.1:40000 DTLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 CN=client resumed".
std::string Describe(const dtls::Connection& connection) {
  const dtls::SessionInfo info = connection.info();
  std::vector<std::string> words = {
      connection.peer().ToString(), info.version, info.cipher,
      connection.peer_identity().subject, net::Printable(info.psk_identity)};
  if (info.psk && info.psk_identity.empty()) words.emplace_back("\"\"");
  if (info.resumed) words.emplace_back("resumed");
  words.erase(std::remove(words.begin(), words.end(), ""), words.end());
  return absl::StrJoin(words, " ");
}

// On stderr, and never waits for whoever reads it.
void Log(absl::string_view text) {
  net::LineWriter::StandardError().Write(absl::StrCat(kProgram, ": ", text));
}

void PrintWarnings(const dtls::Connection& connection) {
  for (const dtls::VerificationError& error :
       connection.PeerVerificationErrors()) {
    Log(absl::StrCat(connection.peer().ToString(), ": warning: ", error.message,
                     " [", dtls::VerificationErrorId(error.code), "]"));
  }
}

void PrintEnd(const dtls::Connection& connection, const absl::Status& status) {
  std::string end =
      status.ok() ? "closed in order"
                  : net::PrintableText(status.message(), net::kMaxLineBytes);
  if (connection.state() == dtls::EngineState::kVerificationFailed) {
    absl::StrAppend(
        &end, " [",
        absl::StrJoin(tools::IdsOf(connection.PeerVerificationErrors()), ","),
        "]");
  }
  Log(absl::StrCat(Describe(connection), ": ", end));
}

net::Task<absl::Status> Echo(Server& server, dtls::Connection& connection) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  if (absl::GetFlag(FLAGS_verbose)) PrintWarnings(connection);
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
  const absl::Status status = co_await Echo(server, connection);
  if (absl::GetFlag(FLAGS_verbose)) PrintEnd(connection, status);
  // A session that fails is that peer's business.
  co_return absl::OkStatus();
}

net::Task<absl::Status> Report(Server& server, Board& board) {
  const absl::Duration interval = absl::GetFlag(FLAGS_stats_interval);
  while (true) {
    CO_RETURN_IF_ERROR(co_await net::SleepFor(interval));
    board.Tell(server.index, server.totals());
    if (server.index == 0) {
      Log(board.Sum().ToString());
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
  // Each session that ends sends close_notify. Only a drain makes the listener
  // end by itself.
  if (absl::IsFailedPrecondition(why)) why = absl::OkStatus();
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

void SetClientAuthentication(dtls::ServerOptions* options) {
  const std::string auth = absl::GetFlag(FLAGS_client_auth);
  dtls::PeerVerification mode = dtls::PeerVerification::kNone;
  if (auth == "query") {
    mode = dtls::PeerVerification::kQuery;
  } else if (auth == "request") {
    mode = dtls::PeerVerification::kVerifyIfGiven;
  } else if (auth == "require") {
    mode = dtls::PeerVerification::kVerify;
  } else if (auth != "none") {
    tools::DieOfUsage(kProgram,
                      absl::StrCat("--client_auth=", auth,
                                   " is not none, query, request or require"));
  }
  tools::SetVerification(kProgram, &options->verification);
  options->verification.mode = mode;
  options->client_trust = tools::Trust(kProgram);
  if ((auth == "request" || auth == "require") &&
      options->client_trust.empty()) {
    tools::DieOfUsage(kProgram,
                      absl::StrCat("--client_auth=", auth, " needs --ca"));
  }
}

void SetCredentials(dtls::ServerOptions* options) {
  options->certificates = tools::ServerCertificates(kProgram);
  options->pre_shared_keys =
      tools::PsksOrDie(kProgram, absl::GetFlag(FLAGS_psk_file).values,
                       absl::GetFlag(FLAGS_psk).values);
  if (options->certificates.empty() && options->pre_shared_keys.empty()) {
    tools::DieOfUsage(kProgram, "give --cert and --key, or --psk_file");
  }
  options->psk_identity_hint = absl::GetFlag(FLAGS_psk_hint);
}

void SetSecrets(dtls::ServerOptions* options) {
  constexpr size_t kMinTicketSecretBytes = 32;
  // Without one, each server makes its own.
  if (std::string secret = tools::HexSecretOrDie(
          kProgram, "cookie_secret", absl::GetFlag(FLAGS_cookie_secret_file),
          absl::GetFlag(FLAGS_cookie_secret),
          dtls::CookieExchange::kMinSecretBytes);
      !secret.empty()) {
    options->cookie.parameters.secret = std::move(secret);
  }
  options->session_ticket_secret = tools::HexSecretOrDie(
      kProgram, "ticket_secret", absl::GetFlag(FLAGS_ticket_secret_file),
      absl::GetFlag(FLAGS_ticket_secret), kMinTicketSecretBytes);
}

// Sets `field` to what its flag, `name`, says.
template <typename Value>
void SetSessionOption(absl::string_view name, Value value,
                      Value dtls::SessionOptions::* field,
                      dtls::SessionOptions* session) {
  dtls::ClientOptions alone;
  alone.session.*field = value;
  tools::CheckOrDie(kProgram, name, std::move(alone));
  session->*field = value;
}

void SetSession(dtls::SessionOptions* session) {
  using Options = dtls::SessionOptions;
  SetSessionOption<size_t>("mtu", absl::GetFlag(FLAGS_mtu), &Options::mtu,
                           session);
  SetSessionOption("handshake_deadline",
                   absl::GetFlag(FLAGS_handshake_deadline),
                   &Options::handshake_deadline, session);
  SetSessionOption("idle_timeout", absl::GetFlag(FLAGS_idle_timeout),
                   &Options::idle_timeout, session);
  SetSessionOption<size_t>("max_queued_messages",
                           absl::GetFlag(FLAGS_max_queued_messages),
                           &Options::max_queued_messages, session);
  SetSessionOption<size_t>("max_queued_bytes",
                           absl::GetFlag(FLAGS_max_queued_bytes),
                           &Options::max_queued_bytes, session);
  tools::SetReplayWindow(kProgram, session);
}

dtls::Context MakeContext() {
  dtls::ServerOptions options;
  SetSecrets(&options);
  SetCredentials(&options);
  SetClientAuthentication(&options);
  tools::SetProtocol(kProgram, &options);
  options.prefer_client_ciphers = absl::GetFlag(FLAGS_prefer_client_ciphers);
  options.session_tickets = absl::GetFlag(FLAGS_session_tickets);
  options.session_ids = absl::GetFlag(FLAGS_session_ids);
  options.max_session_id_bytes = absl::GetFlag(FLAGS_max_session_id_bytes);
  if (options.max_session_id_bytes == 0) {
    tools::DieOfUsage(kProgram,
                      "--max_session_id_bytes is 0: say --nosession_ids to "
                      "keep none");
  }
  options.cookies = OnOrOff("cookies", absl::GetFlag(FLAGS_cookies));
  SetSession(&options.session);
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
       .repeated = {"psk_file", "psk", "sni", "control", "control_admin",
                    "control_reader"}});
  if (!rest.empty()) {
    tools::DieOfUsage(kProgram, absl::StrCat("what is \"", rest[0], "\"?"));
  }
  tools::CheckNotNegativeOrDie(kProgram, "stats_interval",
                               absl::GetFlag(FLAGS_stats_interval));
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
  if (absl::IsInvalidArgument(group.status())) {
    tools::DieOfUsage(kProgram,
                      absl::StrCat("--reactors: ", group.status().message()));
  }
  if (!group.ok()) tools::Die(kProgram, group.status().message());

  const auto registry = std::make_shared<dtls::Registry>();
  const std::unique_ptr<dtls::control::Control> control =
      tools::StartControlOrDie(kProgram, registry,
                               {tools::ServerCertificateSource(kProgram)});
  std::vector<Server> servers;
  net::Endpoint endpoint = at->front();
  for (size_t i = 0; i < group->size(); ++i) {
    absl::StatusOr<dtls::Listener> listener =
        dtls::Listener::Bind(group->reactor(i), endpoint, context,
                             {.name = "echo",
                              .registry = control ? registry : nullptr,
                              .reuse_port = group->size() > 1,
                              .gro = absl::GetFlag(FLAGS_gro)});
    if (!listener.ok()) tools::Die(kProgram, listener.status().message());
    // All others take the port that the first was given.
    endpoint = listener->local_endpoint();
    servers.push_back({.index = i, .listener = *std::move(listener)});
  }
  net::LineWriter& output = net::LineWriter::StandardOutput();
  if (control != nullptr) {
    for (const std::string& address : control->addresses()) {
      output.Write(absl::StrCat("control on ", address));
    }
  }
  output.Write(absl::StrCat("listening on ", endpoint.ToString()));

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
  output.Write(absl::StrCat(kProgram, ": done: ", board.Sum().ToString()));
  return 0;
}
