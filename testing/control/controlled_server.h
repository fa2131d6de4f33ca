// An echo server with a control service, and clients of it, in this process:
// over real sockets, each reactor on a thread of its own.
#ifndef CORDON_TESTING_CONTROL_CONTROLLED_SERVER_H_
#define CORDON_TESTING_CONTROL_CONTROLLED_SERVER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/control/control.grpc.pb.h"
#include "cordon/dtls/control/control.h"
#include "cordon/dtls/listener.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/reactor/reactor_group.h"
#include "cordon/net/task/task.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"

namespace cordon::testing {

class ControlledServer {
 public:
  struct Options {
    // Its certificate is for "localhost".
    dtls::ServerOptions server = {};
    // The names of its listeners: each has a reactor and a port of its own.
    std::vector<std::string> listeners = {"public"};
    // `registry`, `addresses` and `log` are set here; what is given in
    // `addresses` is served as well.
    dtls::control::ControlOptions control = {};
  };

  // Aborts if it cannot be started.
  ControlledServer() : ControlledServer(Options()) {}
  explicit ControlledServer(Options options);
  ~ControlledServer();

  static const TestAuthority& Authority();

  const net::Endpoint& endpoint(size_t listener = 0) const {
    return endpoints_[listener];
  }
  dtls::Registry& registry() { return *registry_; }
  dtls::control::Control& control() { return *control_; }
  // "unix:/path" first.
  const std::string& target() const { return control_->addresses().front(); }
  ::cordon::control::v1::Control::Stub& stub() { return *stub_; }
  const dtls::Context& context() const { return context_; }

  // Ends the control service; its callers are told.
  void StopControl() { control_->Stop(absl::ZeroDuration()); }
  // Waits until every listener has ended by itself.
  absl::Status WaitForListeners();

  std::string log();

 private:
  net::Task<absl::Status> Serve(net::Reactor& reactor);
  net::Task<absl::Status> ServeListener(dtls::Listener& listener);

  TemporaryFolder folder_;
  std::shared_ptr<dtls::Registry> registry_;
  absl::Mutex mutex_;
  std::string log_ ABSL_GUARDED_BY(mutex_);
  dtls::Context context_;
  std::unique_ptr<dtls::control::Control> control_;
  std::unique_ptr<::cordon::control::v1::Control::Stub> stub_;
  net::ReactorGroup group_;
  std::vector<dtls::Listener> listeners_;
  std::vector<net::Endpoint> endpoints_;
  std::thread thread_;
  absl::Status end_;
};

// Clients that connect, say something once, and stay.
class ClientCrowd {
 public:
  ClientCrowd();
  ~ClientCrowd();

  // A context that trusts `ControlledServer::Authority`, with a certificate.
  static dtls::Context ContextWith(const dtls::Certificate& certificate = {});

  // Returns when each of the clients is connected and has had its answer, or
  // has failed: with what became of each.
  std::vector<absl::Status> Connect(const net::Endpoint& server,
                                    const dtls::Context& context,
                                    size_t clients = 1);
  // Begins as `Connect`, and does not wait.
  void Begin(const net::Endpoint& server, const dtls::Context& context,
             size_t clients);
  // Waits for `clients` whose sessions were ended by the server, in all; with
  // what they ended with, in the order in which they did.
  std::vector<absl::Status> WaitForEnds(size_t clients);
  // Closes all sessions in order and waits for it.
  void Close();

 private:
  net::Task<absl::Status> Client(net::Endpoint server, dtls::Context context,
                                 size_t number);
  void Tell(size_t number, const absl::Status& status);

  std::unique_ptr<net::Reactor> reactor_;
  net::TaskScope* scope_ = nullptr;
  std::thread thread_;

  absl::Mutex mutex_;
  // What became of each client's handshake.
  std::vector<absl::Status> connected_ ABSL_GUARDED_BY(mutex_);
  size_t told_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<absl::Status> ends_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_CONTROL_CONTROLLED_SERVER_H_
