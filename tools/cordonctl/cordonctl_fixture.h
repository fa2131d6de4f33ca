// The real cordonctl against a `FakeControl` on a Unix socket.
#ifndef CORDON_TOOLS_CORDONCTL_CORDONCTL_FIXTURE_H_
#define CORDON_TOOLS_CORDONCTL_CORDONCTL_FIXTURE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/testing/process/process.h"
#include "cordon/tools/cordonctl/fake_control.h"
#include "google/protobuf/timestamp.pb.h"
#include "grpcpp/server.h"
#include "gtest/gtest.h"

namespace cordon::tools::ctl {

struct RunResult {
  int code = -1;
  std::string out;
  std::string err;
};

class CordonctlTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // With $CORDON_CONTROL set to the service, in UTC, and `input` as standard
  // input.
  RunResult Run(const std::vector<std::string>& arguments,
                absl::string_view input = "");
  // Succeeds, and returns the standard output.
  std::string RunOk(const std::vector<std::string>& arguments);
  // Fails with the code, and with one line that contains `why`.
  RunResult ExpectFailure(const std::vector<std::string>& arguments, int code,
                          const std::string& why, absl::string_view input = "");
  // The command with its environment.
  std::vector<std::string> Command(
      const std::vector<std::string>& arguments) const;
  // The same, with standard error in `error_path()`.
  std::vector<std::string> QuietCommand(
      const std::vector<std::string>& arguments) const;
  std::string error_path() const { return folder_.path() + "/err"; }
  std::string target() const { return "unix:" + socket_folder_ + "/s"; }

  // Ends the service, and with it all calls.
  void StopServer();

  static google::protobuf::Timestamp At(absl::Time time);

  testing::TemporaryFolder folder_;
  // Paths of sockets must be short, which those of tests are not.
  std::string socket_folder_ = "/tmp/cordonctl.XXXXXX";
  FakeControl service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_CORDONCTL_FIXTURE_H_
