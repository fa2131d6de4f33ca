#include "cordon/dtls/control/connection_mark.h"

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cordon::dtls::control {
namespace {

constexpr char kProperty[] = "cordon_connection_mark";

class Marker : public grpc::AuthMetadataProcessor {
 public:
  explicit Marker(std::string mark) : mark_(std::move(mark)) {}

  // There is nothing to wait for: on the thread that reads the call.
  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& /*metadata*/,
                       grpc::AuthContext* connection,
                       OutputMetadata* /*consumed*/,
                       OutputMetadata* /*response*/) override {
    // All calls of a connection share its properties, without a lock. The mark
    // is added for the first one; nothing reads them before its call has been
    // here.
    absl::MutexLock lock(&mutex_);
    if (connection->FindPropertyValues(kProperty).empty()) {
      connection->AddProperty(kProperty, mark_);
    }
    return grpc::Status::OK;
  }

 private:
  const std::string mark_;
  absl::Mutex mutex_;
};

}  // namespace

std::shared_ptr<grpc::AuthMetadataProcessor> MarkConnections(std::string mark) {
  return std::make_shared<Marker>(std::move(mark));
}

std::string MarkOf(const grpc::AuthContext& connection) {
  const std::vector<grpc::string_ref> marks =
      connection.FindPropertyValues(kProperty);
  return marks.empty() ? std::string()
                       : std::string(marks[0].data(), marks[0].size());
}

}  // namespace cordon::dtls::control
