#include "cordon/testing/bench/server_process.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cordon::bench {

using testing::Process;

std::vector<std::string> On(const std::string& cores,
                            std::vector<std::string> command) {
  std::vector<std::string> pinned = {"taskset", "-c", cores};
  pinned.insert(pinned.end(), command.begin(), command.end());
  return pinned;
}

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(
    const std::string& cores, const std::vector<std::string>& command) {
  constexpr char kAnnouncement[] = "listening on ";
  std::unique_ptr<ServerProcess> server(new ServerProcess(On(cores, command)));
  Process& process = server->process_;
  if (!process.WaitForOutput(kAnnouncement) || !process.WaitForOutput("\n")) {
    return absl::UnavailableError(
        absl::StrCat(command[0], " does not start: ", process.output()));
  }
  const std::string& output = process.output();
  const size_t begin = output.rfind(kAnnouncement) + sizeof(kAnnouncement) - 1;
  server->address_ = output.substr(begin, output.find('\n', begin) - begin);
  return server;
}

absl::Status ServerProcess::OpenIdle(int sessions,
                                     const std::vector<std::string>& bench) {
  // Each session has a socket, and many systems give a process some 20,000
  // files at most.
  constexpr int kSessionsOfOne = 10'000;
  while (sessions > 0) {
    const int now = std::min(sessions, kSessionsOfOne);
    sessions -= now;
    std::vector<std::string> command = bench;
    command.insert(command.end(),
                   {address_, "--load=idle",
                    absl::StrCat("--connections=", now), "--duration=24h"});
    guests_.push_back(std::make_unique<Process>(std::move(command)));
    if (!guests_.back()->WaitForOutput("idle sessions are open")) {
      return absl::UnavailableError(absl::StrCat(
          "cannot open ", now, " sessions: ", guests_.back()->output()));
    }
  }
  return absl::OkStatus();
}

absl::Status ServerProcess::Attach(const std::vector<std::string>& command) {
  guests_.push_back(std::make_unique<Process>(command));
  guests_.back()->CloseInput();
  if (guests_.back()->WaitForOutput("\n")) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(command[0], " says nothing: ", guests_.back()->output()));
}

absl::Status ServerProcess::Tend() {
  for (const std::unique_ptr<Process>& guest : guests_) {
    guest->ReadAvailable();
    if (guest->ended()) {
      return absl::UnavailableError(absl::StrCat(
          "a program beside the server has ended: ", guest->output()));
    }
  }
  return absl::OkStatus();
}

}  // namespace cordon::bench
