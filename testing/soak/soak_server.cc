#include "cordon/testing/soak/soak_server.h"

#include <csignal>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cordon/net/task/status_macros.h"

namespace cordon::testing {
namespace {

namespace v1 = ::cordon::control::v1;

constexpr absl::string_view kListening = "listening on ";

// Of a line "listening on 127.0.0.1:40000".
absl::StatusOr<net::Endpoint> AddressIn(const std::string& output) {
  const size_t begin = output.find(std::string(kListening)) + kListening.size();
  return net::Endpoint::Parse(
      output.substr(begin, output.find('\n', begin) - begin));
}

}  // namespace

SoakServer::SoakServer() : authority_("soak"), folder_("/tmp") {}

absl::StatusOr<std::unique_ptr<SoakServer>> SoakServer::Start(
    absl::string_view program, const std::vector<std::string>& more) {
  std::unique_ptr<SoakServer> server(new SoakServer());
  const std::string& folder = server->folder_.path();
  const std::string target = absl::StrCat("unix:", folder, "/control");
  server->ReplaceCertificate();
  std::vector<std::string> command = {
      std::string(program),
      "--listen=127.0.0.1:0",
      absl::StrCat("--cert=", folder, "/cert.pem"),
      absl::StrCat("--key=", folder, "/key.pem"),
      absl::StrCat("--ca=",
                   server->folder_.Write("ca.pem",
                                         server->authority_.certificate_pem())),
      "--client_auth=require",
      absl::StrCat("--control=", target)};
  command.insert(command.end(), more.begin(), more.end());
  server->process_ = std::make_unique<Process>(std::move(command));
  if (!server->process_->WaitForOutput(kListening) ||
      !server->process_->WaitForOutput("\n")) {
    return absl::UnavailableError(absl::StrCat(
        program, " does not listen: ", server->process_->output()));
  }
  CORDON_ASSIGN_OR_RETURN(server->endpoint_,
                          AddressIn(server->process_->output()));
  server->stub_ = v1::Control::NewStub(
      grpc::CreateChannel(target, grpc::InsecureChannelCredentials()));
  return server;
}

v1::Statistics SoakServer::Statistics() {
  return Do(&Stub::GetStatistics, v1::GetStatisticsRequest()).second;
}

void SoakServer::ReplaceCertificate() {
  const dtls::Certificate next =
      authority_.Issue({.common_name = "server", .dns_names = {"localhost"}});
  folder_.Write("cert.pem", next.chain_pem);
  folder_.Write("key.pem", next.key_pem);
}

int SoakServer::Stop() {
  process_->Signal(SIGTERM);
  return process_->Wait();
}

std::string SoakServer::last_line() const {
  const absl::string_view output =
      absl::StripTrailingAsciiWhitespace(process_->output());
  return std::string(output.substr(output.rfind('\n') + 1));
}

}  // namespace cordon::testing
