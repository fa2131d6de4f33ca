// A control service that does nothing, and clients for it: for tests of what
// lies around the service.
#ifndef CORDON_TESTING_FAKE_CONTROL_FAKE_CONTROL_H_
#define CORDON_TESTING_FAKE_CONTROL_FAKE_CONTROL_H_

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "cordon/dtls/control/access.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::testing {

// The methods that it has:
//
//   GetLogLevel         for readers
//   SetLogLevel         for admins
//   RotateCookieSecret  for everybody; answers anything
//   Drain               for everybody; waits for `FinishDrain`
//   WatchSessions       for everybody; one event, then nothing until
//                       `EndStreams`
//   WatchStatistics     for everybody; as much as the client takes, 4 MB at a
//                       time
class FakeControl {
 public:
  explicit FakeControl(
      std::shared_ptr<const dtls::control::AccessControl> access);
  ~FakeControl();

  grpc::Service* service();

  // Ends the streams of WatchSessions with UNAVAILABLE.
  void EndStreams();
  void FinishDrain();

  // Wait until so many streams are open and have begun to write; until a Drain
  // waits.
  void WaitForStreams(size_t count);
  void WaitForDrain();

  // The callers that were let in, in order: "uid:1000 admin".
  std::vector<std::string> callers() const;
  size_t streams() const;

 private:
  // The generated classes are not for everybody's compiler warnings.
  class Service;
  const std::unique_ptr<Service> service_;
};

// A channel with connections of its own, which no proxy is asked for.
std::shared_ptr<grpc::Channel> ConnectTo(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials =
        grpc::InsecureChannelCredentials());

// A context whose call does not last for ever.
std::unique_ptr<grpc::ClientContext> Patient();

// One call of GetLogLevel, and of SetLogLevel.
grpc::Status Read(const std::shared_ptr<grpc::Channel>& channel);
grpc::Status Change(const std::shared_ptr<grpc::Channel>& channel);
// What the health service says of the whole server: "SERVING", "NOT_SERVING",
// or its error.
std::string Health(const std::shared_ptr<grpc::Channel>& channel);
// What server reflection answers when asked for the services, as bytes; or its
// error.
std::string Reflect(const std::shared_ptr<grpc::Channel>& channel);

// Connects to a Unix socket as `user`, who must be ourselves or may be anybody
// if we are root. Invalid if refused, and errno is `*error`.
net::UniqueFd ConnectAs(uid_t user, const std::string& path, int* error);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FAKE_CONTROL_FAKE_CONTROL_H_
