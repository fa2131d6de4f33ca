#include "cordon/testing/soak/soak_clients.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/message.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"

namespace cordon::testing {
namespace {

// Longer than a datagram is on its way, there and back; and on a machine that
// has too much to do.
constexpr absl::Duration kQuiet = absl::Milliseconds(500);
constexpr int kMaxQuiets = 40;
constexpr size_t kMaxBytes = 1000;

// A message says which it is, and is filled with bytes that follow from that.
std::string MessageOf(uint64_t number, size_t size) {
  std::string text(std::max(size, sizeof(number)), '\0');
  std::memcpy(text.data(), &number, sizeof(number));
  for (size_t i = sizeof(number); i < text.size(); ++i) {
    text[i] = static_cast<char>(number * 31 + i);
  }
  return text;
}

absl::Span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

template <typename T>
T Valid(absl::StatusOr<T> made) {
  if (!made.ok()) {
    std::fprintf(stderr, "%s\n", made.status().ToString().c_str());
    std::abort();
  }
  return *std::move(made);
}

dtls::Context ContextOf(const TestAuthority& authority,
                        const std::string& name) {
  dtls::ClientOptions options;
  options.trust = authority.trust();
  // An alert that says no is not repeated when it is lost.
  options.session.handshake_deadline = absl::Seconds(5);
  options.certificate =
      authority.Issue({.common_name = name, .dns_names = {name}});
  return Valid(dtls::Context::Client(options));
}

}  // namespace

struct SoakClients::Session {
  std::shared_ptr<LossyRelay::Traffic> traffic =
      std::make_shared<LossyRelay::Traffic>();
  uint64_t sent = 0;
  uint64_t repeated = 0;
  uint64_t wrong = 0;
  absl::flat_hash_set<uint64_t> echoed;
  // How the receiver ended.
  absl::Status ended;

  bool settled() const {
    return sent == traffic->up.seen.size() &&
           traffic->up.passed.size() == traffic->down.seen.size() &&
           traffic->down.passed.size() == echoed.size();
  }
};

SoakClients::SoakClients(const TestAuthority& authority,
                         const net::Endpoint& server,
                         const SoakOptions& options)
    : options_(options),
      server_(server),
      member_(ContextOf(authority, "member.example")),
      guest_(ContextOf(authority, kGuest)),
      reactor_(Valid(net::MakeReactor({}))),
      random_(options.seed) {}

SoakClients::~SoakClients() = default;

absl::Status SoakClients::Run(SoakReport* report) {
  report_ = report;
  return reactor_->Run(All());
}

net::Task<absl::Status> SoakClients::All() {
  CO_ASSIGN_OR_RETURN(relay_,
                      LossyRelay::Open(*reactor_, server_, options_.network));
  net::TaskScope network;
  network.Spawn(relay_->Run());
  net::TaskScope clients;
  for (size_t i = 0; i < options_.clients; ++i) clients.Spawn(Client(i));
  absl::Status status = co_await clients.Join();
  network.RequestStop();
  absl::Status carried = co_await network.Join();
  report_->network = relay_->statistics();
  relay_.reset();
  status.Update(carried);
  co_return status;
}

net::Task<absl::Status> SoakClients::Client(size_t number) {
  dtls::ConnectOptions next;
  next.server_name = "localhost";
  CO_RETURN_IF_ERROR(co_await net::SleepFor(options_.pause * Random()));
  while (!ending_) {
    CO_RETURN_IF_ERROR(co_await OneSession(number, &next));
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> SoakClients::OneSession(size_t number,
                                                dtls::ConnectOptions* next) {
  const dtls::Context& context = number % 10 == 9 ? guest_ : member_;
  dtls::ConnectOptions options = *next;
  CO_ASSIGN_OR_RETURN(
      dtls::Connection connection,
      co_await dtls::Connect(*reactor_, relay_->endpoint(), context, options));
  const net::Endpoint local = connection.local();
  Session session;
  relay_->Begin(local, session.traffic);
  next->bind = {};
  next->resume = {};
  const absl::Status handshake = co_await connection.Handshake();
  if (!handshake.ok()) {
    ++report_->failed[absl::StatusCodeToString(handshake.code())];
    CO_RETURN_IF_ERROR(co_await connection.Close());
    co_return co_await net::SleepFor(options_.pause);
  }
  ++report_->sessions;
  if (connection.info().resumed) ++report_->sessions_resumed;
  ++connected_;
  const absl::Time until =
      reactor_->Now() + options_.longest_stay * (0.1 + 0.9 * Random());
  net::TaskScope listening;
  listening.Spawn(Listen(connection, session));
  CO_RETURN_IF_ERROR(co_await Talk(connection, session, until));
  const bool crashes = !ending_ && session.ended.ok() && Random() < 0.3;
  if (crashes) {
    ++report_->crashes;
    relay_->Mute(local);
    if (Random() < 0.5) {
      ++report_->same_port;
      next->bind = local;
    }
  } else if (Random() < 0.5) {
    absl::StatusOr<dtls::ResumableSession> kept = connection.Session();
    if (kept.ok()) next->resume = *std::move(kept);
  }
  // What is on its way comes, or is never going to.
  for (int i = 0; i < (crashes ? 1 : kMaxQuiets); ++i) {
    CO_RETURN_IF_ERROR(co_await net::SleepFor(kQuiet));
    if (session.settled() || session.traffic->ended) break;
  }
  listening.RequestStop();
  CO_RETURN_IF_ERROR(co_await listening.Join());
  --connected_;
  if (crashes) {
    Account(session, false, "their client crashed");
  } else if (absl::IsCancelled(session.ended) && !session.traffic->ended) {
    Account(session, true, "");
  } else {
    // Perhaps the client has not heard of it.
    Account(session, false, "their session was ended by the server");
  }
  co_return co_await connection.Close();
}

net::Task<absl::Status> SoakClients::Talk(dtls::Connection& connection,
                                          Session& session, absl::Time until) {
  while (!ending_ && session.ended.ok() && reactor_->Now() < until) {
    const std::string message = MessageOf(
        session.sent,
        static_cast<size_t>(Random() * static_cast<double>(kMaxBytes)));
    const absl::Status sent =
        co_await connection.SendEncrypted(BytesOf(message));
    if (!sent.ok()) break;
    ++session.sent;
    CO_RETURN_IF_ERROR(co_await net::SleepFor(options_.pause * 2 * Random()));
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> SoakClients::Listen(dtls::Connection& connection,
                                            Session& session) {
  while (true) {
    const absl::StatusOr<dtls::Message> message =
        co_await connection.RecvDecrypted();
    if (!message.ok()) {
      session.ended = message.status();
      co_return absl::OkStatus();
    }
    const absl::Span<const uint8_t> bytes = message->bytes();
    uint64_t number = ~uint64_t{0};
    if (bytes.size() >= sizeof(number)) {
      std::memcpy(&number, bytes.data(), sizeof(number));
    }
    if (number >= session.sent ||
        BytesOf(MessageOf(number, bytes.size())) != bytes) {
      ++session.wrong;
    } else if (!session.echoed.insert(number).second) {
      ++session.repeated;
    }
  }
}

// The records that the relay has seen tell where each message was lost. What
// is missing and was lost nowhere has a cause only if the session did not end
// in order.
void SoakClients::Account(const Session& session, bool in_order,
                          const std::string& cause) {
  const LossyRelay::Direction& up = session.traffic->up;
  const LossyRelay::Direction& down = session.traffic->down;
  report_->messages += session.sent;
  report_->echoed += session.echoed.size();
  report_->repeated += session.repeated;
  report_->wrong += session.wrong;
  const auto lose = [&](absl::string_view why, uint64_t count) {
    if (count > 0) report_->lost[std::string(why)] += count;
  };
  // Signed: more than there can be is as bad as less.
  const auto missing = [&](uint64_t from, uint64_t to) {
    const auto count = static_cast<int64_t>(from) - static_cast<int64_t>(to);
    if (count > 0 && !in_order) {
      lose(cause, static_cast<uint64_t>(count));
    } else {
      report_->unaccounted += static_cast<uint64_t>(std::abs(count));
    }
  };
  missing(session.sent, up.seen.size());
  lose("the network lost them on the way to the server",
       up.seen.size() - up.passed.size());
  missing(up.passed.size(), down.seen.size());
  lose("the network lost their echoes", down.seen.size() - down.passed.size());
  missing(down.passed.size(), session.echoed.size());
}

}  // namespace cordon::testing
