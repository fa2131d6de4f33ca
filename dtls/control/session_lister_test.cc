#include "cordon/dtls/control/session_lister.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/testing/fake_listener/fake_listener.h"
#include "cordon/testing/fake_listener/reactor_thread.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "cordon/testing/sim/virtual_clock.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;
using ::cordon::testing::FakeListener;
using ::cordon::testing::kPatience;
using ::cordon::testing::ReactorThread;
using ::cordon::testing::SimReactor;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SessionListerTest : public ::testing::Test {
 protected:
  SessionListerTest() {
    Listen("a");
    Listen("b");
  }
  ~SessionListerTest() override {
    thread_.Do([&] { listeners_.clear(); });
  }

  void Listen(const std::string& name) {
    thread_.Do([&] {
      listeners_.push_back(
          std::make_unique<FakeListener>(thread_.reactor(), registry_, name));
    });
  }
  void Open(size_t listener, SessionSnapshot session) {
    thread_.Do([&] { listeners_[listener]->Open(std::move(session)); });
  }
  void OpenAll(size_t listener, const std::vector<uint64_t>& ids) {
    for (const uint64_t id : ids) Open(listener, SessionSnapshot{.id = id});
  }
  void Close(size_t listener, uint64_t id) {
    thread_.Do([&] { listeners_[listener]->Close(id, "over"); });
  }
  void End(size_t listener) {
    thread_.Do([&] { listeners_[listener].reset(); });
  }

  struct Page {
    std::vector<uint64_t> ids = {};
    std::string next = {};
    absl::Status status = {};
  };
  Page List(const std::string& text, absl::Duration patience = kPatience) {
    v1::ListSessionsRequest request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request))
        << text;
    v1::ListSessionsResponse response;
    Page page;
    page.status = lister_.List(request, absl::Now() + patience, &response);
    for (const v1::Session& session : response.sessions()) {
      page.ids.push_back(session.id());
    }
    page.next = response.next_page_token();
    return page;
  }
  Page Next(const std::string& request, const Page& before) {
    return List(absl::StrCat(request, " page_token: \"", before.next, "\""));
  }
  std::vector<uint64_t> Ids(const std::string& text) {
    const Page page = List(text);
    EXPECT_EQ(page.status, absl::OkStatus());
    return page.ids;
  }
  void ExpectForgotten(const std::string& request, const Page& before) {
    const Page page = Next(request, before);
    EXPECT_TRUE(absl::IsInvalidArgument(page.status)) << page.status;
    EXPECT_EQ(page.status.message(),
              "page_token: it is no longer good: begin again without one");
    EXPECT_THAT(page.ids, IsEmpty());
  }

  Registry registry_;
  testing::VirtualClock clock_;
  SessionLister lister_{&registry_, &clock_};
  ReactorThread thread_;
  std::vector<std::unique_ptr<FakeListener>> listeners_;
};

constexpr char kByAge[] = "order: SESSION_ORDER_AGE page_size: 2";

TEST_F(SessionListerTest, APageByIdBeginsWhereTheOneBeforeEnded) {
  OpenAll(0, {1, 4, 5});
  OpenAll(1, {2, 3, 6});
  const Page first = List("page_size: 2");
  EXPECT_THAT(first.ids, ElementsAre(1, 2));
  // One ends before it is told, one comes.
  Close(1, 3);
  OpenAll(0, {7});
  const Page second = Next("page_size: 2", first);
  EXPECT_THAT(second.ids, ElementsAre(4, 5));
  const Page third = Next("page_size: 2", second);
  EXPECT_THAT(third.ids, ElementsAre(6, 7));
  EXPECT_EQ(third.next, "");
}

TEST_F(SessionListerTest, PagesOfOnlyWhatMatches) {
  for (uint64_t id = 1; id <= 9; ++id) {
    Open(id % 2, {.id = id, .info = {.resumed = id % 3 == 0}});
  }
  const std::string request = "page_size: 2 filter { resumed: true }";
  const Page first = List(request);
  EXPECT_THAT(first.ids, ElementsAre(3, 6));
  const Page second = Next(request, first);
  EXPECT_THAT(second.ids, ElementsAre(9));
  EXPECT_EQ(second.next, "");
}

TEST_F(SessionListerTest, APageThatIsFullExactlyIsTheLast) {
  OpenAll(0, {1, 2});
  for (const char* order : {"SESSION_ORDER_ID", "SESSION_ORDER_AGE"}) {
    const Page page = List(absl::StrCat("page_size: 2 order: ", order));
    EXPECT_EQ(page.ids.size(), 2U);
    EXPECT_EQ(page.next, "") << order;
  }
}

TEST_F(SessionListerTest, APageHasAHundredSessionsUnlessToldOtherwise) {
  std::vector<uint64_t> ids;
  for (uint64_t id = 1; id <= 101; ++id) ids.push_back(id);
  OpenAll(0, ids);
  EXPECT_EQ(Ids("").size(), 100U);
  EXPECT_EQ(Ids("order: SESSION_ORDER_AGE").size(), 100U);
  EXPECT_EQ(Ids("page_size: 1000").size(), 101U);
  EXPECT_TRUE(absl::IsInvalidArgument(List("page_size: 1001").status));
}

TEST_F(SessionListerTest, WithoutSessionsThereIsOneEmptyPage) {
  for (const char* order : {"SESSION_ORDER_ID", "SESSION_ORDER_PEER"}) {
    const Page page = List(absl::StrCat("order: ", order));
    EXPECT_EQ(page.status, absl::OkStatus());
    EXPECT_THAT(page.ids, IsEmpty());
    EXPECT_EQ(page.next, "");
  }
}

TEST_F(SessionListerTest, OrdersAreOverAllListeners) {
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  Open(0, {.id = 1,
           .last_activity = now,
           .statistics = {.bytes_received = 5, .bytes_sent = 5}});
  Open(1, {.id = 2,
           .last_activity = now - absl::Seconds(2),
           .statistics = {.bytes_received = 11}});
  Open(0, {.id = 3,
           .last_activity = now - absl::Seconds(1),
           .statistics = {.bytes_sent = 12}});
  // As much as the first, and idle as long.
  Open(1,
       {.id = 4, .last_activity = now, .statistics = {.bytes_received = 10}});
  EXPECT_THAT(Ids("order: SESSION_ORDER_AGE"), ElementsAre(4, 3, 2, 1));
  EXPECT_THAT(Ids("order: SESSION_ORDER_TRAFFIC"), ElementsAre(3, 2, 1, 4));
  EXPECT_THAT(Ids("order: SESSION_ORDER_IDLE"), ElementsAre(2, 3, 1, 4));
}

TEST_F(SessionListerTest, PeersAreOrderedByAddressAndThenByPort) {
  const std::vector<std::string> peers = {
      "9.255.255.255:9",   "10.0.0.1:2", "10.0.0.1:10", "127.0.0.1:5",
      "255.255.255.255:1", "[::]:1",     "[::1]:1",     "[::1]:2",
      "[::ffff:ffff]:1",   "[1::]:1",    "[fe80::1]:1", "[fe80::1:0:0:0]:1"};
  std::vector<uint64_t> ids;
  for (size_t i = 0; i < peers.size(); ++i) {
    // The ids go the other way.
    const uint64_t id = 100 - i;
    Open(i % 2, {.id = id, .peer = *net::Endpoint::Parse(peers[i])});
    ids.push_back(id);
  }
  EXPECT_EQ(Ids("order: SESSION_ORDER_PEER"), ids);
}

TEST_F(SessionListerTest, AnOrderStaysAsItWasWhenItWasMade) {
  OpenAll(0, {1, 3, 5});
  OpenAll(1, {2, 4});
  const Page first = List(kByAge);
  EXPECT_THAT(first.ids, ElementsAre(5, 4));
  OpenAll(0, {6, 7});
  const Page second = Next(kByAge, first);
  EXPECT_THAT(second.ids, ElementsAre(3, 2));
  const Page third = Next(kByAge, second);
  EXPECT_THAT(third.ids, ElementsAre(1));
  EXPECT_EQ(third.next, "");
  // A page may be read again.
  EXPECT_THAT(Next(kByAge, first).ids, ElementsAre(3, 2));
}

TEST_F(SessionListerTest, SessionsThatEndBetweenPagesAreLeftOut) {
  OpenAll(0, {1, 3, 5});
  OpenAll(1, {2, 4});
  const Page first = List(kByAge);
  Close(0, 3);
  const Page second = Next(kByAge, first);
  EXPECT_THAT(second.ids, ElementsAre(2));
  EXPECT_NE(second.next, "");
  EXPECT_THAT(Next(kByAge, second).ids, ElementsAre(1));
}

TEST_F(SessionListerTest, SessionsThatStopToMatchBetweenPagesAreLeftOut) {
  OpenAll(0, {1, 2, 3});
  const std::string request =
      absl::StrCat(kByAge, " filter { states: SESSION_STATE_ACCEPTED }");
  const Page first = List(request);
  EXPECT_THAT(first.ids, ElementsAre(3, 2));
  thread_.Do([&] {
    listeners_[0]->Change({.id = 1, .state = EngineState::kConnected});
  });
  const Page second = Next(request, first);
  EXPECT_EQ(second.status, absl::OkStatus());
  EXPECT_THAT(second.ids, IsEmpty());
}

TEST_F(SessionListerTest, AListenerThatEndsBetweenPagesHasNoSessions) {
  OpenAll(0, {1, 3, 5});
  OpenAll(1, {2, 4});
  const Page first = List(kByAge);
  End(0);
  const Page second = Next(kByAge, first);
  EXPECT_EQ(second.status, absl::OkStatus());
  EXPECT_THAT(second.ids, ElementsAre(2));
  const Page third = Next(kByAge, second);
  EXPECT_EQ(third.status, absl::OkStatus());
  EXPECT_THAT(third.ids, IsEmpty());
  EXPECT_EQ(third.next, "");
}

TEST_F(SessionListerTest, AnOrderIsForgottenAWhileAfterItWasUsed) {
  OpenAll(0, {1, 2, 3, 4, 5});
  const Page first = List(kByAge);
  clock_.Advance(SessionLister::kOrderLifetime);
  const Page second = Next(kByAge, first);
  EXPECT_THAT(second.ids, ElementsAre(3, 2));
  // Counted from its last use.
  clock_.Advance(SessionLister::kOrderLifetime);
  EXPECT_THAT(Next(kByAge, second).ids, ElementsAre(1));
  clock_.Advance(SessionLister::kOrderLifetime + absl::Milliseconds(1));
  ExpectForgotten(kByAge, second);
  ExpectForgotten(kByAge, second);
}

TEST_F(SessionListerTest, OfTooManyOrdersTheOneLeftAloneLongestIsForgotten) {
  OpenAll(0, {1, 2, 3});
  std::vector<Page> pages;
  for (size_t i = 0; i < SessionLister::kMaxOrders; ++i) {
    pages.push_back(List(kByAge));
    EXPECT_EQ(pages.back().status, absl::OkStatus());
  }
  // The first is used, so the second goes.
  EXPECT_THAT(Next(kByAge, pages[0]).ids, ElementsAre(1));
  pages.push_back(List(kByAge));
  ExpectForgotten(kByAge, pages[1]);
  for (const size_t kept : {size_t{0}, size_t{2}, pages.size() - 1}) {
    EXPECT_THAT(Next(kByAge, pages[kept]).ids, ElementsAre(1)) << kept;
  }
}

TEST_F(SessionListerTest, ATokenOfAnotherOrderIsRefused) {
  OpenAll(0, {1, 2, 3});
  const Page by_id = List("page_size: 2");
  const Page by_age = List(kByAge);
  for (const auto& [request, token] :
       std::vector<std::pair<std::string, std::string>>{
           {kByAge, by_id.next},
           {"", by_age.next},
           {kByAge, absl::StrCat(by_age.next, "0")},
           {kByAge, absl::StrCat(by_age.next, "x")},
           {kByAge, "-"},
           {kByAge, "-2"}}) {
    const Page page = Next(request, {.next = token});
    EXPECT_TRUE(absl::IsInvalidArgument(page.status)) << token << page.status;
    EXPECT_THAT(std::string(page.status.message()), HasSubstr("page_token: "));
  }
  // Nothing of that has harmed it.
  EXPECT_THAT(Next(kByAge, by_age).ids, ElementsAre(1));
}

TEST_F(SessionListerTest, AListenerThatDoesNotAnswerIsAnError) {
  OpenAll(0, {1, 2, 3});
  const Page before = List(kByAge);
  SimReactor stuck;
  FakeListener silent(stuck, registry_, "silent");
  for (const char* order : {"SESSION_ORDER_ID", "SESSION_ORDER_AGE"}) {
    const Page page =
        List(absl::StrCat("order: ", order), absl::Milliseconds(1));
    EXPECT_TRUE(absl::IsDeadlineExceeded(page.status)) << page.status;
  }
  // Others can be listed still, and an order that is without it goes on.
  EXPECT_THAT(Ids("filter { listener: \"a\" }"), ElementsAre(1, 2, 3));
  EXPECT_THAT(Next(kByAge, before).ids, ElementsAre(1));
}

}  // namespace
}  // namespace cordon::dtls::control
