#include "cordon/tools/bench/load.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/dtls/connect.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"

namespace cordon::tools {
namespace {

constexpr std::array<absl::string_view, 7> kNames = {
    "handshake", "resume", "echo", "paced", "bulk", "idle", "hello"};
// More handshakes at once would overrun the queues of common servers.
constexpr size_t kOpenAtOnce = 32;
constexpr absl::Duration kGlance = absl::Milliseconds(50);
constexpr absl::Duration kProgressInterval = absl::Seconds(1);
// Longer than a handshake may take.
constexpr absl::Duration kPatience = absl::Seconds(40);
// After a handshake that failed, so that a server that refuses at once is not
// asked as fast as the machine can.
constexpr absl::Duration kPause = absl::Milliseconds(20);

net::Endpoint SourceAddress(size_t index) {
  constexpr size_t kHosts = 250;
  return net::Endpoint::V4({127, 0, static_cast<uint8_t>(index / kHosts),
                            static_cast<uint8_t>(1 + index % kHosts)},
                           0);
}

}  // namespace

absl::StatusOr<Workload> ParseWorkload(absl::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Workload>(i);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no load \"", name,
                   "\": handshake, resume, echo, paced, bulk, idle or hello"));
}

std::string WorkloadName(Workload workload) {
  return std::string(kNames[static_cast<size_t>(workload)]);
}

Load::Load(net::Reactor& reactor, const dtls::Context& context,
           const LoadOptions& options)
    : reactor_(reactor), context_(context), options_(options) {}

Load::~Load() = default;

void Load::OnEcho(absl::Duration latency) {
  ++result_.operations;
  result_.latency.Record(latency);
}

void Load::Fail(const absl::Status& status) {
  ++result_.failures;
  result_.first_failure.Update(status);
}

net::Endpoint Load::NextSource() {
  if (options_.source_addresses == 0) return {};
  return SourceAddress(opened_++ % options_.source_addresses);
}

absl::StatusOr<net::UdpSocket> Load::OpenPlain() {
  net::DatagramSocketOptions options;
  options.bind = NextSource();
  options.connect = options_.server;
  options.gro = options_.gro;
  return net::UdpSocket::Open(reactor_, options);
}

net::Task<absl::StatusOr<dtls::Connection>> Load::Open(
    dtls::ResumableSession resume) {
  dtls::ConnectOptions options;
  options.server_name = options_.server_name;
  options.resume = std::move(resume);
  options.bind = NextSource();
  options.gro = options_.gro;
  CO_ASSIGN_OR_RETURN(dtls::Connection connection,
                      co_await dtls::Connect(reactor_, options_.server,
                                             context_, std::move(options)));
  if (absl::Status status = co_await connection.Handshake(); !status.ok()) {
    (void)co_await connection.Close();
    co_return status;
  }
  co_return std::move(connection);
}

net::Task<absl::Status> Load::OpenSome(
    size_t count, std::vector<dtls::Connection>* sessions) {
  for (size_t i = 0; i < count && broken_.ok(); ++i) {
    absl::StatusOr<dtls::Connection> session = co_await Open({});
    if (!session.ok()) {
      broken_.Update(session.status());
      co_return session.status();
    }
    sessions->push_back(*std::move(session));
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> Load::OpenAll(size_t count,
                                      std::vector<dtls::Connection>* sessions) {
  sessions->reserve(sessions->size() + count);
  net::TaskScope openers;
  const size_t at_once = std::min(count, kOpenAtOnce);
  for (size_t i = 0; i < at_once; ++i) {
    openers.Spawn(
        OpenSome(count / at_once + (i < count % at_once ? 1 : 0), sessions));
  }
  CO_RETURN_IF_ERROR(co_await openers.Join());
  // Joining does not tell of a stop.
  if (sessions->size() < count) co_return net::StoppedStatus("opening");
  co_return absl::OkStatus();
}

net::Task<absl::Status> Load::CloseAll(
    std::vector<dtls::Connection>* sessions) {
  for (dtls::Connection& session : *sessions) {
    CO_RETURN_IF_ERROR(co_await session.Close());
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> Load::Run() {
  std::vector<dtls::Connection> idle;
  CO_RETURN_IF_ERROR(co_await OpenAll(options_.idle_sessions, &idle));
  if (!idle.empty()) on_idle(idle.size());
  absl::Status status;
  switch (options_.workload) {
    case Workload::kHandshake:
    case Workload::kResume:
      status = co_await RunHandshakes();
      break;
    case Workload::kEcho:
    case Workload::kPaced:
    case Workload::kBulk:
      status = co_await RunEchoes();
      break;
    case Workload::kIdle:
      status = co_await RunIdle();
      break;
    case Workload::kHello:
      status = co_await RunHellos();
      break;
  }
  CO_RETURN_IF_ERROR(status);
  co_return co_await CloseAll(&idle);
}

net::Task<absl::Status> Load::Pass(absl::Duration time) {
  const absl::Duration end = MonotonicNow() + time;
  absl::Duration told = MonotonicNow();
  while (true) {
    const absl::Duration now = MonotonicNow();
    if (now >= end) co_return absl::OkStatus();
    CO_RETURN_IF_ERROR(
        co_await net::SleepFor(std::min<absl::Duration>(kGlance, end - now)));
    CO_RETURN_IF_ERROR(broken_);
    if (MonotonicNow() - told < kProgressInterval) continue;
    told += kProgressInterval;
    on_progress(result_);
  }
}

net::Task<absl::Status> Load::AwaitFirst() {
  const absl::Duration end = MonotonicNow() + kPatience;
  while (result_.operations == 0) {
    // A load that nothing comes of would be measured in vain.
    CO_RETURN_IF_ERROR(result_.first_failure);
    if (MonotonicNow() >= end) {
      co_return absl::UnavailableError(absl::StrCat(
          "nothing came back within ", absl::FormatDuration(kPatience)));
    }
    CO_RETURN_IF_ERROR(co_await Pass(kGlance));
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> Load::Measure() {
  CO_RETURN_IF_ERROR(co_await AwaitFirst());
  CO_RETURN_IF_ERROR(co_await Pass(options_.warmup));
  result_ = LoadResult();
  CO_RETURN_IF_ERROR(on_begin());
  const absl::Duration begin = MonotonicNow();
  CO_RETURN_IF_ERROR(co_await Pass(options_.duration));
  result_.elapsed = MonotonicNow() - begin;
  co_return on_end();
}

net::Task<absl::Status> Load::Handshake(dtls::ResumableSession resume) {
  const absl::Duration begin = MonotonicNow();
  absl::StatusOr<dtls::Connection> connection =
      co_await Open(std::move(resume));
  if (!connection.ok()) co_return connection.status();
  if (options_.workload == Workload::kResume && !connection->info().resumed) {
    co_return absl::FailedPreconditionError("the server did not resume");
  }
  ++result_.operations;
  result_.latency.Record(MonotonicNow() - begin);
  co_return co_await connection->Close();
}

net::Task<absl::Status> Load::Handshakes() {
  dtls::ResumableSession resume;
  while (true) {
    absl::Status status;
    if (options_.workload == Workload::kResume && resume.empty()) {
      absl::StatusOr<dtls::Connection> first = co_await Open({});
      status = first.status();
      if (first.ok()) {
        absl::StatusOr<dtls::ResumableSession> session = first->Session();
        status = session.status();
        if (absl::IsNotFound(status)) {
          status = absl::FailedPreconditionError("the server does not resume");
        }
        if (session.ok()) resume = *std::move(session);
        status.Update(co_await first->Close());
      }
    } else {
      status = co_await Handshake(resume);
    }
    if (absl::IsCancelled(status)) co_return status;
    if (status.ok()) continue;
    Fail(status);
    CO_RETURN_IF_ERROR(co_await net::SleepFor(kPause));
  }
}

net::Task<absl::Status> Load::RunHandshakes() {
  net::TaskScope workers;
  for (size_t i = 0; i < options_.connections; ++i) {
    workers.Spawn(Handshakes());
  }
  const absl::Status status = co_await Measure();
  workers.RequestStop();
  (void)co_await workers.Join();
  co_return status;
}

net::Task<absl::Status> Load::Echoes(EchoSession& session) {
  // Whoever has much to send does not wait for each answer to send one more.
  const size_t min_free = options_.workload == Workload::kBulk
                              ? std::max<size_t>(1, options_.outstanding / 4)
                              : 1;
  absl::Status status;
  while (status.ok()) {
    if (options_.workload != Workload::kPaced) {
      status = co_await session.Fill(min_free);
    }
    if (status.ok()) status = co_await session.Receive();
  }
  if (!absl::IsCancelled(status)) {
    broken_.Update(absl::Status(
        status.code(), absl::StrCat("a session ended: ", status.message())));
  }
  co_return status;
}

net::Task<absl::Status> Load::ReplaceLost() {
  while (true) {
    CO_RETURN_IF_ERROR(co_await net::SleepFor(kGlance));
    const absl::Duration now = MonotonicNow();
    for (const std::unique_ptr<EchoSession>& session : echoes_) {
      if (session->DropLost(now) && options_.workload != Workload::kPaced) {
        CO_RETURN_IF_ERROR(co_await session->Fill());
      }
    }
  }
}

net::Task<absl::Status> Load::Pace() {
  const absl::Duration interval = absl::Seconds(1) / options_.rate;
  absl::Duration due = MonotonicNow();
  size_t next = 0;
  while (true) {
    // The timers' ticks are far too coarse: look at the clock all the time.
    CO_RETURN_IF_ERROR(co_await NextTurn());
    while (due <= MonotonicNow()) {
      EchoSession& session = *echoes_[next++ % echoes_.size()];
      CO_ASSIGN_OR_RETURN(const bool sent, co_await session.SendOne(due));
      if (!sent) ++result_.skipped;
      due += interval;
    }
  }
}

net::Task<absl::Status> Load::OpenEchoes() {
  std::vector<dtls::Connection> connections;
  if (!options_.plain) {
    CO_RETURN_IF_ERROR(co_await OpenAll(options_.connections, &connections));
  }
  EchoCounters& counters = *this;
  auto add = [&](EchoSession::Transport transport) {
    echoes_.push_back(std::make_unique<EchoSession>(
        std::move(transport), static_cast<uint32_t>(echoes_.size()),
        options_.outstanding, options_.payload_bytes, options_.gso, counters));
  };
  for (dtls::Connection& connection : connections) add(std::move(connection));
  while (echoes_.size() < options_.connections) {
    CO_ASSIGN_OR_RETURN(net::UdpSocket plain, OpenPlain());
    add(std::move(plain));
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> Load::RunEchoes() {
  CO_RETURN_IF_ERROR(co_await OpenEchoes());
  net::TaskScope workers;
  for (const std::unique_ptr<EchoSession>& session : echoes_) {
    workers.Spawn(Echoes(*session));
  }
  workers.Spawn(ReplaceLost());
  if (options_.workload == Workload::kPaced) workers.Spawn(Pace());
  absl::Status status = co_await Measure();
  workers.RequestStop();
  (void)co_await workers.Join();
  for (const std::unique_ptr<EchoSession>& session : echoes_) {
    status.Update(co_await session->Close());
  }
  echoes_.clear();
  co_return status;
}

net::Task<absl::Status> Load::RunIdle() {
  CO_RETURN_IF_ERROR(on_begin());
  const absl::Duration begin = MonotonicNow();
  std::vector<dtls::Connection> sessions;
  CO_RETURN_IF_ERROR(co_await OpenAll(options_.connections, &sessions));
  result_.operations = sessions.size();
  result_.elapsed = MonotonicNow() - begin;
  on_idle(sessions.size());
  CO_RETURN_IF_ERROR(co_await Pass(options_.duration));
  CO_RETURN_IF_ERROR(on_end());
  co_return co_await CloseAll(&sessions);
}

net::Task<absl::Status> Load::Hellos(HelloSender& sender) {
  absl::Status status;
  while (status.ok()) {
    status = co_await sender.Fill();
    if (status.ok()) status = co_await sender.Receive();
  }
  if (!absl::IsCancelled(status)) broken_.Update(status);
  co_return status;
}

net::Task<absl::Status> Load::ReplaceLostHellos() {
  while (true) {
    CO_RETURN_IF_ERROR(co_await net::SleepFor(kGlance));
    const absl::Duration now = MonotonicNow();
    for (const std::unique_ptr<HelloSender>& sender : hellos_) {
      if (sender->DropLost(now)) {
        CO_RETURN_IF_ERROR(co_await sender->Fill());
      }
    }
  }
}

net::Task<absl::Status> Load::RunHellos() {
  CO_ASSIGN_OR_RETURN(const std::vector<uint8_t> hello,
                      FirstHello(context_, options_.server_name));
  EchoCounters& counters = *this;
  while (hellos_.size() < options_.connections) {
    CO_ASSIGN_OR_RETURN(net::UdpSocket socket, OpenPlain());
    hellos_.push_back(std::make_unique<HelloSender>(std::move(socket), hello,
                                                    options_.outstanding,
                                                    options_.gso, counters));
  }
  net::TaskScope workers;
  for (const std::unique_ptr<HelloSender>& sender : hellos_) {
    workers.Spawn(Hellos(*sender));
  }
  workers.Spawn(ReplaceLostHellos());
  absl::Status status = co_await Measure();
  workers.RequestStop();
  (void)co_await workers.Join();
  for (const std::unique_ptr<HelloSender>& sender : hellos_) {
    status.Update(co_await sender->Close());
  }
  hellos_.clear();
  co_return status;
}

}  // namespace cordon::tools
