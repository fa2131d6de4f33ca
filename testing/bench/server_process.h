// Programs that a comparison runs, each on the cores that it is given.
#ifndef CORDON_TESTING_BENCH_SERVER_PROCESS_H_
#define CORDON_TESTING_BENCH_SERVER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cordon/testing/process/process.h"

namespace cordon::bench {

// `command`, to run on `cores` only: "0", "0,1".
std::vector<std::string> On(const std::string& cores,
                            std::vector<std::string> command);

// A server that runs until this is destroyed, and whoever stays with it.
class ServerProcess {
 public:
  // kUnavailable: it does not start.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(
      const std::string& cores, const std::vector<std::string>& command);

  // Opens so many sessions, which stay and say nothing. `bench` is the command
  // line of a load generator without server and load.
  absl::Status OpenIdle(int sessions, const std::vector<std::string>& bench);
  // Lets a program, such as one that watches, run beside it, until it has
  // printed something.
  absl::Status Attach(const std::vector<std::string>& command);
  // Reads what those who stay have printed, so that they need not wait. An
  // error: one of them has ended.
  absl::Status Tend();

  const std::string& address() const { return address_; }
  pid_t pid() const { return process_.pid(); }

 private:
  explicit ServerProcess(std::vector<std::string> command)
      : process_(std::move(command)) {}

  testing::Process process_;
  std::string address_;
  std::vector<std::unique_ptr<testing::Process>> guests_;
};

}  // namespace cordon::bench

#endif  // CORDON_TESTING_BENCH_SERVER_PROCESS_H_
