#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "cordon/tools/command_line.h"
#include "cordon/tools/cordonctl/command.h"
#include "cordon/tools/cordonctl/connection.h"
#include "cordon/tools/cordonctl/input_file.h"
#include "cordon/tools/cordonctl/output.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/shared_flags.h"
#include "cordon/tools/cordonctl/style.h"
#include "cordon/tools/cordonctl/table.h"
#include "cordon/tools/cordonctl/units.h"

ABSL_FLAG(std::string, secret_file, "",
          "A file with the secret, byte by byte, for several machines to have "
          "the same; - is the standard input. By default the service makes a "
          "random one.");
ABSL_FLAG(cordon::tools::RepeatedFlag, chain, {},
          "A certificate to use from now on, with its chain, a PEM file. Its "
          "key follows: --chain_key, or --key right after it.");
ABSL_FLAG(
    cordon::tools::RepeatedFlag, chain_key, {},
    "The key of a --chain, a PEM file; the first of the first, the second "
    "of the second.");

namespace cordon::tools::ctl {
namespace {

// Reads --secret_file, if it was given.
absl::StatusOr<std::string> SecretFromFile(size_t at_least) {
  const std::string path = absl::GetFlag(FLAGS_secret_file);
  if (path.empty()) return std::string();
  absl::Status privacy;
  absl::StatusOr<std::string> secret = ReadInputFile(path, &privacy);
  if (!secret.ok()) return secret;
  if (secret->size() < at_least) {
    return absl::InvalidArgumentError(
        absl::StrCat("--secret_file=", Printable(path), " has ", secret->size(),
                     " bytes, a secret needs at least ", at_least));
  }
  if (!privacy.ok()) {
    PrintNote(
        absl::StrCat("warning: --secret_file: ", Printable(privacy.message())));
  }
  return secret;
}

template <class Request, class Response>
absl::Status Rotate(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Response*),
                    size_t at_least, absl::string_view what) {
  absl::StatusOr<std::string> secret = SecretFromFile(at_least);
  if (!secret.ok()) return secret.status();
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  Request request;
  request.set_listener(absl::GetFlag(FLAGS_listener));
  request.set_secret(*std::move(secret));
  auto response = connection->Call(method, request);
  if (!response.ok()) return response.status();
  if (JsonWanted()) {
    PrintJson(*response);
  } else {
    Print(absl::StrCat(what, " of ", response->listeners(), " listener",
                       response->listeners() == 1 ? "" : "s", " replaced.\n"));
  }
  return absl::OkStatus();
}

absl::Status RotateCookies(const Arguments& /*arguments*/) {
  return Rotate(&Stub::RotateCookieSecret, 16, "Cookie secret");
}

absl::Status RotateTickets(const Arguments& /*arguments*/) {
  return Rotate(&Stub::RotateTicketKeys, 32, "Ticket keys");
}

absl::Status AddCredentials(pb::ReloadCredentialsRequest* request) {
  const std::vector<std::string> chains = absl::GetFlag(FLAGS_chain).values;
  const std::vector<std::string> keys = absl::GetFlag(FLAGS_chain_key).values;
  if (chains.size() != keys.size()) {
    return UsageError(absl::StrCat(
        "each --chain needs a key, and each key a --chain: there are ",
        chains.size(), " and ", keys.size()));
  }
  for (size_t i = 0; i < chains.size(); ++i) {
    pb::Credential* credential = request->add_credentials();
    absl::StatusOr<std::string> chain = ReadPemFile("chain", chains[i]);
    if (!chain.ok()) return chain.status();
    absl::StatusOr<std::string> key = ReadPemFile("chain_key", keys[i]);
    if (!key.ok()) return key.status();
    credential->set_chain_pem(*std::move(chain));
    credential->set_key_pem(*std::move(key));
  }
  return absl::OkStatus();
}

absl::Status ReloadCredentials(const Arguments& /*arguments*/) {
  pb::ReloadCredentialsRequest request;
  request.set_listener(absl::GetFlag(FLAGS_listener));
  if (absl::Status status = AddCredentials(&request); !status.ok()) {
    return status;
  }
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  auto response = connection->Call(&Stub::ReloadCredentials, request);
  if (!response.ok()) return response.status();
  if (JsonWanted()) {
    PrintJson(*response);
    return absl::OkStatus();
  }
  Table table({{"SUBJECT"}, {"NAMES"}, {"VALID UNTIL"}, {"FINGERPRINT"}});
  for (const pb::Certificate& certificate : response->certificates()) {
    std::string names;
    for (const std::string& name : certificate.dns_names()) {
      absl::StrAppend(&names, names.empty() ? "" : ",", Printable(name));
    }
    table.Add({PrintableText(certificate.subject()), names,
               FormatTime(certificate.not_after()),
               Printable(certificate.fingerprint())});
  }
  Print(table.Render(StyleOf(1)));
  return absl::OkStatus();
}

}  // namespace

std::vector<Command> SecretCommands() {
  return {
      {
          .path = "cookies rotate",
          .summary = "Replaces the secret behind the cookies of handshakes",
          .flags = {"listener", "secret_file"},
          .examples = {"cookies rotate",
                       "cookies rotate --secret_file=/run/secrets/cookie"},
          .run = &RotateCookies,
      },
      {
          .path = "tickets rotate",
          .summary = "Replaces the keys of session tickets",
          .flags = {"listener", "secret_file"},
          .examples = {"tickets rotate --listener=public"},
          .run = &RotateTickets,
      },
      {
          .path = "credentials reload",
          .summary = "Replaces certificates and keys",
          .description =
              "Without --chain, the service reads its files again. New ones "
              "are checked before they are used; if they are bad, the old ones "
              "stay.",
          .flags = {"listener", "chain", "chain_key"},
          .examples = {"credentials reload",
                       "credentials reload --chain=ec.pem --key=ec.key "
                       "--chain=rsa.pem --key=rsa.key"},
          .run = &ReloadCredentials,
      },
  };
}

}  // namespace cordon::tools::ctl
