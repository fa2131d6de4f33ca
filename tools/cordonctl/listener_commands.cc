#include <cstdint>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "cordon/tools/cordonctl/command.h"
#include "cordon/tools/cordonctl/connection.h"
#include "cordon/tools/cordonctl/output.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/style.h"
#include "cordon/tools/cordonctl/table.h"
#include "cordon/tools/cordonctl/units.h"

namespace cordon::tools::ctl {
namespace {

absl::Status ListListeners(const Arguments& /*arguments*/) {
  absl::StatusOr<Connection> connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  auto response =
      connection->Call(&Stub::ListListeners, pb::ListListenersRequest());
  if (!response.ok()) return response.status();
  if (JsonWanted()) {
    PrintJson(*response);
    return absl::OkStatus();
  }
  Table table({{"NAME"},
               {"REACTOR", Align::kRight},
               {"ADDRESS"},
               {"BACKEND"},
               {"SESSIONS", Align::kRight},
               {"STATE"}});
  for (const pb::Listener& listener : response->listeners()) {
    table.Add({Printable(listener.name()), absl::StrCat(listener.reactor()),
               Printable(listener.local_address()),
               Printable(listener.backend()), FormatCount(listener.sessions()),
               listener.draining() ? "draining" : "open"});
  }
  Print(table.Render(StyleOf(1)));
  return absl::OkStatus();
}

}  // namespace

std::vector<Command> ListenerCommands() {
  return {{
      .path = "listeners",
      .summary = "Shows the listeners of the process",
      .description = "One name may have several listeners, one on each "
                     "reactor.",
      .examples = {"listeners", "listeners --output=json"},
      .run = &ListListeners,
  }};
}

}  // namespace cordon::tools::ctl
