// A DTLS client for people and scripts: lines in, lines out.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/context.h"
#include "cordon/net/base/resolve.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/task/channel.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/when_all.h"
#include "cordon/tools/command_line.h"

ABSL_FLAG(
    std::string, ca, "",
    "Who may have issued the server's certificate, a PEM file. By default "
    "the system's trust store.");
ABSL_FLAG(std::string, name, "",
          "The name that the server's certificate must have. By default the "
          "HOST that was given.");
ABSL_FLAG(std::string, cert, "", "The client's certificate chain, a PEM file.");
ABSL_FLAG(std::string, key, "", "Its private key, a PEM file.");
ABSL_FLAG(std::string, psk, "", "A pre-shared key, IDENTITY:HEX.");
ABSL_FLAG(std::string, ciphers, "",
          "Cipher suites, OpenSSL's names with \":\" between them. By default "
          "all with AEAD.");
ABSL_FLAG(std::string, alpn, "",
          "Application protocols, the preferred one first, with commas.");
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

// Reads lines on a thread of its own, because files and terminals block, and
// hands them to the reactor, at most `kMaxAhead` ahead of what was sent.
class LineReader {
 public:
  explicit LineReader(net::Reactor& reactor)
      : reactor_(reactor),
        end_fd_(eventfd(0, EFD_CLOEXEC)),
        thread_([this] { Read(); }) {}
  ~LineReader() {
    {
      absl::MutexLock lock(&mutex_);
      ended_ = true;
    }
    const uint64_t one = 1;
    [[maybe_unused]] ssize_t written = write(end_fd_.get(), &one, sizeof(one));
    thread_.join();
  }

  // kOutOfRange at the end of the input.
  net::Task<absl::StatusOr<std::string>> Next() {
    absl::StatusOr<std::string> line = co_await lines_->Recv();
    absl::MutexLock lock(&mutex_);
    if (line.ok()) --ahead_;
    co_return line;
  }

 private:
  static constexpr size_t kMaxAhead = 256;

  void Emit(std::string line) {
    {
      absl::MutexLock lock(&mutex_);
      auto has_room = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        return ahead_ < kMaxAhead || ended_;
      };
      mutex_.Await(absl::Condition(&has_room));
      if (ended_) return;
      ++ahead_;
    }
    // What is posted may run after this object has gone.
    reactor_.Post([lines = lines_, line = std::move(line)]() mutable {
      lines->TrySend(std::move(line));
    });
  }

  void Read() {
    std::string partial;
    std::array<char, 65536> buffer;
    std::array<pollfd, 2> fds = {pollfd{STDIN_FILENO, POLLIN, 0},
                                 pollfd{end_fd_.get(), POLLIN, 0}};
    while (true) {
      if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) break;
      if (fds[1].revents != 0) return;
      if (fds[0].revents == 0) continue;
      const ssize_t size = read(STDIN_FILENO, buffer.data(), buffer.size());
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) break;
      partial.append(buffer.data(), static_cast<size_t>(size));
      size_t begin = 0;
      for (size_t end; (end = partial.find('\n', begin)) != std::string::npos;
           begin = end + 1) {
        Emit(partial.substr(begin, end - begin));
      }
      partial.erase(0, begin);
    }
    if (!partial.empty()) Emit(std::move(partial));
    reactor_.Post([lines = lines_] { lines->Close(); });
  }

  net::Reactor& reactor_;
  const std::shared_ptr<net::Channel<std::string>> lines_ =
      std::make_shared<net::Channel<std::string>>(kMaxAhead);
  absl::Mutex mutex_;
  size_t ahead_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  net::UniqueFd end_fd_;
  std::thread thread_;
};

net::Task<absl::Status> SendLines(net::Reactor& reactor,
                                  dtls::Connection& connection) {
  // UDP has no flow control: more than this at once overruns common receive
  // buffers.
  constexpr int kLinesPerMillisecond = 16;
  LineReader reader(reactor);
  for (int number = 1;; ++number) {
    absl::StatusOr<std::string> line = co_await reader.Next();
    if (absl::IsOutOfRange(line.status())) break;
    if (!line.ok()) co_return line.status();
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

net::Task<absl::Status> PrintMessages(dtls::Connection& connection) {
  while (true) {
    absl::StatusOr<dtls::Message> message = co_await connection.RecvDecrypted();
    if (!message.ok()) co_return message.status();
    std::fwrite(message->text().data(), 1, message->size(), stdout);
    std::fputc('\n', stdout);
    std::fflush(stdout);
  }
}

void PrintInfo(const dtls::Connection& connection) {
  const dtls::SessionInfo info = connection.info();
  auto print = [](const char* label, const std::string& value) {
    if (!value.empty()) std::printf("%-10s %s\n", label, value.c_str());
  };
  print("version:", info.version);
  print("cipher:", info.cipher);
  print("group:", info.group);
  print("signature:", info.signature_algorithm);
  print("peer:", info.peer_subject);
  print("verified:", info.peer_chain.empty() ? ""
                     : info.peer_verified    ? "yes"
                                             : "no");
  print("psk:", info.psk_identity);
  print("alpn:", info.alpn);
  std::fflush(stdout);
}

net::Task<absl::Status> Run(net::Reactor& reactor, net::Endpoint server,
                            dtls::Context context, std::string name) {
  CO_ASSIGN_OR_RETURN(
      dtls::Connection connection,
      co_await dtls::Connect(reactor, server, context, std::move(name)));
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  if (absl::GetFlag(FLAGS_info)) PrintInfo(connection);
  auto ended = co_await net::WhenAny(SendLines(reactor, connection),
                                     PrintMessages(connection));
  absl::Status status = ended.index == 0 ? std::get<0>(ended.results)
                                         : std::get<1>(ended.results);
  if (dtls::IsClosed(status)) {
    // All that was read has been sent; only the linger time was cut short.
    const absl::Status& sent = std::get<0>(ended.results);
    status = sent.ok() || absl::IsCancelled(sent) ? absl::OkStatus() : sent;
  }
  status.Update(co_await connection.Close());
  co_return status;
}

dtls::Context MakeContext() {
  dtls::ClientOptions options;
  if (const std::string ca = absl::GetFlag(FLAGS_ca); !ca.empty()) {
    absl::StatusOr<dtls::TrustAnchors> trust = dtls::LoadTrustAnchors(ca);
    if (!trust.ok()) tools::Die(kProgram, trust.status().message());
    options.trust = *std::move(trust);
  }
  const std::string cert = absl::GetFlag(FLAGS_cert);
  const std::string key = absl::GetFlag(FLAGS_key);
  if (cert.empty() != key.empty()) {
    tools::DieOfUsage(kProgram, "--cert and --key go together");
  }
  if (!cert.empty()) {
    absl::StatusOr<dtls::Certificate> certificate =
        dtls::LoadCertificate(cert, key);
    if (!certificate.ok()) {
      tools::Die(kProgram, certificate.status().message());
    }
    options.certificate = *std::move(certificate);
  }
  if (const std::string text = absl::GetFlag(FLAGS_psk); !text.empty()) {
    absl::StatusOr<dtls::PreSharedKey> psk = dtls::ParsePreSharedKey(text);
    if (!psk.ok()) {
      tools::DieOfUsage(kProgram,
                        absl::StrCat("--psk: ", psk.status().message()));
    }
    options.pre_shared_key = *std::move(psk);
  }
  options.ciphers = absl::GetFlag(FLAGS_ciphers);
  options.alpn =
      absl::StrSplit(absl::GetFlag(FLAGS_alpn), ',', absl::SkipEmpty());
  options.session.mtu = absl::GetFlag(FLAGS_mtu);
  options.session.handshake_deadline = absl::GetFlag(FLAGS_timeout);
  absl::StatusOr<dtls::Context> context =
      dtls::Context::Client(std::move(options));
  if (!context.ok()) tools::Die(kProgram, context.status().message());
  return *std::move(context);
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
  const dtls::Context context = MakeContext();
  absl::StatusOr<std::vector<net::Endpoint>> server = net::Resolve(rest[0]);
  if (!server.ok()) {
    if (absl::IsInvalidArgument(server.status())) {
      tools::DieOfUsage(kProgram, server.status().message());
    }
    tools::Die(kProgram, server.status().message());
  }
  const std::string name = absl::GetFlag(FLAGS_name).empty()
                               ? HostOf(rest[0])
                               : absl::GetFlag(FLAGS_name);
  absl::StatusOr<std::unique_ptr<net::Reactor>> reactor =
      net::MakeReactor({.backend = absl::GetFlag(FLAGS_backend)});
  if (!reactor.ok()) tools::Die(kProgram, reactor.status().message());
  const absl::Status status =
      (*reactor)->Run(Run(**reactor, server->front(), context, name));
  if (!status.ok()) {
    tools::Die(kProgram, absl::StrCat(rest[0], ": ", status.message()));
  }
  return 0;
}
