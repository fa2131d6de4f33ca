// The operators' client of the control service of a process that embeds Cordon.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cordon/tools/cordonctl/arguments.h"
#include "cordon/tools/cordonctl/completion.h"
#include "cordon/tools/cordonctl/exit_code.h"
#include "cordon/tools/cordonctl/help.h"
#include "cordon/tools/cordonctl/output.h"
#include "grpc/support/log.h"

namespace {

namespace ctl = cordon::tools::ctl;

absl::Status Run(const std::vector<std::string>& argv) {
  absl::StatusOr<ctl::Invocation> invocation = ctl::ParseArguments(argv);
  if (!invocation.ok()) return invocation.status();
  if (invocation->command == nullptr) {
    ctl::Print(ctl::HelpText(invocation->help_topic));
    return ctl::FinishOutput();
  }
  if (absl::Status status = ctl::SetFlags(*invocation); !status.ok()) {
    return status;
  }
  absl::Status status = invocation->command->run(invocation->arguments);
  status.Update(ctl::FinishOutput());
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  // Errors are told in one line, not by gRPC's log as well.
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other threads yet.
  if (std::getenv("GRPC_VERBOSITY") == nullptr) {
    gpr_set_log_function([](gpr_log_func_args*) {});
  }
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty() && arguments[0] == ctl::kCompletionCommand) {
    ctl::Complete({arguments.begin() + 1, arguments.end()});
    return 0;
  }
  const absl::Status status = Run(arguments);
  const ctl::ExitCode code = ctl::ExitCodeOf(status);
  if (!status.ok()) {
    ctl::PrintNote(
        absl::StrCat("cordonctl: ", ctl::ErrorLine(status),
                     code == ctl::kExitUsage ? " (see cordonctl help)" : ""));
  }
  return code;
}
