// A stream of messages to one caller of the control service.
#ifndef CORDON_DTLS_CONTROL_STREAM_H_
#define CORDON_DTLS_CONTROL_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cordon::dtls::control {

// What the service keeps of streams: how to end them, and how many there are.
class StreamBase {
 public:
  virtual ~StreamBase() = default;
  // Ends the stream, now or when the message that is being sent is through.
  virtual void End(const grpc::Status& status) = 0;
};

// One message at a time is on its way: gRPC's flow control reaches up to here.
// Lives until gRPC is done with it and nobody else holds it.
template <typename Message>
class Stream : public grpc::ServerWriteReactor<Message>,
               public StreamBase,
               public std::enable_shared_from_this<Stream<Message>> {
 public:
  // To be called once, with what holds it; `gone` is called when gRPC is done.
  void Hold(std::shared_ptr<Stream> self, std::function<void()> gone) {
    self_ = std::move(self);
    gone_ = std::move(gone);
  }

  void End(const grpc::Status& status) override {
    absl::MutexLock lock(&mutex_);
    if (ended_) return;
    ended_ = true;
    OnEnding();
    end_status_ = status;
    if (!writing_) this->Finish(status);
  }

 protected:
  // Sends a message; `OnSent` follows. False: the stream has ended. Not while
  // one is being sent.
  bool Send(Message message) {
    absl::MutexLock lock(&mutex_);
    if (ended_) return false;
    message_ = std::move(message);
    writing_ = true;
    this->StartWrite(&message_);
    return true;
  }
  bool ended() const {
    absl::MutexLock lock(&mutex_);
    return ended_;
  }
  // The message is out, and the next may be sent.
  virtual void OnSent() = 0;
  virtual void OnEnded() = 0;
  // Nothing more will be sent: what is going on for the stream may end. Called
  // while the stream is locked: must be quick, and call nothing of it.
  virtual void OnEnding() {}

 private:
  void OnWriteDone(bool ok) final {
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      if (!ok && !ended_) {
        ended_ = true;
        OnEnding();
        end_status_ =
            grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone");
      }
      if (ended_) {
        this->Finish(end_status_);
        return;
      }
    }
    OnSent();
  }
  void OnCancel() final {
    End(grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone"));
  }
  void OnDone() final {
    OnEnded();
    gone_();
    const std::shared_ptr<Stream> self = std::move(self_);
  }

  std::shared_ptr<Stream> self_;
  std::function<void()> gone_;

  mutable absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status end_status_ ABSL_GUARDED_BY(mutex_);
  Message message_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_STREAM_H_
