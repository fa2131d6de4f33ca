#include "cordon/tools/cordonctl/connection.h"

#include <cstdlib>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cordon/tools/cordonctl/input_file.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/target.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

ABSL_FLAG(std::string, target, "",
          "The control service: unix:/PATH or HOST:PORT. By default "
          "$CORDON_CONTROL.");
ABSL_FLAG(std::string, ca, "",
          "Authorities that may vouch for the service at HOST:PORT, a PEM "
          "file. By default the system's.");
ABSL_FLAG(std::string, cert, "",
          "The certificate by which the service at HOST:PORT knows us, with "
          "its chain, a PEM file.");
ABSL_FLAG(std::string, key, "",
          "The key of --cert, a PEM file. (Right after a --chain it is the key "
          "of that.)");
ABSL_FLAG(std::string, server_name, "",
          "The name that the certificate of the service must have. By default "
          "the HOST.");
ABSL_FLAG(bool, plaintext, false,
          "No TLS to HOST:PORT; only for a HOST that is this machine.");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(10),
          "How long the service may take for an answer.");

namespace cordon::tools::ctl {
namespace {

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials() {
  if (absl::GetFlag(FLAGS_cert).empty() != absl::GetFlag(FLAGS_key).empty()) {
    return UsageError("--cert and --key belong together: give both or none");
  }
  grpc::SslCredentialsOptions options;
  struct Part {
    absl::string_view flag;
    std::string path;
    std::string* pem;
  };
  for (const Part& part :
       {Part{"ca", absl::GetFlag(FLAGS_ca), &options.pem_root_certs},
        Part{"cert", absl::GetFlag(FLAGS_cert), &options.pem_cert_chain},
        Part{"key", absl::GetFlag(FLAGS_key), &options.pem_private_key}}) {
    if (part.path.empty()) continue;
    absl::StatusOr<std::string> pem = ReadPemFile(part.flag, part.path);
    if (!pem.ok()) return pem.status();
    *part.pem = *std::move(pem);
  }
  return grpc::SslCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> CredentialsFor(
    const Target& target) {
  const bool has_tls_flags = !absl::GetFlag(FLAGS_ca).empty() ||
                             !absl::GetFlag(FLAGS_cert).empty() ||
                             !absl::GetFlag(FLAGS_key).empty() ||
                             !absl::GetFlag(FLAGS_server_name).empty();
  if (target.is_unix || absl::GetFlag(FLAGS_plaintext)) {
    if (has_tls_flags) {
      return UsageError(
          "--ca, --cert, --key and --server_name are for TLS to HOST:PORT: "
          "leave them out");
    }
    if (!target.is_unix && !target.is_loopback) {
      return UsageError(absl::StrCat(
          "--plaintext is only for this machine, such as 127.0.0.1, not for ",
          Printable(target.host)));
    }
    return grpc::InsecureChannelCredentials();
  }
  return TlsCredentials();
}

}  // namespace

Connection::Connection(std::string target,
                       std::shared_ptr<grpc::Channel> channel)
    : target_(std::move(target)),
      channel_(std::move(channel)),
      stub_(pb::Control::NewStub(channel_)) {}

absl::StatusOr<Connection> Connection::Open() {
  std::string text = absl::GetFlag(FLAGS_target);
  if (text.empty()) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets variables here.
    const char* variable = std::getenv("CORDON_CONTROL");
    if (variable != nullptr) text = variable;
  }
  if (text.empty()) {
    return UsageError(
        "which service? give --target=unix:/PATH or --target=HOST:PORT, or set "
        "$CORDON_CONTROL");
  }
  if (absl::GetFlag(FLAGS_timeout) <= absl::ZeroDuration()) {
    return UsageError("--timeout must be more than nothing, such as 10s");
  }
  absl::StatusOr<Target> target = ParseTarget(text);
  if (!target.ok()) return target.status();
  auto credentials = CredentialsFor(*target);
  if (!credentials.ok()) return credentials.status();

  grpc::ChannelArguments arguments;
  // A proxy for the web has no business with control services.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Policies with revocation lists are large.
  arguments.SetMaxReceiveMessageSize(-1);
  if (const std::string name = absl::GetFlag(FLAGS_server_name);
      !name.empty()) {
    arguments.SetSslTargetNameOverride(name);
  }
  return Connection(
      text, grpc::CreateCustomChannel(target->uri, *credentials, arguments));
}

absl::Time Connection::Deadline() {
  return absl::Now() + absl::GetFlag(FLAGS_timeout);
}

absl::Status Connection::Reach() {
  const auto deadline = absl::ToChronoTime(Deadline());
  grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
  // After a failure the call itself tells what went wrong.
  while (state != GRPC_CHANNEL_READY &&
         state != GRPC_CHANNEL_TRANSIENT_FAILURE) {
    if (!channel_->WaitForStateChange(state, deadline)) {
      return absl::UnavailableError(absl::StrCat(
          "cannot reach ", Printable(target_), ": no answer within ",
          absl::FormatDuration(absl::GetFlag(FLAGS_timeout))));
    }
    state = channel_->GetState(/*try_to_connect=*/true);
  }
  return absl::OkStatus();
}

absl::Status Connection::EndOfStream(const grpc::Status& status) const {
  if (status.ok()) {
    return absl::UnavailableError(
        absl::StrCat(Printable(target_), " ended the stream"));
  }
  return FromServer(status, target_);
}

}  // namespace cordon::tools::ctl
