#include "cordon/tools/cordonctl/cordonctl_fixture.h"

#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"

namespace cordon::tools::ctl {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

void CordonctlTest::SetUp() {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  GTEST_SKIP() << "gRPC was built without ThreadSanitizer, which does not see "
                  "its locks";
#endif
#endif
  ASSERT_NE(mkdtemp(socket_folder_.data()), nullptr);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(target(), grpc::InsecureServerCredentials());
  builder.RegisterService(&service_);
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr);
}

void CordonctlTest::TearDown() {
  StopServer();
  std::error_code ignored;
  std::filesystem::remove_all(socket_folder_, ignored);
}

void CordonctlTest::StopServer() {
  if (server_ == nullptr) return;
  // Calls that are open are cancelled at once.
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_ = nullptr;
}

std::vector<std::string> CordonctlTest::Command(
    const std::vector<std::string>& arguments) const {
  std::vector<std::string> command = {
      "env",
      "-u",
      "NO_COLOR",
      "-u",
      "LC_ALL",
      "LANG=C.UTF-8",
      "TERM=xterm",
      "TZ=UTC",
      absl::StrCat("CORDON_CONTROL=", target()),
      testing::Runfile("tools/cordonctl/cordonctl")};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::vector<std::string> CordonctlTest::QuietCommand(
    const std::vector<std::string>& arguments) const {
  std::vector<std::string> command = {"sh", "-c", "exec \"$@\" 2> \"$0\"",
                                      error_path()};
  const std::vector<std::string> inner = Command(arguments);
  command.insert(command.end(), inner.begin(), inner.end());
  return command;
}

RunResult CordonctlTest::Run(const std::vector<std::string>& arguments,
                             absl::string_view input) {
  testing::Process process(QuietCommand(arguments));
  process.Write(input);
  process.CloseInput();
  RunResult result;
  result.code = process.Wait();
  result.out = process.output();
  result.err = ReadFile(error_path());
  return result;
}

std::string CordonctlTest::RunOk(const std::vector<std::string>& arguments) {
  RunResult result = Run(arguments);
  EXPECT_EQ(result.code, 0) << absl::StrJoin(arguments, " ") << "\n"
                            << result.err;
  return result.out;
}

RunResult CordonctlTest::ExpectFailure(
    const std::vector<std::string>& arguments, int code, const std::string& why,
    absl::string_view input) {
  RunResult result = Run(arguments, input);
  const std::string shown = absl::StrJoin(arguments, " ");
  EXPECT_EQ(result.code, code) << shown << "\n" << result.err;
  EXPECT_THAT(result.err, ::testing::StartsWith("cordonctl: ")) << shown;
  EXPECT_THAT(result.err, ::testing::HasSubstr(why)) << shown;
  EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result.err;
  return result;
}

google::protobuf::Timestamp CordonctlTest::At(absl::Time time) {
  google::protobuf::Timestamp at;
  at.set_seconds(absl::ToUnixSeconds(time));
  return at;
}

}  // namespace cordon::tools::ctl
