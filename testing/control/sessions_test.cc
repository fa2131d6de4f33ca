// What is told of sessions, and closing them.
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cordon/dtls/error.h"
#include "cordon/testing/control/call.h"
#include "cordon/testing/control/controlled_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Stub = v1::Control::Stub;

constexpr char kRobot[] = "spiffe://example.org/robot";

dtls::ServerOptions AsksForCertificates() {
  dtls::ServerOptions options;
  options.verification.mode = dtls::PeerVerification::kVerifyIfGiven;
  options.client_trust = ControlledServer::Authority().trust();
  return options;
}

dtls::Certificate Robot() {
  return ControlledServer::Authority().Issue(
      {.common_name = "robot",
       .dns_names = {"robot.example.org"},
       .uris = {kRobot}});
}

std::vector<uint64_t> IdsOf(const v1::ListSessionsResponse& response) {
  std::vector<uint64_t> ids;
  for (const v1::Session& session : response.sessions()) {
    ids.push_back(session.id());
  }
  return ids;
}

class SessionsTest : public ::testing::Test {
 protected:
  v1::ListSessionsResponse List(const std::string& request,
                                grpc::Status* status = nullptr) {
    return Call(server_.stub(), &Stub::ListSessions,
                Parse<v1::ListSessionsRequest>(request), status);
  }
  std::vector<uint64_t> Ids(const std::string& request) {
    return IdsOf(List(request));
  }
  void ExpectRefused(const std::string& request, grpc::StatusCode code,
                     const std::string& message) {
    grpc::Status status;
    List(request, &status);
    EXPECT_EQ(status.error_code(), code) << request;
    EXPECT_THAT(status.error_message(), HasSubstr(message)) << request;
  }

  ControlledServer server_{{.server = AsksForCertificates(),
                            .listeners = {"public", "public", "internal"}}};
  ClientCrowd crowd_;
};

TEST_F(SessionsTest, ListenersAreListed) {
  crowd_.Connect(server_.endpoint(2), ClientCrowd::ContextWith(), 3);
  const v1::ListListenersResponse response =
      Call(server_.stub(), &Stub::ListListeners, "");
  ASSERT_EQ(response.listeners_size(), 3);
  std::set<uint32_t> reactors;
  for (int i = 0; i < 3; ++i) {
    const v1::Listener& listener = response.listeners(i);
    EXPECT_EQ(listener.local_address(),
              server_.endpoint(static_cast<size_t>(i)).ToString());
    EXPECT_EQ(listener.name(), i < 2 ? "public" : "internal");
    EXPECT_EQ(listener.sessions(), i < 2 ? 0U : 3U);
    EXPECT_FALSE(listener.draining());
    EXPECT_TRUE(listener.backend() == "io_uring" ||
                listener.backend() == "epoll");
    reactors.insert(listener.reactor());
  }
  EXPECT_EQ(reactors.size(), 3U);
}

TEST_F(SessionsTest, EverythingIsToldOfASession) {
  ASSERT_THAT(
      crowd_.Connect(server_.endpoint(2), ClientCrowd::ContextWith(Robot())),
      ElementsAre(absl::OkStatus()));
  const v1::ListSessionsResponse response = List("");
  ASSERT_EQ(response.sessions_size(), 1);
  const v1::Session& s = response.sessions(0);
  EXPECT_GT(s.id(), 0U);
  EXPECT_EQ(s.listener(), "internal");
  EXPECT_THAT(s.peer_address(), StartsWith("127.0.0.1:"));
  EXPECT_EQ(s.local_address(), server_.endpoint(2).ToString());
  EXPECT_EQ(s.state(), v1::SESSION_STATE_CONNECTED);
  EXPECT_EQ(s.version(), "DTLSv1.2");
  EXPECT_THAT(s.cipher(), HasSubstr("GCM"));
  EXPECT_FALSE(s.group().empty());
  EXPECT_FALSE(s.signature_algorithm().empty());
  EXPECT_EQ(s.server_name(), "localhost");
  EXPECT_FALSE(s.resumed());
  const v1::Certificate& certificate = s.peer_certificate();
  EXPECT_THAT(certificate.subject(), HasSubstr("CN=robot"));
  EXPECT_THAT(certificate.issuer(), HasSubstr("CN=Control CA"));
  EXPECT_THAT(certificate.dns_names(), ElementsAre("robot.example.org"));
  EXPECT_THAT(certificate.uris(), ElementsAre(kRobot));
  EXPECT_EQ(certificate.fingerprint().size(), 64U);
  EXPECT_EQ(certificate.spki_fingerprint().size(), 64U);
  EXPECT_FALSE(certificate.serial().empty());
  EXPECT_EQ(certificate.not_before().seconds(), 1'600'000'000);
  EXPECT_EQ(certificate.not_after().seconds(), 2'500'000'000);
  EXPECT_TRUE(s.verification().verified());
  EXPECT_EQ(s.verification().policy_version(), 1U);
  EXPECT_GT(s.opened().seconds(), 0);
  EXPECT_GE(s.last_activity().seconds(), s.opened().seconds());
  EXPECT_GT(s.handshake_duration().seconds() * 1'000'000'000 +
                s.handshake_duration().nanos(),
            0);
  EXPECT_EQ(s.traffic().messages_received(), 1U);
  EXPECT_EQ(s.traffic().messages_sent(), 1U);
  EXPECT_EQ(s.traffic().message_bytes_received(), 5U);
  EXPECT_GT(s.traffic().bytes_received(), 100U);
  EXPECT_GT(s.mtu(), 500U);

  v1::GetSessionRequest one;
  one.set_id(s.id());
  // Times are by two clocks, whose difference is measured each time.
  v1::Session again = Call(server_.stub(), &Stub::GetSession, one);
  *again.mutable_opened() = s.opened();
  *again.mutable_last_activity() = s.last_activity();
  EXPECT_EQ(again.DebugString(), s.DebugString());
  one.set_id(s.id() + 1000);
  grpc::Status status;
  Call(server_.stub(), &Stub::GetSession, one, &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), StartsWith("id: "));
}

TEST_F(SessionsTest, PagesTellEachSessionOnce) {
  for (size_t i = 0; i < 3; ++i) {
    crowd_.Connect(server_.endpoint(i), ClientCrowd::ContextWith(), 7);
  }
  for (const char* order :
       {"SESSION_ORDER_ID", "SESSION_ORDER_AGE", "SESSION_ORDER_TRAFFIC",
        "SESSION_ORDER_IDLE", "SESSION_ORDER_PEER"}) {
    SCOPED_TRACE(order);
    std::vector<uint64_t> ids;
    std::string token;
    int pages = 0;
    do {
      const v1::ListSessionsResponse page = List(absl::StrCat(
          "page_size: 4 order: ", order, " page_token: \"", token, "\""));
      EXPECT_LE(page.sessions_size(), 4);
      for (uint64_t id : IdsOf(page)) ids.push_back(id);
      token = page.next_page_token();
      ++pages;
    } while (!token.empty() && pages < 20);
    EXPECT_EQ(pages, 6);
    EXPECT_EQ(ids.size(), 21U);
    EXPECT_EQ(std::set<uint64_t>(ids.begin(), ids.end()).size(), 21U);
    if (order == absl::string_view("SESSION_ORDER_ID")) {
      EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
    } else if (order == absl::string_view("SESSION_ORDER_AGE")) {
      EXPECT_TRUE(std::is_sorted(ids.rbegin(), ids.rend()));
    }
  }
}

TEST_F(SessionsTest, FiltersTellWhatMatches) {
  crowd_.Connect(server_.endpoint(0), ClientCrowd::ContextWith(), 2);
  crowd_.Connect(server_.endpoint(2), ClientCrowd::ContextWith(Robot()), 1);
  const std::vector<uint64_t> all = Ids("");
  ASSERT_EQ(all.size(), 3U);
  const std::vector<uint64_t> robot = {all[2]};
  const std::vector<uint64_t> others = {all[0], all[1]};
  const std::string fingerprint = List("filter { listener: \"internal\" }")
                                      .sessions(0)
                                      .peer_certificate()
                                      .fingerprint();

  EXPECT_EQ(Ids("filter { listener: \"public\" }"), others);
  EXPECT_EQ(Ids("filter { peer_name: \"ROBOT.example\" }"), robot);
  EXPECT_EQ(Ids(absl::StrCat("filter { peer_name: \"", kRobot, "\" }")), robot);
  EXPECT_EQ(Ids("filter { peer_name: \"nobody\" }"), std::vector<uint64_t>());
  EXPECT_EQ(Ids(absl::StrCat("filter { fingerprint: \"",
                             fingerprint.substr(0, 12), "\" }")),
            robot);
  EXPECT_EQ(Ids("filter { peer_prefix: \"127.0.0.0/8\" }"), all);
  EXPECT_EQ(Ids("filter { peer_prefix: \"127.0.0.1\" }"), all);
  EXPECT_EQ(Ids("filter { peer_prefix: \"10.0.0.0/8\" }"),
            std::vector<uint64_t>());
  EXPECT_EQ(Ids("filter { peer_prefix: \"::/0\" }"), std::vector<uint64_t>());
  EXPECT_EQ(Ids("filter { states: SESSION_STATE_CONNECTED }"), all);
  EXPECT_EQ(Ids("filter { states: SESSION_STATE_HANDSHAKING }"),
            std::vector<uint64_t>());
  EXPECT_EQ(Ids("filter { min_age { seconds: 3600 } }"),
            std::vector<uint64_t>());
  EXPECT_EQ(Ids("filter { max_age { seconds: 3600 } }"), all);
  EXPECT_EQ(Ids("filter { min_idle { seconds: 3600 } }"),
            std::vector<uint64_t>());
  EXPECT_EQ(Ids("filter { min_bytes: 100 }"), all);
  EXPECT_EQ(Ids("filter { min_bytes: 1000000 }"), std::vector<uint64_t>());
  EXPECT_EQ(Ids("filter { resumed: false }"), all);
  EXPECT_EQ(Ids("filter { resumed: true }"), std::vector<uint64_t>());
  EXPECT_EQ(Ids("filter { policy_version_below: 1 }"), std::vector<uint64_t>());
  EXPECT_EQ(Ids("filter { policy_version_below: 2 }"), all);
}

TEST_F(SessionsTest, BadRequestsNameTheField) {
  using enum grpc::StatusCode;
  ExpectRefused("filter { peer_prefix: \"10.0.0.0/33\" }", INVALID_ARGUMENT,
                "filter.peer_prefix: \"10.0.0.0/33\"");
  ExpectRefused("filter { peer_prefix: \"home\" }", INVALID_ARGUMENT,
                "filter.peer_prefix: \"home\"");
  ExpectRefused("filter { fingerprint: \"xyz\" }", INVALID_ARGUMENT,
                "filter.fingerprint: \"xyz\"");
  ExpectRefused("filter { min_age { seconds: -1 } }", INVALID_ARGUMENT,
                "filter.min_age: ");
  ExpectRefused("filter { states: 77 }", INVALID_ARGUMENT,
                "filter.states[0]: ");
  ExpectRefused("filter { listener: \"nope\" }", NOT_FOUND,
                "filter.listener: there is no listener \"nope\"; there is: "
                "internal, public");
  ExpectRefused("page_size: 1001", INVALID_ARGUMENT, "page_size: 1001");
  ExpectRefused("page_token: \"x\"", INVALID_ARGUMENT, "page_token: ");
  ExpectRefused("order: SESSION_ORDER_AGE page_token: \"12-x\"",
                INVALID_ARGUMENT, "page_token: ");
  ExpectRefused("order: SESSION_ORDER_AGE page_token: \"12-4\"",
                INVALID_ARGUMENT, "page_token: ");
  ExpectRefused("order: 9", INVALID_ARGUMENT, "order: 9");
}

TEST_F(SessionsTest, SessionsAreClosedByIdAndTheirPeersAreTold) {
  crowd_.Connect(server_.endpoint(0), ClientCrowd::ContextWith(), 3);
  const std::vector<uint64_t> all = Ids("");
  ASSERT_EQ(all.size(), 3U);
  v1::CloseSessionsRequest request;
  request.add_ids(all[1]);
  request.add_ids(99999);
  request.set_dry_run(true);
  v1::CloseSessionsResponse response =
      Call(server_.stub(), &Stub::CloseSessions, request);
  EXPECT_EQ(response.closed(), 1U);
  EXPECT_THAT(response.not_found(), ElementsAre(99999U));
  EXPECT_EQ(Ids("").size(), 3U);

  request.set_dry_run(false);
  request.set_reason("maintenance");
  response = Call(server_.stub(), &Stub::CloseSessions, request);
  EXPECT_EQ(response.closed(), 1U);
  EXPECT_THAT(response.ids(), ElementsAre(all[1]));
  EXPECT_THAT(response.not_found(), ElementsAre(99999U));
  const std::vector<absl::Status> ends = crowd_.WaitForEnds(1);
  ASSERT_EQ(ends.size(), 1U);
  EXPECT_TRUE(dtls::IsClosed(ends[0])) << ends[0];
  EXPECT_EQ(Ids(""), (std::vector<uint64_t>{all[0], all[2]}));
  EXPECT_THAT(server_.log(), HasSubstr("closes 1 sessions: maintenance"));
  EXPECT_THAT(server_.log(), HasSubstr(absl::StrCat("uid:", geteuid())));
}

TEST_F(SessionsTest, SessionsAreClosedByFilter) {
  crowd_.Connect(server_.endpoint(0), ClientCrowd::ContextWith(), 300);
  crowd_.Connect(server_.endpoint(2), ClientCrowd::ContextWith(), 2);
  const v1::CloseSessionsResponse response = Call(
      server_.stub(), &Stub::CloseSessions, "filter { listener: \"public\" }");
  EXPECT_EQ(response.closed(), 300U);
  EXPECT_EQ(crowd_.WaitForEnds(300).size(), 300U);
  EXPECT_EQ(Ids("page_size: 1000").size(), 2U);

  grpc::Status status;
  Call(server_.stub(), &Stub::CloseSessions, "", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), StartsWith("filter: "));
  Call(server_.stub(), &Stub::CloseSessions,
       "ids: 1 filter { listener: \"public\" }", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace cordon::testing
