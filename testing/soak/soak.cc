#include "cordon/testing/soak/soak.h"

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/testing/soak/soak_clients.h"
#include "cordon/testing/soak/soak_server.h"

namespace cordon::testing {
namespace {

namespace v1 = ::cordon::control::v1;
using Stub = SoakServer::Stub;

// What an operator does all day, one thing after the other.
class Operator {
 public:
  Operator(SoakServer& server, SoakReport* report)
      : server_(server), report_(report) {}

  void Act() {
    switch (turn_++ % 6) {
      case 0:
        SetPolicy();
        return;
      case 1:
        ReloadCertificate();
        return;
      case 2:
        Count("cookie secrets rotated",
              server_.Do(&Stub::RotateCookieSecret,
                         v1::RotateCookieSecretRequest()));
        return;
      case 3:
        Count("ticket keys rotated", server_.Do(&Stub::RotateTicketKeys,
                                                v1::RotateTicketKeysRequest()));
        return;
      case 4:
        List();
        return;
      default:
        CloseSilent(5);
        return;
    }
  }

  // Ends the sessions of clients that have not been heard of for so long.
  void CloseSilent(int seconds) {
    v1::CloseSessionsRequest request;
    request.mutable_filter()->add_states(v1::SESSION_STATE_CONNECTED);
    request.mutable_filter()->mutable_min_idle()->set_seconds(seconds);
    request.set_reason("silent");
    Count("closings of silent sessions",
          server_.Do(&Stub::CloseSessions, request));
  }

  v1::Statistics Statistics() { return server_.Statistics(); }

 private:
  template <typename Response>
  void Count(const std::string& act,
             const std::pair<grpc::Status, Response>& answer) {
    if (answer.first.ok()) {
      ++report_->acts[act];
    } else {
      report_->refused_acts.push_back(
          absl::StrCat(act, ": ", answer.first.error_message()));
    }
  }

  // Guests may come, or not; those that are there have to go.
  void SetPolicy() {
    guests_ = !guests_;
    v1::SetPolicyRequest request;
    request.mutable_policy()->set_client_certificate(v1::Policy::REQUIRE);
    request.mutable_policy()->mutable_trust()->set_pem(
        server_.authority().certificate_pem());
    if (!guests_) {
      request.mutable_policy()->add_denied_names(SoakClients::kGuest);
    }
    request.set_expected_version(
        server_.Do(&Stub::GetPolicy, v1::GetPolicyRequest()).second.version());
    request.set_apply_to_sessions(true);
    Count("policies set", server_.Do(&Stub::SetPolicy, request));
  }

  void ReloadCertificate() {
    server_.ReplaceCertificate();
    Count("certificates reloaded",
          server_.Do(&Stub::ReloadCredentials, v1::ReloadCredentialsRequest()));
  }

  void List() {
    v1::ListSessionsRequest request;
    request.set_page_size(1000);
    Count("listings of sessions", server_.Do(&Stub::ListSessions, request));
  }

  SoakServer& server_;
  SoakReport* const report_;
  size_t turn_ = 0;
  bool guests_ = true;
};

// All clients for `duration`, while an operator is at work.
absl::Status RunClients(const SoakServer& server, const SoakOptions& options,
                        Operator& operator_, SoakReport* report) {
  SoakClients clients(server.authority(), server.endpoint(), options);
  absl::Status status;
  std::thread thread([&] { status = clients.Run(report); });
  const absl::Time end = absl::Now() + options.duration;
  while (absl::Now() < end) {
    absl::SleepFor(options.interval);
    operator_.Act();
    report->resident_most =
        std::max(report->resident_most,
                 operator_.Statistics().process().resident_bytes());
  }
  clients.End();
  thread.join();
  return status;
}

// Waits until the crashed clients' sessions are silent, and ends them.
uint64_t ResidentWithoutSessions(Operator& operator_, SoakReport* report) {
  v1::Statistics statistics;
  for (int i = 0; i < 20; ++i) {
    operator_.CloseSilent(1);
    statistics = operator_.Statistics();
    report->sessions_left = statistics.total().sessions();
    if (report->sessions_left == 0) break;
    absl::SleepFor(absl::Seconds(1));
  }
  report->cpu_seconds = statistics.process().cpu_seconds();
  return statistics.process().resident_bytes();
}

}  // namespace

absl::StatusOr<SoakReport> RunSoak(absl::string_view program,
                                   const SoakOptions& options) {
  CORDON_ASSIGN_OR_RETURN(const std::unique_ptr<SoakServer> server,
                          SoakServer::Start(program, options.server_flags));
  SoakReport report;
  {
    // Everybody once, so that what is made at first use is there.
    SoakReport first;
    Operator operator_(*server, &first);
    SoakOptions once = options;
    once.duration = std::min(options.duration, absl::Seconds(5));
    CORDON_RETURN_IF_ERROR(RunClients(*server, once, operator_, &first));
    report.resident_before = ResidentWithoutSessions(operator_, &first);
  }
  Operator operator_(*server, &report);
  CORDON_RETURN_IF_ERROR(RunClients(*server, options, operator_, &report));
  report.resident_after = ResidentWithoutSessions(operator_, &report);
  report.exit_code = server->Stop();
  report.last_line = server->last_line();
  return report;
}

}  // namespace cordon::testing
