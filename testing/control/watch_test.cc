// Streams: of sessions and of statistics.
#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cordon/dtls/error.h"
#include "cordon/testing/control/call.h"
#include "cordon/testing/control/controlled_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Stub = v1::Control::Stub;

class Watch {
 public:
  Watch(Stub& stub, const std::string& request) {
    reader_ =
        stub.WatchSessions(&context_, Parse<v1::WatchSessionsRequest>(request));
  }
  ~Watch() {
    context_.TryCancel();
    if (!finished_) reader_->Finish();
  }

  // The next event; of no kind at the end.
  v1::SessionEvent Next() {
    v1::SessionEvent event;
    if (!reader_->Read(&event)) event.Clear();
    return event;
  }
  // The events up to the first of this kind.
  std::vector<v1::SessionEvent> Until(v1::SessionEvent::Kind kind) {
    std::vector<v1::SessionEvent> events;
    while (true) {
      events.push_back(Next());
      if (events.back().kind() == kind) return events;
      if (events.back().kind() == v1::SessionEvent::KIND_UNSPECIFIED) {
        ADD_FAILURE() << "the stream has ended";
        return events;
      }
    }
  }
  grpc::Status Finish() {
    finished_ = true;
    return reader_->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::SessionEvent>> reader_;
  bool finished_ = false;
};

TEST(WatchSessionsTest, TellsWhatIsPresentAndThenWhatHappens) {
  ControlledServer server({.listeners = {"public", "internal"}});
  ClientCrowd crowd;
  crowd.Connect(server.endpoint(0), ClientCrowd::ContextWith(), 200);
  Watch watch(server.stub(), "");
  std::map<uint64_t, v1::SessionState> known;
  for (const v1::SessionEvent& event : watch.Until(v1::SessionEvent::SYNCED)) {
    if (event.kind() == v1::SessionEvent::SYNCED) continue;
    EXPECT_EQ(event.kind(), v1::SessionEvent::PRESENT);
    EXPECT_TRUE(
        known.emplace(event.session().id(), event.session().state()).second);
  }
  EXPECT_EQ(known.size(), 200U);

  ClientCrowd newcomer;
  newcomer.Connect(server.endpoint(1), ClientCrowd::ContextWith());
  const v1::SessionEvent opened = watch.Next();
  EXPECT_EQ(opened.kind(), v1::SessionEvent::OPENED);
  EXPECT_EQ(opened.session().listener(), "internal");
  EXPECT_EQ(known.count(opened.session().id()), 0U);
  v1::SessionEvent changed = watch.Next();
  while (changed.session().state() != v1::SESSION_STATE_CONNECTED) {
    ASSERT_EQ(changed.kind(), v1::SessionEvent::CHANGED);
    changed = watch.Next();
  }
  EXPECT_EQ(changed.session().id(), opened.session().id());
  EXPECT_FALSE(changed.session().cipher().empty());

  newcomer.Close();
  const v1::SessionEvent closed = watch.Until(v1::SessionEvent::CLOSED).back();
  EXPECT_EQ(closed.session().id(), opened.session().id());
  EXPECT_FALSE(closed.reason().empty());
}

TEST(WatchSessionsTest, SkipsWhatIsPresentAndWhatDoesNotMatch) {
  ControlledServer server({.listeners = {"public", "internal"}});
  ClientCrowd crowd;
  crowd.Connect(server.endpoint(0), ClientCrowd::ContextWith(), 5);
  Watch watch(server.stub(),
              "skip_present: true filter { listener: \"internal\" states: "
              "SESSION_STATE_CONNECTED }");
  EXPECT_EQ(watch.Next().kind(), v1::SessionEvent::SYNCED);
  crowd.Connect(server.endpoint(0), ClientCrowd::ContextWith(), 5);
  crowd.Connect(server.endpoint(1), ClientCrowd::ContextWith());
  const v1::SessionEvent event = watch.Next();
  EXPECT_EQ(event.kind(), v1::SessionEvent::CHANGED);
  EXPECT_EQ(event.session().listener(), "internal");
  EXPECT_EQ(event.session().state(), v1::SESSION_STATE_CONNECTED);
}

TEST(WatchSessionsTest, ReasonsOfAnOperatorAreTold) {
  ControlledServer server;
  ClientCrowd crowd;
  crowd.Connect(server.endpoint(), ClientCrowd::ContextWith());
  Watch watch(server.stub(), "");
  watch.Until(v1::SessionEvent::SYNCED);
  Call(server.stub(), &Stub::CloseSessions,
       "filter { peer_prefix: \"0.0.0.0/0\" } reason: \"too \\n loud\"");
  EXPECT_THAT(watch.Until(v1::SessionEvent::CLOSED).back().reason(),
              HasSubstr("too"));
}

// A watcher that reads nothing costs no more than its queue, and gets what is
// present anew.
TEST(WatchSessionsTest, SlowWatchersAreToldThatTheyMissedEvents) {
  ControlledServer server;
  // Takes no more than it is read.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 16384);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  auto stub = v1::Control::NewStub(grpc::CreateCustomChannel(
      server.target(), grpc::InsecureChannelCredentials(), arguments));
  Watch slow(*stub, "");
  slow.Until(v1::SessionEvent::SYNCED);
  ClientCrowd crowd;
  // Each session is opened, changed some times and closed: more than the queue
  // holds.
  uint64_t opened = 0;
  for (int round = 0; round < 12; ++round) {
    ClientCrowd passing;
    for (const absl::Status& status :
         passing.Connect(server.endpoint(), ClientCrowd::ContextWith(), 150)) {
      opened += status.ok() ? 1 : 0;
    }
    passing.Close();
  }
  crowd.Connect(server.endpoint(), ClientCrowd::ContextWith(), 10);
  EXPECT_EQ(opened, 1800U);
  const v1::SessionEvent missed = slow.Until(v1::SessionEvent::MISSED).back();
  EXPECT_GE(missed.missed(), 1000U);
  std::map<uint64_t, v1::SessionEvent::Kind> known;
  for (const v1::SessionEvent& event : slow.Until(v1::SessionEvent::SYNCED)) {
    if (event.kind() == v1::SessionEvent::SYNCED) continue;
    if (event.kind() == v1::SessionEvent::CLOSED) {
      known.erase(event.session().id());
    } else {
      known[event.session().id()] = event.kind();
    }
  }
  EXPECT_EQ(known.size(), 10U);
}

TEST(WatchSessionsTest, BadFiltersAreRefused) {
  ControlledServer server;
  Watch watch(server.stub(), "filter { listener: \"nope\" }");
  EXPECT_EQ(watch.Next().kind(), v1::SessionEvent::KIND_UNSPECIFIED);
  const grpc::Status status = watch.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), StartsWith("filter.listener: "));
}

TEST(WatchSessionsTest, StreamsHaveALimit) {
  ControlledServer server;
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < 64; ++i) {
    watches.push_back(std::make_unique<Watch>(server.stub(), ""));
    watches.back()->Until(v1::SessionEvent::SYNCED);
  }
  // The limit may be that of a connection, where a call waits, or ours.
  grpc::ChannelArguments arguments;
  arguments.SetInt("another connection", 1);
  auto stub = v1::Control::NewStub(grpc::CreateCustomChannel(
      server.target(), grpc::InsecureChannelCredentials(), arguments));
  Watch refused(*stub, "");
  EXPECT_EQ(refused.Next().kind(), v1::SessionEvent::KIND_UNSPECIFIED);
  EXPECT_EQ(refused.Finish().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  watches.pop_back();
  // Its place is free as soon as the server has noticed.
  for (int i = 0; i < 1000; ++i) {
    Watch again(*stub, "");
    if (again.Next().kind() == v1::SessionEvent::SYNCED) return;
  }
  ADD_FAILURE() << "no place became free";
}

TEST(WatchSessionsTest, TheEndOfTheServiceEndsStreams) {
  ControlledServer server;
  Watch sessions(server.stub(), "");
  sessions.Until(v1::SessionEvent::SYNCED);
  grpc::ClientContext context;
  auto statistics =
      server.stub().WatchStatistics(&context, v1::WatchStatisticsRequest());
  v1::Statistics first;
  ASSERT_TRUE(statistics->Read(&first));
  std::thread stopper([&] { server.StopControl(); });
  while (sessions.Next().kind() != v1::SessionEvent::KIND_UNSPECIFIED) {
  }
  EXPECT_EQ(sessions.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  while (statistics->Read(&first)) {
  }
  EXPECT_EQ(statistics->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  stopper.join();
}

TEST(StatisticsTest, AreByListenerAndInAll) {
  ControlledServer server({.listeners = {"public", "public", "internal"}});
  ClientCrowd crowd;
  for (size_t i = 0; i < 3; ++i) {
    crowd.Connect(server.endpoint(i), ClientCrowd::ContextWith(), 2);
  }
  dtls::ClientOptions distrustful;
  distrustful.trust = TestAuthority("Other CA").trust();
  const absl::Status refused =
      crowd.Connect(server.endpoint(2), *dtls::Context::Client(distrustful))[0];
  EXPECT_FALSE(refused.ok());

  // The server believes an alert in the clear only after a while.
  grpc::ClientContext watching;
  auto reader = server.stub().WatchStatistics(
      &watching,
      Parse<v1::WatchStatisticsRequest>("interval { nanos: 100000000 }"));
  v1::Statistics all;
  while (reader->Read(&all) && all.total().sessions_half_open() > 0) {
  }
  watching.TryCancel();
  (void)reader->Finish();
  EXPECT_EQ(all.total().sessions_accepted(), 7U);
  EXPECT_EQ(all.total().handshakes_begun(), 7U);
  EXPECT_EQ(all.total().handshakes_completed(), 6U);
  EXPECT_EQ(all.total().handshakes_failed().at("peer_alert"), 1U);
  EXPECT_EQ(all.total().cookies().accepted(), 7U);
  EXPECT_GE(all.total().cookies().sent(), 7U);
  EXPECT_EQ(all.total().traffic().messages_received(), 6U);
  EXPECT_GT(all.total().socket().datagrams_received(), 20U);
  const v1::Histogram& times = all.total().handshake_time();
  EXPECT_EQ(times.counts_size(), times.bounds_size() + 1);
  uint64_t counted = 0;
  for (uint64_t count : times.counts()) counted += count;
  EXPECT_EQ(counted, 6U);
  ASSERT_EQ(all.listeners_size(), 2);
  EXPECT_EQ(all.listeners(0).listener(), "internal");
  EXPECT_EQ(all.listeners(1).listener(), "public");
  EXPECT_EQ(all.listeners(1).handshakes_completed(), 4U);
  EXPECT_EQ(all.reactors_size(), 3);
  EXPECT_GT(all.process().resident_bytes(), 1U << 20);
  EXPECT_GT(all.process().cpu_seconds(), 0);

  const v1::Statistics some =
      Call(server.stub(), &Stub::GetStatistics, "listener: \"internal\"");
  EXPECT_EQ(some.total().handshakes_completed(), 2U);
  EXPECT_EQ(some.listeners_size(), 1);
  grpc::Status status;
  Call(server.stub(), &Stub::GetStatistics, "listener: \"nope\"", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
}

// ACCEPTANCE: HE7
TEST(StatisticsTest, AreToldWhileAllIsBeingEnded) {
  ControlledServer server({.listeners = {"public", "public", "internal"}});
  ClientCrowd crowd;
  for (size_t i = 0; i < 3; ++i) {
    crowd.Connect(server.endpoint(i), ClientCrowd::ContextWith(), 20);
  }
  std::thread reader([&] {
    grpc::Status status;
    while (status.ok()) {
      const v1::Statistics statistics =
          Call(server.stub(), &Stub::GetStatistics, "", &status);
      EXPECT_LE(statistics.total().sessions(), 60U);
      EXPECT_LE(statistics.total().handshakes_completed(), 60U);
    }
    // One that is under way is cancelled.
    EXPECT_TRUE(status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                status.error_code() == grpc::StatusCode::CANCELLED)
        << status.error_message();
  });
  for (const char* name : {"internal", "public"}) {
    Call(server.stub(), &Stub::CloseSessions,
         Parse<v1::CloseSessionsRequest>(
             absl::StrCat("filter { listener: \"", name, "\" }")));
  }
  for (const absl::Status& end : crowd.WaitForEnds(60)) {
    EXPECT_TRUE(dtls::IsClosed(end)) << end;
  }
  server.StopControl();
  reader.join();
}

TEST(StatisticsTest, AreStreamedInAnInterval) {
  ControlledServer server;
  grpc::ClientContext context;
  auto reader = server.stub().WatchStatistics(
      &context,
      Parse<v1::WatchStatisticsRequest>("interval { nanos: 100000000 }"));
  v1::Statistics first;
  v1::Statistics second;
  v1::Statistics third;
  ASSERT_TRUE(reader->Read(&first));
  ASSERT_TRUE(reader->Read(&second));
  ASSERT_TRUE(reader->Read(&third));
  EXPECT_EQ(first.started().seconds(), third.started().seconds());
  EXPECT_LT(first.time().seconds() * 1'000'000'000LL + first.time().nanos(),
            third.time().seconds() * 1'000'000'000LL + third.time().nanos());
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST(StatisticsTest, BadIntervalsAreRefused) {
  ControlledServer server;
  for (const char* interval :
       {"nanos: 1000", "seconds: -1", "seconds: 100000"}) {
    grpc::ClientContext context;
    auto reader = server.stub().WatchStatistics(
        &context, Parse<v1::WatchStatisticsRequest>(
                      absl::StrCat("interval { ", interval, " }")));
    v1::Statistics none;
    EXPECT_FALSE(reader->Read(&none));
    const grpc::Status status = reader->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), StartsWith("interval: "));
  }
}

}  // namespace
}  // namespace cordon::testing
