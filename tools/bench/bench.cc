// Puts a DTLS server under load and tells what that cost.
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cordon/dtls/context.h"
#include "cordon/net/base/line_writer.h"
#include "cordon/net/base/resolve.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/tools/bench/load.h"
#include "cordon/tools/bench/measurement.h"
#include "cordon/tools/bench/process_usage.h"
#include "cordon/tools/command_line.h"
#include "cordon/tools/common_flags.h"
#include "cordon/tools/interruption.h"

ABSL_FLAG(bool, compare, false,
          "Measure our echo server beside others instead; must come first, and "
          "what follows is for the program that does it: "
          "//testing/bench:compare, which must have been built.");
ABSL_FLAG(std::string, load, "echo",
          "handshake or resume (each connection makes one handshake after the "
          "other), echo (each message that comes back is followed by the "
          "next), paced (messages leave at --rate), bulk (one peer sends much "
          "at once), idle (sessions are opened and held) or hello (hellos "
          "without a cookie; each HelloVerifyRequest is followed by the next "
          "hello).");
ABSL_FLAG(uint32_t, connections, 64,
          "Sessions at one time; for bulk: 1 unless it is given.");
ABSL_FLAG(uint32_t, outstanding, 8,
          "Messages of a session on their way at one time; unless it is given "
          "64 for paced and 256 for bulk, which sends a quarter at once.");
ABSL_FLAG(uint32_t, size, 64,
          "Bytes of each message, from 16 to 16384; for bulk: 1200 unless it "
          "is given.");
ABSL_FLAG(double, rate, 20'000,
          "paced: messages per second, of all connections together.");
ABSL_FLAG(uint32_t, idle_sessions, 0,
          "So many sessions are held beside the load, and say nothing.");
ABSL_FLAG(bool, plain, false,
          "The server is one that echoes without DTLS: to compare with. For "
          "echo, paced and bulk.");
ABSL_FLAG(bool, gso, true,
          "Send in trains what is sent at once. --nogso: each message leaves "
          "by itself, as from peers that know no segmentation offload.");
ABSL_FLAG(bool, gro, false,
          "Receive trains of datagrams whole. On one machine the server pays "
          "for cutting them up otherwise, which is a network card's work.");
ABSL_FLAG(uint32_t, source_addresses, 0,
          "Send from so many addresses, 127.0.0.1 and the next ones: one has "
          "ports for some 28,000 sessions. 0: from the usual one.");
ABSL_FLAG(absl::Duration, warmup, absl::Seconds(1),
          "How long the load runs before it is measured.");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(5),
          "How long it is measured; idle: how long the sessions are held.");
ABSL_FLAG(int, server_pid, 0,
          "The server's process, on this machine: its CPU time and memory are "
          "told, too.");
ABSL_FLAG(std::string, name, "",
          "The name that the server's certificate must have. By default the "
          "HOST that was given. Only with --ca are certificates looked at.");
ABSL_FLAG(std::string, psk_file, "",
          "A file with a pre-shared key, IDENTITY:HEX.");
ABSL_FLAG(std::string, psk, "",
          "The key itself, IDENTITY:HEX. Better --psk_file: every user of the "
          "machine can see command lines.");
ABSL_FLAG(bool, json, false, "Print one JSON object instead of a table.");
ABSL_FLAG(bool, progress, true,
          "Say on stderr how it goes, every second, and when the idle sessions "
          "are open.");
ABSL_FLAG(cordon::net::Backend, backend, cordon::net::Backend::kAuto,
          "auto, io_uring or epoll.");

namespace {

using namespace cordon;  // NOLINT(google-build-using-namespace)

constexpr char kProgram[] = "bench";

void CheckRangeOrDie(absl::string_view flag, uint32_t value, uint32_t min,
                     uint32_t max) {
  if (value >= min && value <= max) return;
  tools::DieOfUsage(kProgram, absl::StrCat("--", flag, "=", value,
                                           " is not from ", min, " to ", max));
}

// The flag's value, or `otherwise` if it has its default.
uint32_t ValueOr(const absl::Flag<uint32_t>& flag, uint32_t default_value,
                 uint32_t otherwise) {
  const uint32_t value = absl::GetFlag(flag);
  return value == default_value ? otherwise : value;
}

tools::LoadOptions OptionsOrDie() {
  constexpr uint32_t kMaxSessions = 1'000'000;
  constexpr uint32_t kMaxOutstanding = 4096;
  // 127.0.0.1 to 127.0.3.250.
  constexpr uint32_t kMaxSources = 1000;
  tools::LoadOptions options;
  absl::StatusOr<tools::Workload> workload =
      tools::ParseWorkload(absl::GetFlag(FLAGS_load));
  if (!workload.ok()) {
    tools::DieOfUsage(kProgram,
                      absl::StrCat("--load: ", workload.status().message()));
  }
  options.workload = *workload;
  const bool bulk = *workload == tools::Workload::kBulk;
  const bool paced = *workload == tools::Workload::kPaced;
  const uint32_t connections = ValueOr(FLAGS_connections, 64, bulk ? 1 : 64);
  const uint32_t outstanding = ValueOr(FLAGS_outstanding, 8,
                                       bulk    ? 256
                                       : paced ? 64
                                               : 8);
  const uint32_t size = ValueOr(FLAGS_size, 64, bulk ? 1200 : 64);
  const uint32_t idle = absl::GetFlag(FLAGS_idle_sessions);
  const uint32_t sources = absl::GetFlag(FLAGS_source_addresses);
  CheckRangeOrDie("connections", connections, 1, kMaxSessions);
  CheckRangeOrDie("outstanding", outstanding, 1, kMaxOutstanding);
  CheckRangeOrDie("size", size, tools::kMinPayloadBytes,
                  dtls::kMaxMessageBytes);
  CheckRangeOrDie("idle_sessions", idle, 0, kMaxSessions);
  CheckRangeOrDie("source_addresses", sources, 0, kMaxSources);
  options.plain = absl::GetFlag(FLAGS_plain);
  if (options.plain && (idle > 0 || *workload == tools::Workload::kHandshake ||
                        *workload == tools::Workload::kResume ||
                        *workload == tools::Workload::kHello ||
                        *workload == tools::Workload::kIdle)) {
    tools::DieOfUsage(kProgram, "--plain is for echo, paced and bulk");
  }
  options.gso = absl::GetFlag(FLAGS_gso);
  options.gro = absl::GetFlag(FLAGS_gro);
  options.connections = connections;
  options.outstanding = outstanding;
  options.payload_bytes = size;
  options.idle_sessions = idle;
  options.source_addresses = sources;
  options.rate = absl::GetFlag(FLAGS_rate);
  if (!(options.rate >= 1 && options.rate <= 1e8)) {
    tools::DieOfUsage(kProgram, absl::StrCat("--rate=", options.rate,
                                             " is not from 1 to 100000000"));
  }
  options.warmup = absl::GetFlag(FLAGS_warmup);
  options.duration = absl::GetFlag(FLAGS_duration);
  tools::CheckNotNegativeOrDie(kProgram, "warmup", options.warmup);
  tools::CheckNotNegativeOrDie(kProgram, "duration", options.duration);
  return options;
}

// HOST of HOST:PORT, without brackets.
std::string HostOf(const std::string& host_port) {
  std::string host = host_port.substr(0, host_port.rfind(':'));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return host;
}

dtls::Context MakeContext() {
  dtls::ClientOptions options;
  options.trust = tools::Trust(kProgram);
  tools::SetVerification(kProgram, &options.verification);
  options.verification.mode = options.trust.empty()
                                  ? dtls::PeerVerification::kNone
                                  : dtls::PeerVerification::kVerify;
  if (std::optional<dtls::PreSharedKey> psk = tools::PskOrDie(
          kProgram, absl::GetFlag(FLAGS_psk_file), absl::GetFlag(FLAGS_psk));
      psk.has_value()) {
    options.pre_shared_key = *std::move(psk);
  }
  options.certificate = tools::OwnCertificate(kProgram);
  tools::SetProtocol(kProgram, &options);
  absl::StatusOr<dtls::Context> context =
      dtls::Context::Client(std::move(options));
  if (!context.ok()) tools::Die(kProgram, context.status().message());
  return *std::move(context);
}

// Each session has a socket.
void RaiseFileLimitOrDie(uint64_t sessions) {
  constexpr uint64_t kOthers = 64;
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (sessions + kOthers <= limit.rlim_max) return;
  tools::Die(kProgram, absl::StrCat(sessions, " sessions need as many files, ",
                                    "and this process may have ",
                                    static_cast<uint64_t>(limit.rlim_max),
                                    " (see ulimit -Hn)"));
}

void PrintProgress(const tools::LoadResult& now, uint64_t* operations_before) {
  // The counters begin anew when the measurement does.
  const uint64_t done = now.operations >= *operations_before
                            ? now.operations - *operations_before
                            : now.operations;
  *operations_before = now.operations;
  net::LineWriter::StandardError().Write(absl::StrFormat(
      "%s: %d in the last second; p99 %.0f us, %d lost, %d failed", kProgram,
      done, absl::ToDoubleMicroseconds(now.latency.Percentile(0.99)), now.lost,
      now.failures));
}

absl::Status Run(net::Reactor& reactor, const dtls::Context& context,
                 tools::Measurement* m) {
  const int server_pid = absl::GetFlag(FLAGS_server_pid);
  auto look = [&](tools::ProcessUsage* generator,
                  tools::ProcessUsage* server) -> absl::Status {
    absl::StatusOr<tools::ProcessUsage> ours = tools::UsageOf(getpid());
    if (!ours.ok()) return ours.status();
    *generator = *ours;
    if (server_pid == 0) return absl::OkStatus();
    absl::StatusOr<tools::ProcessUsage> theirs = tools::UsageOf(server_pid);
    if (!theirs.ok()) {
      return absl::Status(
          theirs.status().code(),
          absl::StrCat("--server_pid: ", theirs.status().message()));
    }
    *server = *theirs;
    return absl::OkStatus();
  };
  if (server_pid != 0) m->server_usage.emplace();
  tools::ProcessUsage unused;
  auto server_usage = [&](tools::ProcessUsage tools::UsageBetween::* when) {
    return server_pid == 0 ? &unused : &(*m->server_usage.*when);
  };
  tools::Load load(reactor, context, m->options);
  load.on_begin = [&] {
    return look(&m->generator.before,
                server_usage(&tools::UsageBetween::before));
  };
  load.on_end = [&] {
    return look(&m->generator.after, server_usage(&tools::UsageBetween::after));
  };
  uint64_t operations = 0;
  if (absl::GetFlag(FLAGS_progress)) {
    load.on_progress = [&](const tools::LoadResult& now) {
      PrintProgress(now, &operations);
    };
    load.on_idle = [](size_t sessions) {
      net::LineWriter::StandardError().Write(
          absl::StrCat(kProgram, ": ", sessions, " idle sessions are open"));
    };
  }
  const absl::Status status = reactor.Run(load.Run());
  m->result = load.result();
  return status;
}

// Becomes the program that compares, with all arguments after --compare. Bazel
// puts it into the same tree of folders as this one.
[[noreturn]] void RunCompare(char** argv) {
  std::error_code error;
  const std::filesystem::path self =
      std::filesystem::read_symlink("/proc/self/exe", error);
  std::string compare =
      (self.parent_path().parent_path().parent_path() / "testing/bench/compare")
          .string();
  argv[1] = compare.data();
  execv(compare.c_str(), argv + 1);
  tools::Die(kProgram,
             absl::StrCat("cannot run ", compare, ": ", strerrordesc_np(errno),
                          "; build it, as this program was built: bazel build "
                          "--config=opt //testing/bench:compare"));
}

// The load ran, but what came of it is no measurement of a server that works.
absl::Status Judge(const tools::Measurement& m) {
  const tools::LoadResult& r = m.result;
  if (r.wrong > 0) {
    return absl::DataLossError(
        absl::StrCat(r.wrong, " messages came back changed"));
  }
  if (r.operations == 0) {
    if (!r.first_failure.ok()) return r.first_failure;
    return absl::UnavailableError(
        absl::StrCat("nothing came back: ", r.lost, " messages were lost"));
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && absl::string_view(argv[1]) == "--compare") RunCompare(argv);
  const std::vector<std::string> rest = tools::ParseCommandLine(
      argc, argv,
      {.program = kProgram,
       .synopsis = "HOST:PORT --load=LOAD [flags]",
       .summary =
           "Puts a DTLS server that echoes under load, checks what comes "
           "back, and tells how fast it was and what it cost."});
  if (rest.size() != 1) {
    tools::DieOfUsage(kProgram, rest.empty()
                                    ? "say which server to load: HOST:PORT"
                                    : "one HOST:PORT, please");
  }
  if (absl::GetFlag(FLAGS_compare)) {
    tools::DieOfUsage(kProgram, "--compare must come first");
  }
  tools::Measurement measurement;
  measurement.server = rest[0];
  measurement.options = OptionsOrDie();
  if (absl::GetFlag(FLAGS_server_pid) < 0) {
    tools::DieOfUsage(kProgram, "--server_pid is negative");
  }
  const dtls::Context context = MakeContext();
  absl::StatusOr<std::vector<net::Endpoint>> server = net::Resolve(rest[0]);
  if (!server.ok()) {
    if (absl::IsInvalidArgument(server.status())) {
      tools::DieOfUsage(kProgram, server.status().message());
    }
    tools::Die(kProgram, server.status().message());
  }
  measurement.options.server = server->front();
  measurement.options.server_name = absl::GetFlag(FLAGS_name).empty()
                                        ? HostOf(rest[0])
                                        : absl::GetFlag(FLAGS_name);
  RaiseFileLimitOrDie(measurement.options.connections +
                      measurement.options.idle_sessions);
  absl::StatusOr<std::unique_ptr<net::Reactor>> reactor =
      net::MakeReactor({.backend = absl::GetFlag(FLAGS_backend)});
  if (!reactor.ok()) tools::Die(kProgram, reactor.status().message());
  tools::Interruption interruption([&] { (*reactor)->RequestStop(); });
  absl::Status status = Run(**reactor, context, &measurement);
  interruption.EndAsAsked();
  if (status.ok()) {
    const std::string text = absl::GetFlag(FLAGS_json)
                                 ? tools::ToJson(measurement) + "\n"
                                 : tools::ToTable(measurement);
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
    status = Judge(measurement);
  }
  if (!status.ok()) {
    tools::Die(kProgram, absl::StrCat(rest[0], ": ", status.message()));
  }
  return 0;
}
