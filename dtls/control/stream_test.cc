#include "cordon/dtls/control/stream.h"

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "cordon/dtls/control/control.grpc.pb.h"
#include "cordon/testing/process/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;
using ::cordon::testing::kPatience;
using ::testing::ElementsAre;

// More than gRPC takes of a caller that does not read.
constexpr size_t kLarge = size_t{3} << 20;

// What happens to a stream, in order.
class Journal {
 public:
  void Add(std::string what) {
    absl::MutexLock lock(&mutex_);
    entries_.push_back(std::move(what));
  }
  // Waits until there are so many, and returns them.
  std::vector<std::string> Wait(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return entries_.size() >= count;
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
    return entries_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> entries_ ABSL_GUARDED_BY(mutex_);
};

class TestStream final : public Stream<v1::SessionEvent> {
 public:
  explicit TestStream(Journal* journal) : journal_(journal) {}
  ~TestStream() override { journal_->Add("destroyed"); }

  bool SendText(std::string text) {
    v1::SessionEvent event;
    event.set_reason(std::move(text));
    return Send(std::move(event));
  }
  using Stream::ended;
  // Sends these, one after the other, and ends.
  void SendAll(std::vector<std::string> texts) {
    rest_ = std::move(texts);
    OnSent();
  }

 private:
  void OnSent() override {
    journal_->Add("sent");
    if (rest_.empty()) return;
    const std::string text = rest_.front();
    rest_.erase(rest_.begin());
    // Once it is sent, another thread may be here.
    const bool last = rest_.empty();
    SendText(text);
    if (last) End(grpc::Status::OK);
  }
  void OnEnded() override { journal_->Add("ended"); }

  Journal* const journal_;
  std::vector<std::string> rest_;
};

class Service final : public v1::Control::CallbackService {
 public:
  explicit Service(Journal* journal) : journal_(journal) {}

  grpc::ServerWriteReactor<v1::SessionEvent>* WatchSessions(
      grpc::CallbackServerContext* /*context*/,
      const v1::WatchSessionsRequest* /*request*/) override {
    auto stream = std::make_shared<TestStream>(journal_);
    stream->Hold(stream, [this] { journal_->Add("gone"); });
    TestStream* const raw = stream.get();
    absl::MutexLock lock(&mutex_);
    stream_ = std::move(stream);
    return raw;
  }
  // The stream of the caller, once.
  std::shared_ptr<TestStream> Take() {
    absl::MutexLock lock(&mutex_);
    const auto any = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return stream_ != nullptr;
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&any), kPatience));
    return std::exchange(stream_, nullptr);
  }

 private:
  Journal* const journal_;
  absl::Mutex mutex_;
  std::shared_ptr<TestStream> stream_ ABSL_GUARDED_BY(mutex_);
};

class StreamTest : public ::testing::Test {
 protected:
  StreamTest() {
    const std::string address = absl::StrCat("unix:", folder_.path(), "/s");
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    server_ = builder.BuildAndStart();
    stub_ = v1::Control::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    reader_ = stub_->WatchSessions(&context_, v1::WatchSessionsRequest());
    stream_ = service_.Take();
  }
  ~StreamTest() override {
    context_.TryCancel();
    if (!finished_) reader_->Finish();
    stream_.reset();
    server_->Shutdown();
    server_->Wait();
  }

  // "end" at the end.
  std::string Read() {
    v1::SessionEvent event;
    return reader_->Read(&event) ? event.reason() : "end";
  }
  grpc::Status Finish() {
    finished_ = true;
    return reader_->Finish();
  }

  const testing::TemporaryFolder folder_{"/tmp"};
  Journal journal_;
  Service service_{&journal_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Control::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::SessionEvent>> reader_;
  std::shared_ptr<TestStream> stream_;
  bool finished_ = false;
};

TEST_F(StreamTest, MessagesArriveInOrder) {
  ASSERT_TRUE(stream_->SendText("one"));
  EXPECT_THAT(journal_.Wait(1), ElementsAre("sent"));
  ASSERT_TRUE(stream_->SendText("two"));
  EXPECT_THAT(journal_.Wait(2), ElementsAre("sent", "sent"));
  EXPECT_EQ(Read(), "one");
  EXPECT_EQ(Read(), "two");
  EXPECT_FALSE(stream_->ended());
  stream_->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "we close"));
  EXPECT_TRUE(stream_->ended());
  EXPECT_EQ(Read(), "end");
  const grpc::Status status = Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "we close");
}

TEST_F(StreamTest, TheFirstEndCounts) {
  stream_->End(grpc::Status(grpc::StatusCode::ABORTED, "first"));
  stream_->End(grpc::Status::OK);
  EXPECT_FALSE(stream_->SendText("too late"));
  EXPECT_EQ(Read(), "end");
  EXPECT_EQ(Finish().error_message(), "first");
}

TEST_F(StreamTest, AnEndWaitsForTheMessageThatIsBeingSent) {
  const std::string large(kLarge, 'x');
  ASSERT_TRUE(stream_->SendText(large));
  // Nobody has read, so it is on its way still.
  stream_->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "we close"));
  EXPECT_TRUE(stream_->ended());
  EXPECT_FALSE(stream_->SendText("too late"));
  EXPECT_EQ(Read(), large);
  EXPECT_EQ(Read(), "end");
  EXPECT_EQ(Finish().error_message(), "we close");
  // The next one is not asked for: where gRPC had a place for the message at
  // once, that was before the end.
  std::vector<std::string> journal = journal_.Wait(2);
  if (journal.front() == "sent") {
    journal = journal_.Wait(3);
    journal.erase(journal.begin());
  }
  EXPECT_THAT(journal, ElementsAre("ended", "gone"));
}

TEST_F(StreamTest, ASlowCallerGetsEverythingAsItReads) {
  const std::vector<std::string> texts = {std::string(kLarge, 'a'),
                                          std::string(kLarge, 'b'),
                                          std::string(kLarge, 'c')};
  stream_->SendAll(texts);
  for (const std::string& text : texts) EXPECT_EQ(Read(), text);
  EXPECT_EQ(Read(), "end");
  EXPECT_TRUE(Finish().ok());
}

TEST_F(StreamTest, ACallerThatGoesEndsIt) {
  context_.TryCancel();
  EXPECT_THAT(journal_.Wait(2), ElementsAre("ended", "gone"));
  EXPECT_TRUE(stream_->ended());
  EXPECT_FALSE(stream_->SendText("too late"));
  EXPECT_EQ(Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(StreamTest, ACallerThatGoesWhileAMessageIsBeingSentEndsIt) {
  ASSERT_TRUE(stream_->SendText(std::string(kLarge, 'x')));
  context_.TryCancel();
  std::vector<std::string> events = journal_.Wait(2);
  // gRPC may have taken the message before it learns that the caller has gone.
  if (events.front() == "sent") {
    events = journal_.Wait(3);
    events.erase(events.begin());
  }
  EXPECT_THAT(events, ElementsAre("ended", "gone"));
  EXPECT_TRUE(stream_->ended());
}

TEST_F(StreamTest, LivesUntilNobodyHoldsIt) {
  stream_->End(grpc::Status::OK);
  EXPECT_TRUE(Finish().ok());
  EXPECT_THAT(journal_.Wait(2), ElementsAre("ended", "gone"));
  // Whoever holds it may still ask.
  EXPECT_FALSE(stream_->SendText("too late"));
  stream_->End(grpc::Status::OK);
  stream_.reset();
  EXPECT_THAT(journal_.Wait(3), ElementsAre("ended", "gone", "destroyed"));
}

TEST_F(StreamTest, LivesUntilGrpcIsDoneWithIt) {
  TestStream* const stream = stream_.get();
  stream_.reset();
  ASSERT_TRUE(stream->SendText("one"));
  EXPECT_THAT(journal_.Wait(1), ElementsAre("sent"));
  EXPECT_EQ(Read(), "one");
  context_.TryCancel();
  EXPECT_THAT(journal_.Wait(4),
              ElementsAre("sent", "ended", "gone", "destroyed"));
}

}  // namespace
}  // namespace cordon::dtls::control
