#include "cordon/testing/control/controlled_server.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/listener.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"

namespace cordon::testing {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::abort();
  }
  return *std::move(value);
}

dtls::Context MakeContext(dtls::ServerOptions options) {
  options.certificates = {
      ControlledServer::Authority().Issue({.dns_names = {"localhost"}})};
  return OrDie(dtls::Context::Server(std::move(options)));
}

net::Task<absl::Status> Echo(dtls::Connection connection) {
  absl::Status status = co_await connection.Handshake();
  while (status.ok()) {
    absl::StatusOr<dtls::Message> message = co_await connection.RecvDecrypted();
    status = message.status();
    if (status.ok()) {
      status = co_await connection.SendEncrypted(message->bytes());
    }
  }
  if (dtls::IsClosed(status)) (void)co_await connection.Close();
  co_return absl::OkStatus();
}

}  // namespace

const TestAuthority& ControlledServer::Authority() {
  static const auto* const authority = new TestAuthority("Control CA");
  return *authority;
}

ControlledServer::ControlledServer(Options options)
    : folder_("/tmp"),
      registry_(std::make_shared<dtls::Registry>()),
      context_(MakeContext(std::move(options.server))),
      group_(OrDie(
          net::ReactorGroup::Create({.reactors = options.listeners.size()}))) {
  dtls::control::ControlOptions& control = options.control;
  control.registry = registry_;
  control.addresses.insert(control.addresses.begin(),
                           absl::StrCat("unix:", folder_.path(), "/control"));
  control.log = [this](dtls::control::LogLevel, absl::string_view line) {
    absl::MutexLock lock(&mutex_);
    absl::StrAppend(&log_, line, "\n");
  };
  control_ = OrDie(dtls::control::Control::Start(std::move(control)));
  stub_ = ::cordon::control::v1::Control::NewStub(
      grpc::CreateChannel(target(), grpc::InsecureChannelCredentials()));
  for (size_t i = 0; i < group_.size(); ++i) {
    dtls::ListenerOptions listener;
    listener.name = options.listeners[i];
    listener.registry = registry_;
    listeners_.push_back(OrDie(dtls::Listener::Bind(
        group_.reactor(i), net::Endpoint::LoopbackV4(0), context_, listener)));
    endpoints_.push_back(listeners_.back().local_endpoint());
  }
  thread_ = std::thread([this] {
    end_ = group_.RunOnEach([this](net::Reactor& r) { return Serve(r); });
  });
}

ControlledServer::~ControlledServer() {
  group_.RequestStop();
  if (thread_.joinable()) thread_.join();
  listeners_.clear();
}

absl::Status ControlledServer::WaitForListeners() {
  thread_.join();
  return end_;
}

std::string ControlledServer::log() {
  absl::MutexLock lock(&mutex_);
  return log_;
}

net::Task<absl::Status> ControlledServer::Serve(net::Reactor& reactor) {
  size_t i = 0;
  while (&group_.reactor(i) != &reactor) ++i;
  return ServeListener(listeners_[i]);
}

net::Task<absl::Status> ControlledServer::ServeListener(
    dtls::Listener& listener) {
  net::TaskScope sessions;
  absl::Status why;
  while (why.ok()) {
    absl::StatusOr<dtls::Connection> connection = co_await listener.Accept();
    why = connection.status();
    if (connection.ok()) sessions.Spawn(Echo(*std::move(connection)));
  }
  listener.StopAccepting();
  sessions.RequestStop();
  (void)co_await sessions.Join();
  co_return absl::IsFailedPrecondition(why) ? absl::OkStatus() : why;
}

ClientCrowd::ClientCrowd() : reactor_(OrDie(net::MakeReactor({}))) {
  absl::Mutex mutex;
  bool ready = false;
  thread_ = std::thread([&, this] {
    auto main = [&, this]() -> net::Task<absl::Status> {
      net::TaskScope scope;
      {
        absl::MutexLock lock(&mutex);
        scope_ = &scope;
        ready = true;
      }
      (void)co_await net::SleepFor(absl::InfiniteDuration());
      scope.RequestStop();
      co_return co_await scope.Join();
    };
    (void)reactor_->Run(main());
  });
  absl::MutexLock lock(&mutex);
  mutex.Await(absl::Condition(&ready));
}

ClientCrowd::~ClientCrowd() { Close(); }

void ClientCrowd::Close() {
  reactor_->RequestStop();
  if (thread_.joinable()) thread_.join();
}

dtls::Context ClientCrowd::ContextWith(const dtls::Certificate& certificate) {
  dtls::ClientOptions options;
  options.trust = ControlledServer::Authority().trust();
  options.certificate = certificate;
  return OrDie(dtls::Context::Client(std::move(options)));
}

std::vector<absl::Status> ClientCrowd::Connect(const net::Endpoint& server,
                                               const dtls::Context& context,
                                               size_t clients) {
  size_t first = 0;
  {
    absl::MutexLock lock(&mutex_);
    first = connected_.size();
  }
  Begin(server, context, clients);
  absl::MutexLock lock(&mutex_);
  const auto all_told = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return told_ == connected_.size();
  };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&all_told), kPatience)) {
    std::fprintf(stderr, "%zu of %zu clients are not connected\n",
                 connected_.size() - told_, connected_.size());
    std::abort();
  }
  return {connected_.begin() + static_cast<ptrdiff_t>(first), connected_.end()};
}

void ClientCrowd::Begin(const net::Endpoint& server,
                        const dtls::Context& context, size_t clients) {
  for (size_t i = 0; i < clients; ++i) {
    size_t number = 0;
    {
      absl::MutexLock lock(&mutex_);
      number = connected_.size();
      connected_.emplace_back(absl::UnknownError("not yet connected"));
    }
    reactor_->Post([this, server, context, number] {
      scope_->Spawn(Client(server, context, number));
    });
  }
}

void ClientCrowd::Tell(size_t number, const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  connected_[number] = status;
  ++told_;
}

net::Task<absl::Status> ClientCrowd::Client(net::Endpoint server,
                                            dtls::Context context,
                                            size_t number) {
  absl::StatusOr<dtls::Connection> connection =
      co_await dtls::Connect(*reactor_, server, context, "localhost");
  absl::Status status = connection.status();
  if (status.ok()) status = co_await connection->Handshake();
  constexpr uint8_t kHello[] = {'h', 'e', 'l', 'l', 'o'};
  if (status.ok()) status = co_await connection->SendEncrypted(kHello);
  if (status.ok()) status = (co_await connection->RecvDecrypted()).status();
  Tell(number, status);
  if (!status.ok()) co_return absl::OkStatus();
  status = (co_await connection->RecvDecrypted()).status();
  if (absl::IsCancelled(status)) {
    (void)co_await connection->Close();
    co_return absl::OkStatus();
  }
  if (dtls::IsClosed(status)) (void)co_await connection->Close();
  absl::MutexLock lock(&mutex_);
  ends_.push_back(std::move(status));
  co_return absl::OkStatus();
}

std::vector<absl::Status> ClientCrowd::WaitForEnds(size_t clients) {
  absl::MutexLock lock(&mutex_);
  const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return ends_.size() >= clients;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience);
  return ends_;
}

}  // namespace cordon::testing
