// A DTLS client for people and scripts: lines in, lines out.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/context.h"
#include "cordon/net/base/line_writer.h"
#include "cordon/net/base/printable.h"
#include "cordon/net/base/resolve.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/when_all.h"
#include "cordon/tools/command_line.h"
#include "cordon/tools/common_flags.h"
#include "cordon/tools/interruption.h"
#include "cordon/tools/line_reader.h"
#include "cordon/tools/output_writer.h"
#include "cordon/tools/secret_file.h"

ABSL_FLAG(std::string, name, "",
          "The name that the server's certificate must have. By default the "
          "HOST that was given.");
ABSL_FLAG(bool, common_name, false,
          "Accept the name as the certificate's common name, too, if it has no "
          "alternative names.");
ABSL_FLAG(std::string, verify, "require",
          "The server's certificate: none (is not looked at), query (what is "
          "wrong with it is told) or require (must be good).");
ABSL_FLAG(std::string, ignore, "",
          "Verification errors that do not count, with commas; such as those "
          "that this program names when it refuses a server.");
ABSL_FLAG(std::string, psk_file, "",
          "A file with a pre-shared key, IDENTITY:HEX.");
ABSL_FLAG(std::string, psk, "",
          "The key itself, IDENTITY:HEX. Better --psk_file: every user of the "
          "machine can see command lines.");
ABSL_FLAG(std::string, session_file, "",
          "Resume the session that is kept in this file, if there is one, and "
          "keep the new one there.");
ABSL_FLAG(std::string, export, "",
          "Print key material for another protocol, LABEL:LENGTH in bytes.");
ABSL_FLAG(uint32_t, mtu, cordon::dtls::kDefaultMtu,
          "The largest IP packet to send while handshaking, in bytes.");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(30),
          "How long the handshake may take.");
ABSL_FLAG(absl::Duration, linger, absl::Seconds(1),
          "How long to wait for messages after the end of the input.");
ABSL_FLAG(bool, info, false, "Print what was negotiated.");
ABSL_FLAG(cordon::net::Backend, backend, cordon::net::Backend::kAuto,
          "auto, io_uring or epoll.");

namespace {

using namespace cordon;  // NOLINT(google-build-using-namespace)

constexpr char kProgram[] = "client";

// What --export asks for.
struct Export {
  std::string label;
  size_t bytes = 0;
};

struct Plan {
  net::Endpoint server;
  dtls::ConnectOptions connect;
  Export key_material;
};

net::Task<absl::Status> SendLines(net::Reactor& reactor,
                                  dtls::Connection& connection) {
  // UDP has no flow control: more than this at once overruns common receive
  // buffers.
  constexpr int kLinesPerMillisecond = 16;
  tools::LineReader reader(reactor);
  for (int number = 1;; ++number) {
    absl::StatusOr<std::string> line = co_await reader.Next();
    if (absl::IsOutOfRange(line.status())) break;
    if (!line.ok()) {
      co_return absl::Status(
          line.status().code(),
          absl::StrCat("line ", number, ": ", line.status().message()));
    }
    const absl::Status sent = co_await connection.SendEncrypted(
        {reinterpret_cast<const uint8_t*>(line->data()), line->size()});
    if (!sent.ok()) {
      co_return absl::Status(
          sent.code(), absl::StrCat("line ", number, ": ", sent.message()));
    }
    if (number % kLinesPerMillisecond == 0) {
      CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(1)));
    }
  }
  co_return co_await net::SleepFor(absl::GetFlag(FLAGS_linger));
}

net::Task<absl::Status> PrintMessages(dtls::Connection& connection,
                                      tools::OutputWriter& output) {
  while (true) {
    absl::StatusOr<dtls::Message> message = co_await connection.RecvDecrypted();
    if (!message.ok()) co_return message.status();
    CO_RETURN_IF_ERROR(
        co_await output.Write(absl::StrCat(message->text(), "\n")));
  }
}

// A line, or none if there is no value.
std::string Labelled(absl::string_view label, absl::string_view value) {
  if (value.empty()) return "";
  return absl::StrFormat("%-10s %s\n", label, net::PrintableText(value));
}

std::string InfoText(const dtls::Connection& connection) {
  const dtls::SessionInfo info = connection.info();
  return absl::StrCat(
      Labelled("version:", info.version), Labelled("cipher:", info.cipher),
      Labelled("group:", info.group),
      Labelled("signature:", info.signature_algorithm),
      Labelled("peer:", info.peer_subject),
      Labelled("verified:", info.peer_chain.empty() ? ""
                            : info.peer_verified    ? "yes"
                                                    : "no"),
      Labelled("ignored:",
               absl::StrJoin(tools::IdsOf(info.ignored_errors), ",")),
      Labelled("psk:", info.psk && info.psk_identity.empty()
                           ? "\"\""
                           : net::Printable(info.psk_identity)),
      Labelled("alpn:", net::Printable(info.alpn)),
      Labelled("srtp:", info.srtp_profile),
      Labelled("resumed:", info.resumed ? "yes" : "no"));
}

// Has a failed handshake say how to go on without a good certificate.
absl::Status WithHint(const absl::Status& status,
                      const std::vector<dtls::VerificationError>& errors) {
  if (!absl::IsUnauthenticated(status) || errors.empty()) return status;
  // What is ignored already must go on being ignored.
  std::vector<std::string> ids =
      absl::StrSplit(absl::GetFlag(FLAGS_ignore), ',', absl::SkipEmpty());
  for (std::string& id : tools::IdsOf(errors)) ids.push_back(std::move(id));
  return absl::Status(
      status.code(),
      absl::StrCat(status.message(), "; to go on all the same: --ignore=",
                   absl::StrJoin(ids, ",")));
}

void PrintWarnings(const std::vector<dtls::VerificationError>& errors) {
  for (const dtls::VerificationError& error : errors) {
    net::LineWriter::StandardError().Write(
        absl::StrCat(kProgram, ": warning: ", error.message, " [",
                     dtls::VerificationErrorId(error.code), "]"));
  }
}

// Keeps the session, if the server resumes any.
absl::Status KeepSession(const dtls::Connection& connection) {
  const std::string path = absl::GetFlag(FLAGS_session_file);
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<dtls::ResumableSession> session = connection.Session();
  if (absl::IsNotFound(session.status())) return absl::OkStatus();
  if (!session.ok()) return session.status();
  return tools::ReplaceSecretFile(path, session->Serialize());
}

absl::StatusOr<std::string> KeyMaterialText(const dtls::Connection& connection,
                                            const Export& wanted) {
  if (wanted.bytes == 0) return "";
  absl::StatusOr<std::vector<uint8_t>> key =
      connection.ExportKeyingMaterial(wanted.label, {}, wanted.bytes);
  if (!key.ok()) return key.status();
  return Labelled("exported:", absl::BytesToHexString(
                                   {reinterpret_cast<const char*>(key->data()),
                                    key->size()}));
}

net::Task<absl::Status> Run(net::Reactor& reactor, dtls::Context context,
                            Plan plan) {
  CO_ASSIGN_OR_RETURN(dtls::Connection connection,
                      co_await dtls::Connect(reactor, plan.server, context,
                                             std::move(plan.connect)));
  if (absl::Status status = co_await connection.Handshake(); !status.ok()) {
    co_return WithHint(status, connection.PeerVerificationErrors());
  }
  PrintWarnings(connection.PeerVerificationErrors());
  tools::OutputWriter output(reactor);
  std::string text = absl::GetFlag(FLAGS_info) ? InfoText(connection) : "";
  CO_ASSIGN_OR_RETURN(const std::string key_material,
                      KeyMaterialText(connection, plan.key_material));
  text += key_material;
  CO_RETURN_IF_ERROR(co_await output.Write(std::move(text)));
  CO_RETURN_IF_ERROR(KeepSession(connection));
  auto ended = co_await net::WhenAny(SendLines(reactor, connection),
                                     PrintMessages(connection, output),
                                     output.Failure());
  absl::Status status = std::get<0>(ended.results);
  if (ended.index == 1) status = std::get<1>(ended.results);
  if (ended.index == 2) status = std::get<2>(ended.results);
  if (dtls::IsClosed(status)) {
    // All that was read has been sent; only the linger time was cut short.
    const absl::Status& sent = std::get<0>(ended.results);
    status = sent.ok() || absl::IsCancelled(sent) ? absl::OkStatus() : sent;
  }
  if (connection.state() == dtls::EngineState::kConnected) {
    status.Update(KeepSession(connection));
  }
  status.Update(co_await connection.Close());
  // Who does not read may be waited for until somebody interrupts us.
  status.Update(co_await output.Flush());
  co_return status;
}

void SetVerificationMode(dtls::VerificationOptions* options) {
  const std::string mode = absl::GetFlag(FLAGS_verify);
  if (mode == "none") {
    options->mode = dtls::PeerVerification::kNone;
  } else if (mode == "query") {
    options->mode = dtls::PeerVerification::kQuery;
  } else if (mode == "require") {
    options->mode = dtls::PeerVerification::kVerify;
  } else {
    tools::DieOfUsage(kProgram, absl::StrCat("--verify=", mode,
                                             " is not none, query or require"));
  }
  for (absl::string_view id :
       absl::StrSplit(absl::GetFlag(FLAGS_ignore), ',', absl::SkipEmpty())) {
    absl::StatusOr<dtls::VerificationErrorCode> code =
        dtls::ParseVerificationErrorId(id);
    if (!code.ok()) {
      tools::DieOfUsage(kProgram,
                        absl::StrCat("--ignore: ", code.status().message()));
    }
    dtls::IgnoredError ignored;
    ignored.code = *code;
    options->ignored.push_back(std::move(ignored));
  }
}

dtls::Context MakeContext() {
  dtls::ClientOptions options;
  options.verification.common_name_fallback = absl::GetFlag(FLAGS_common_name);
  SetVerificationMode(&options.verification);
  tools::SetVerification(kProgram, &options.verification);
  if (std::optional<dtls::PreSharedKey> psk = tools::PskOrDie(
          kProgram, absl::GetFlag(FLAGS_psk_file), absl::GetFlag(FLAGS_psk));
      psk.has_value()) {
    options.pre_shared_key = *std::move(psk);
  }
  options.certificate = tools::OwnCertificate(kProgram);
  options.trust = tools::Trust(kProgram);
  tools::SetProtocol(kProgram, &options);
  tools::SetReplayWindow(kProgram, &options.session);
  options.session.mtu = absl::GetFlag(FLAGS_mtu);
  dtls::ClientOptions mtu;
  mtu.session = options.session;
  tools::CheckOrDie(kProgram, "mtu", std::move(mtu));
  options.session.handshake_deadline = absl::GetFlag(FLAGS_timeout);
  dtls::ClientOptions timeout;
  timeout.session = options.session;
  tools::CheckOrDie(kProgram, "timeout", std::move(timeout));
  absl::StatusOr<dtls::Context> context =
      dtls::Context::Client(std::move(options));
  if (!context.ok()) tools::Die(kProgram, context.status().message());
  return *std::move(context);
}

Export ExportOrDie() {
  constexpr size_t kMaxBytes = 4096;
  Export wanted;
  const std::string text = absl::GetFlag(FLAGS_export);
  if (text.empty()) return wanted;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(text.substr(colon + 1), &wanted.bytes) ||
      wanted.bytes == 0 || wanted.bytes > kMaxBytes) {
    tools::DieOfUsage(kProgram,
                      absl::StrCat("--export=", text,
                                   " is not LABEL:LENGTH, with a length from 1 "
                                   "to ",
                                   kMaxBytes));
  }
  wanted.label = text.substr(0, colon);
  return wanted;
}

dtls::ResumableSession KeptSession(const dtls::Context& context) {
  const std::string path = absl::GetFlag(FLAGS_session_file);
  if (path.empty()) return {};
  absl::StatusOr<tools::SecretFile> file = tools::ReadSecretFile(path);
  if (absl::IsNotFound(file.status())) return {};
  if (!file.ok()) tools::Die(kProgram, file.status().message());
  // Whoever wrote it knows the session's keys, and says who the server is.
  if (!file->privacy.ok()) {
    tools::Die(kProgram,
               absl::StrCat("--session_file: ", file->privacy.message()));
  }
  absl::StatusOr<dtls::ResumableSession> session =
      context.ParseSession(file->content);
  if (!session.ok()) {
    tools::Die(kProgram, absl::StrCat("--session_file: ", path, ": ",
                                      session.status().message()));
  }
  return *std::move(session);
}

// HOST of HOST:PORT, without brackets.
std::string HostOf(const std::string& host_port) {
  std::string host = host_port.substr(0, host_port.rfind(':'));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return host;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> rest = tools::ParseCommandLine(
      argc, argv,
      {.program = kProgram,
       .synopsis = "HOST:PORT [flags]",
       .summary = "Talks to a DTLS server: sends each line of its input as a "
                  "message and prints each message that comes as a line."});
  if (rest.size() != 1) {
    tools::DieOfUsage(kProgram, rest.empty()
                                    ? "say which server to talk to: HOST:PORT"
                                    : "one HOST:PORT, please");
  }
  tools::CheckNotNegativeOrDie(kProgram, "linger", absl::GetFlag(FLAGS_linger));
  Plan plan;
  plan.key_material = ExportOrDie();
  const dtls::Context context = MakeContext();
  plan.connect.resume = KeptSession(context);
  absl::StatusOr<std::vector<net::Endpoint>> server = net::Resolve(rest[0]);
  if (!server.ok()) {
    if (absl::IsInvalidArgument(server.status())) {
      tools::DieOfUsage(kProgram, server.status().message());
    }
    tools::Die(kProgram, server.status().message());
  }
  plan.server = server->front();
  plan.connect.server_name = absl::GetFlag(FLAGS_name).empty()
                                 ? HostOf(rest[0])
                                 : absl::GetFlag(FLAGS_name);
  absl::StatusOr<std::unique_ptr<net::Reactor>> reactor =
      net::MakeReactor({.backend = absl::GetFlag(FLAGS_backend)});
  if (!reactor.ok()) tools::Die(kProgram, reactor.status().message());
  tools::Interruption interruption([&] { (*reactor)->RequestStop(); });
  const absl::Status status =
      (*reactor)->Run(Run(**reactor, context, std::move(plan)));
  interruption.EndAsAsked();
  if (!status.ok()) {
    tools::Die(kProgram, absl::StrCat(rest[0], ": ", status.message()));
  }
  return 0;
}
