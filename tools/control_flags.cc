#include "cordon/tools/control_flags.h"

#include <sys/types.h>

#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cordon/tools/command_line.h"

ABSL_FLAG(cordon::tools::RepeatedFlag, control, {},
          "Serves cordonctl at unix:PATH, or at HOST:PORT with TLS. May be "
          "repeated.");
ABSL_FLAG(std::string, control_cert, "",
          "The certificate that --control=HOST:PORT shows, PEM.");
ABSL_FLAG(std::string, control_key, "", "The key of --control_cert, PEM.");
ABSL_FLAG(std::string, control_ca, "",
          "Whose certificates the clients of --control=HOST:PORT must have, "
          "PEM.");
ABSL_FLAG(
    cordon::tools::RepeatedFlag, control_admin, {},
    "Who may change something: uid:NUMBER on a Unix socket, or a DNS name "
    "or URI of a client certificate. May be repeated. Our own user and "
    "root always may.");
ABSL_FLAG(cordon::tools::RepeatedFlag, control_reader, {},
          "Who may look, as --control_admin.");
ABSL_FLAG(bool, control_plaintext, false,
          "Serves --control=HOST:PORT on loopback without TLS: every user of "
          "this machine may look.");
ABSL_FLAG(std::string, policy_file, "",
          "Where policies that are set by cordonctl are kept, and read from at "
          "the start.");

namespace cordon::tools {
namespace {

void AddCallers(absl::string_view program, absl::string_view flag,
                const RepeatedFlag& callers, std::vector<uid_t>* users,
                std::vector<std::string>* names) {
  for (const std::string& caller : callers.values) {
    if (!absl::StartsWith(caller, "uid:")) {
      names->push_back(caller);
      continue;
    }
    uid_t user = 0;
    if (!absl::SimpleAtoi(absl::string_view(caller).substr(4), &user)) {
      DieOfUsage(program, absl::StrCat("--", flag, "=", caller,
                                       ": \"uid:\" is followed by a number"));
    }
    users->push_back(user);
  }
}

}  // namespace

std::unique_ptr<dtls::control::Control> StartControlOrDie(
    absl::string_view program, const std::shared_ptr<dtls::Registry>& registry,
    std::vector<dtls::control::CredentialSource> credentials) {
  dtls::control::ControlOptions options;
  options.addresses = absl::GetFlag(FLAGS_control).values;
  if (options.addresses.empty()) {
    if (!absl::GetFlag(FLAGS_policy_file).empty()) {
      DieOfUsage(program, "--policy_file needs --control");
    }
    return nullptr;
  }
  options.registry = registry;
  options.tls = {.certificate = absl::GetFlag(FLAGS_control_cert),
                 .key = absl::GetFlag(FLAGS_control_key),
                 .client_authorities = absl::GetFlag(FLAGS_control_ca)};
  options.allow_plaintext_loopback = absl::GetFlag(FLAGS_control_plaintext);
  AddCallers(program, "control_admin", absl::GetFlag(FLAGS_control_admin),
             &options.access.admin_users, &options.access.admin_names);
  AddCallers(program, "control_reader", absl::GetFlag(FLAGS_control_reader),
             &options.access.reader_users, &options.access.reader_names);
  options.policy_file = absl::GetFlag(FLAGS_policy_file);
  options.credentials = std::move(credentials);
  absl::StatusOr<std::unique_ptr<dtls::control::Control>> control =
      dtls::control::Control::Start(std::move(options));
  if (control.ok()) return *std::move(control);
  if (absl::IsInvalidArgument(control.status())) {
    DieOfUsage(program, control.status().message());
  }
  Die(program, control.status().message());
}

}  // namespace cordon::tools
