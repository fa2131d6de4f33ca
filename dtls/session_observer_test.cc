// Those who observe sessions hear of each change, and of nothing else.
#include <openssl/ssl.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimDatagram;
using Kind = SessionEventKind;

class Recorder final : public SessionObserver {
 public:
  struct Event {
    Kind kind;
    EngineState state;
    std::string reason;
  };

  void OnSessionEvent(Kind kind,
                      const std::shared_ptr<const SessionSnapshot>& now,
                      absl::string_view reason) override {
    sessions[now->id].push_back({kind, now->state, std::string(reason)});
    ++events;
  }

  // By id.
  std::map<uint64_t, std::vector<Event>> sessions;
  size_t events = 0;
};

class SessionObserverTest : public ::testing::Test {
 protected:
  void ExpectRuns(const ServedListener::Body& body) {
    EXPECT_EQ(world_.Run([&]() -> net::Task<absl::Status> {
      world_.admin().AddObserver(recorder_);
      co_return co_await body();
    }),
              absl::OkStatus());
  }
  // Whatever happens, each session is opened once, first, and closed once,
  // last; only the last event has a reason.
  void ExpectWhole(size_t sessions) {
    EXPECT_EQ(recorder_->sessions.size(), sessions);
    for (const auto& [id, events] : recorder_->sessions) {
      ASSERT_GE(events.size(), 2U);
      for (size_t i = 0; i < events.size(); ++i) {
        EXPECT_EQ(events[i].kind, i == 0                   ? Kind::kOpened
                                  : i + 1 == events.size() ? Kind::kClosed
                                                           : Kind::kChanged);
        EXPECT_EQ(events[i].reason.empty(), i + 1 < events.size());
      }
    }
  }
  std::vector<EngineState> StatesOf(
      const std::vector<Recorder::Event>& events) {
    std::vector<EngineState> states;
    states.reserve(events.size());
    for (const Recorder::Event& event : events) states.push_back(event.state);
    return states;
  }
  // Of the only session.
  const std::vector<Recorder::Event>& events() {
    return recorder_->sessions.begin()->second;
  }

  ServedListener world_;
  const std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
};

TEST_F(SessionObserverTest, HearsOfEachChange) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "hello"));
    CO_RETURN_IF_ERROR(co_await client.Close());
    co_await ServedListener::Pass(absl::Seconds(1));
    co_return absl::OkStatus();
  });
  ExpectWhole(1);
  EXPECT_EQ(StatesOf(events()),
            (std::vector<EngineState>{
                EngineState::kNotStarted, EngineState::kHandshaking,
                EngineState::kConnected, EngineState::kPeerClosed,
                EngineState::kClosed, EngineState::kClosed}));
  EXPECT_EQ(events().back().reason, "the peer closed the session");
}

TEST_F(SessionObserverTest, DoesNotHearOfTraffic) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    co_await ServedListener::Pass(absl::Seconds(1));
    const size_t before = recorder_->events;
    for (int i = 0; i < 1000; ++i) {
      CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "hello"));
    }
    // Garbage is no change either.
    for (int i = 0; i < 100; ++i) {
      world_.reactor.Inject(client.local(), ServedListener::At(),
                            std::vector<uint8_t>(100, 23));
    }
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_EQ(recorder_->events, before);
    co_return absl::OkStatus();
  });
  ExpectWhole(1);
}

TEST_F(SessionObserverTest, HearsOfManySessionsOnceEach) {
  constexpr size_t kClients = 200;
  world_.reactor.network().impairments().loss = 0.1;
  ExpectRuns([&]() -> net::Task<absl::Status> {
    auto visit = [&](size_t i) -> net::Task<absl::Status> {
      absl::StatusOr<Connection> client = co_await world_.Open();
      // Some have no patience.
      const absl::Status status = co_await net::WithTimeout(
          absl::Milliseconds(i % 5 == 0 ? 15 : 60'000), client->Handshake());
      (void)status;
      co_return absl::OkStatus();
    };
    net::TaskScope scope;
    for (size_t i = 0; i < kClients; ++i) scope.Spawn(visit(i));
    CO_RETURN_IF_ERROR(co_await scope.Join());
    // Until the deadlines of all handshakes.
    co_await ServedListener::Pass(absl::Seconds(40));
    co_return absl::OkStatus();
  });
  EXPECT_GE(recorder_->sessions.size(), kClients / 2);
  ExpectWhole(recorder_->sessions.size());
}

TEST_F(SessionObserverTest, HearsWhyASessionEnded) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    co_await ServedListener::Pass(absl::Seconds(1));
    world_.admin().CloseSession(recorder_->sessions.begin()->first,
                                absl::UnavailableError("for maintenance"),
                                SSL_AD_CLOSE_NOTIFY);
    co_await ServedListener::Pass(absl::Seconds(1));
    co_return absl::OkStatus();
  });
  ExpectWhole(1);
  EXPECT_EQ(events().back().reason, "for maintenance");
}

TEST_F(SessionObserverTest, HearsThatTheServiceHasClosedASession) {
  world_.session = [](Connection& connection) {
    return connection.Handshake();
  };
  ExpectRuns([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect());
    absl::StatusOr<Message> end = co_await client.RecvDecrypted();
    EXPECT_TRUE(IsClosed(end.status())) << end.status();
    co_return absl::OkStatus();
  });
  ExpectWhole(1);
  EXPECT_EQ(events().back().reason, "the service closed it");
}

TEST_F(SessionObserverTest, HearsThatAHandshakeFailed) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    world_.reactor.network().set_filter([](SimDatagram& d) {
      return d.from.port() != 4433 || d.bytes[13] == 3;
    });
    {
      CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Open());
      (void)co_await net::WithTimeout(absl::Seconds(1), client.Handshake());
      world_.reactor.network().set_filter([](SimDatagram&) { return false; });
    }
    co_await ServedListener::Pass(absl::Seconds(31));
    co_return absl::OkStatus();
  });
  ExpectWhole(1);
  EXPECT_TRUE(absl::StrContains(events().back().reason, "not done within 30s"))
      << events().back().reason;
}

TEST_F(SessionObserverTest, HearsThatAPeerHasBegunAnew) {
  ExpectRuns([&]() -> net::Task<absl::Status> {
    ConnectOptions options;
    options.bind = net::Endpoint::LoopbackV4(5000);
    {
      CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect(options));
      co_await ServedListener::Pass(absl::Seconds(1));
      world_.reactor.network().set_filter([](SimDatagram&) { return false; });
    }
    co_await ServedListener::Pass(absl::Seconds(1));
    world_.reactor.network().set_filter(nullptr);
    CO_ASSIGN_OR_RETURN(Connection client, co_await world_.Connect(options));
    co_return co_await ServedListener::Ask(client, "again");
  });
  ExpectWhole(2);
  EXPECT_TRUE(absl::StrContains(events().back().reason, "begun a new session"));
}

TEST_F(SessionObserverTest, OneThatIsRemovedHearsNoMore) {
  auto other = std::make_shared<Recorder>();
  ExpectRuns([&]() -> net::Task<absl::Status> {
    world_.admin().AddObserver(other);
    CO_ASSIGN_OR_RETURN(Connection first, co_await world_.Connect());
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_EQ(other->events, recorder_->events);
    world_.admin().RemoveObserver(other.get());
    EXPECT_EQ(other.use_count(), 1);
    // Nobody minds.
    world_.admin().RemoveObserver(other.get());
    const size_t before = other->events;
    CO_ASSIGN_OR_RETURN(Connection second, co_await world_.Connect());
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_EQ(other->events, before);
    co_return absl::OkStatus();
  });
  ExpectWhole(2);
  // Those who listen are let go with the listener.
  EXPECT_EQ(recorder_.use_count(), 1);
}

}  // namespace
}  // namespace cordon::dtls
