// Listeners and sessions, as cordonctl shows and closes them.
#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "cordon/tools/cordonctl/cordonctl_fixture.h"
#include "cordon/tools/cordonctl/terminal_process.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace cordon::tools::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class SessionsTest : public CordonctlTest {
 protected:
  static pb::Session MakeSession(uint64_t id) {
    pb::Session session;
    session.set_id(id);
    session.set_listener("public");
    session.set_peer_address(absl::StrCat("192.0.2.1:", 4000 + id));
    session.set_state(pb::SESSION_STATE_CONNECTED);
    session.mutable_peer_certificate()->add_dns_names("printer.example.com");
    session.mutable_verification()->set_policy_version(3);
    // In the middle of a minute and of an hour, so that slow tests agree.
    *session.mutable_opened() =
        At(absl::Now() - absl::Minutes(125) - absl::Seconds(15));
    *session.mutable_last_activity() =
        At(absl::Now() - absl::Hours(76) - absl::Minutes(20));
    session.mutable_traffic()->set_bytes_received(1536);
    session.mutable_traffic()->set_bytes_sent(7);
    return session;
  }

  // Has `total` sessions in pages.
  void ServePages(uint64_t total) {
    service_.list_sessions.answer = [total](const auto& request,
                                            auto* response) {
      uint64_t next =
          request.page_token().empty() ? 1 : std::stoull(request.page_token());
      for (uint32_t i = 0; i < request.page_size() && next <= total; ++i) {
        response->add_sessions()->set_id(next++);
      }
      if (next <= total) response->set_next_page_token(std::to_string(next));
      return grpc::Status::OK;
    };
  }
};

TEST_F(SessionsTest, ListenersAsTableAndJson) {
  service_.list_listeners.answer = [](const auto&, auto* response) {
    auto* listener = response->add_listeners();
    listener->set_name("public");
    listener->set_reactor(1);
    listener->set_local_address("[::]:4433");
    listener->set_backend("io_uring");
    listener->set_sessions(12345);
    listener->set_draining(true);
    return grpc::Status::OK;
  };
  EXPECT_EQ(RunOk({"listeners"}),
            "NAME    REACTOR  ADDRESS    BACKEND   SESSIONS  STATE\n"
            "public        1  [::]:4433  io_uring    12,345  draining\n");
  pb::ListListenersResponse json;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(
                  RunOk({"listeners", "--output=json"}), &json)
                  .ok());
  EXPECT_EQ(json.listeners(0).sessions(), 12345U);
}

TEST_F(SessionsTest, ListAsTable) {
  service_.list_sessions.answer = [](const auto&, auto* response) {
    *response->add_sessions() = MakeSession(42);
    auto* other = response->add_sessions();
    other->set_id(7);
    other->set_psk_identity("sensor");
    other->set_state(pb::SESSION_STATE_HANDSHAKING);
    return grpc::Status::OK;
  };
  EXPECT_EQ(
      RunOk({"sessions", "list"}),
      "ID  LISTENER  PEER            NAME                 STATE          AGE  "
      " IDLE       IN  OUT  POLICY\n"
      "42  public    192.0.2.1:4042  printer.example.com  connected    2h05m  "
      "3d04h  1.5 KiB  7 B       3\n"
      " 7  -         -               psk:sensor           handshaking      -  "
      "    -      0 B  0 B       -\n");
}

TEST_F(SessionsTest, EachFilterIsPassedOn) {
  ServePages(0);
  RunOk({"sessions", "list", "--state=connected,failed", "--state=peer_closed",
         "--listener=public", "--peer=10.1.0.0/16", "--name=printer",
         "--fingerprint=ab", "--min_age=5m", "--max_age=1h", "--min_idle=1.5s",
         "--min_bytes=64K", "--noresumed", "--policy_version_below=9",
         "--order=traffic"});
  ASSERT_EQ(service_.list_sessions.requests.size(), 1U);
  const pb::ListSessionsRequest& request = service_.list_sessions.requests[0];
  const pb::SessionFilter& filter = request.filter();
  EXPECT_THAT(filter.states(),
              ElementsAre(pb::SESSION_STATE_CONNECTED, pb::SESSION_STATE_FAILED,
                          pb::SESSION_STATE_PEER_CLOSED));
  EXPECT_EQ(filter.listener(), "public");
  EXPECT_EQ(filter.peer_prefix(), "10.1.0.0/16");
  EXPECT_EQ(filter.peer_name(), "printer");
  EXPECT_EQ(filter.fingerprint(), "ab");
  EXPECT_EQ(filter.min_age().seconds(), 300);
  EXPECT_EQ(filter.max_age().seconds(), 3600);
  EXPECT_EQ(filter.min_idle().nanos(), 500'000'000);
  EXPECT_EQ(filter.min_bytes(), 65536U);
  EXPECT_TRUE(filter.has_resumed());
  EXPECT_FALSE(filter.resumed());
  EXPECT_EQ(filter.policy_version_below(), 9U);
  EXPECT_EQ(request.order(), pb::SESSION_ORDER_TRAFFIC);
  EXPECT_EQ(request.page_size(), 100U);
}

TEST_F(SessionsTest, WithoutFlagsTheFilterIsEmpty) {
  ServePages(0);
  RunOk({"sessions", "list"});
  EXPECT_EQ(service_.list_sessions.requests.at(0).filter().ByteSizeLong(), 0U);
}

TEST_F(SessionsTest, AllReadsEachPage) {
  ServePages(2500);
  pb::ListSessionsResponse json;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(
                  RunOk({"sessions", "list", "--all", "--output=json"}), &json)
                  .ok());
  EXPECT_EQ(json.sessions_size(), 2500);
  EXPECT_EQ(json.sessions(2499).id(), 2500U);
  EXPECT_EQ(json.next_page_token(), "");
  EXPECT_EQ(service_.list_sessions.requests.size(), 3U);
}

TEST_F(SessionsTest, ALimitSaysHowToGoOn) {
  ServePages(2500);
  const RunResult first = Run({"sessions", "list", "--limit=1200"});
  EXPECT_EQ(first.code, 0);
  EXPECT_THAT(first.err, HasSubstr("--page_token=1201"));
  EXPECT_THAT(std::vector<std::string>(absl::StrSplit(first.out, '\n')),
              ::testing::SizeIs(1202));
  const RunResult second =
      Run({"sessions", "list", "--limit=2000", "--page_token=1201"});
  EXPECT_EQ(second.err, "");
  EXPECT_THAT(second.out, HasSubstr("\n1201  "));
}

TEST_F(SessionsTest, GetShowsAllThatIsKnown) {
  service_.get_session.answer = [](const auto& request, auto* session) {
    *session = MakeSession(request.id());
    session->set_version("DTLSv1.2");
    session->set_cipher("ECDHE-ECDSA-AES128-GCM-SHA256");
    session->mutable_peer_certificate()->set_subject("CN=printer");
    session->mutable_verification()->set_verified(true);
    auto* ignored = session->mutable_verification()->add_ignored_errors();
    ignored->set_code("expired");
    ignored->set_subject("CN=old");
    session->mutable_handshake_duration()->set_nanos(12'300'000);
    session->mutable_traffic()->mutable_dropped()->set_replay(3);
    session->mutable_traffic()->set_keys_nearly_used_up(1);
    session->set_mtu(1400);
    return grpc::Status::OK;
  };
  const std::string details = RunOk({"sessions", "get", "42"});
  const std::vector<std::string> lines = absl::StrSplit(details, '\n');
  for (const char* line :
       {"Session: +42", "State: +connected", "Listener: +public, reactor 0",
        "Version: +DTLSv1.2", "Subject: +CN=printer",
        "DNS names: +printer.example.com", "Verified: +yes",
        "Ignored errors: +expired \\(CN=old\\)", "Policy version: +3",
        "Handshake: +12.3ms", "Records dropped: +replay 3",
        "Keys nearly used up: +1", "MTU: +1400",
        "Opened: +.* \\(2h05m ago\\)"}) {
    EXPECT_THAT(lines, ::testing::Contains(MatchesRegex(line))) << details;
  }
  EXPECT_THAT(details, Not(HasSubstr("PSK")));
  pb::Session json;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(
                  RunOk({"sessions", "get", "42", "--output=json"}), &json)
                  .ok());
  EXPECT_EQ(json.id(), 42U);
  EXPECT_EQ(json.traffic().bytes_received(), 1536U);
}

// An identity may be empty, and a time unknown.
TEST_F(SessionsTest, GetTellsWhatIsEmptyFromWhatIsNotThere) {
  service_.get_session.answer = [](const auto& request, auto* session) {
    session->set_id(request.id());
    session->set_psk_identity("");
    session->mutable_peer_certificate()->mutable_not_after()->set_seconds(1);
    return grpc::Status::OK;
  };
  const std::string details = RunOk({"sessions", "get", "42"});
  EXPECT_THAT(std::vector<std::string>(absl::StrSplit(details, '\n')),
              ::testing::Contains(MatchesRegex("PSK identity: +\"\"")))
      << details;
  EXPECT_THAT(details, HasSubstr("unknown to "));
}

TEST_F(SessionsTest, WhatPeersSayNeverReachesTheTerminalAsIs) {
  service_.get_session.answer = [](const auto& request, auto* session) {
    session->set_id(request.id());
    session->set_alpn("\x1b]0;owned\x07");
    session->mutable_peer_certificate()->set_subject("CN=\u202eevil\u2066");
    session->set_server_name("a\nb");
    return grpc::Status::OK;
  };
  service_.list_sessions.answer = [](const auto&, auto* response) {
    response->add_sessions()->set_psk_identity("\x1b[2J\u202e");
    return grpc::Status::OK;
  };
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {"sessions", "get", "1"},
           {"sessions", "get", "1", "--output=json"},
           {"sessions", "list"},
           {"sessions", "list", "--output=json"}}) {
    const std::string out = RunOk(arguments);
    for (const char* bad : {"\x1b", "\x07", "\u202e", "\u2066", "a\nb"}) {
      EXPECT_THAT(out, Not(HasSubstr(bad)));
    }
  }
  EXPECT_THAT(RunOk({"sessions", "get", "1"}),
              HasSubstr("CN=\\u{202e}evil\\u{2066}"));
}

pb::SessionEvent MakeEvent(pb::SessionEvent::Kind kind, uint64_t id) {
  pb::SessionEvent event;
  event.set_kind(kind);
  event.mutable_time()->set_seconds(3600);
  if (id > 0) event.mutable_session()->set_id(id);
  return event;
}

TEST_F(SessionsTest, WatchTellsWhatHappensAndWhatWasMissed) {
  auto& messages = service_.watch_sessions.messages;
  messages = {MakeEvent(pb::SessionEvent::PRESENT, 1),
              MakeEvent(pb::SessionEvent::SYNCED, 0),
              MakeEvent(pb::SessionEvent::OPENED, 2),
              MakeEvent(pb::SessionEvent::MISSED, 0),
              MakeEvent(pb::SessionEvent::PRESENT, 2),
              MakeEvent(pb::SessionEvent::CLOSED, 2)};
  messages[3].set_missed(1200);
  messages[5].set_reason("the peer \x1b[1mleft");
  const std::string out =
      RunOk({"sessions", "watch", "--count=6", "--skip_present", "--name=x"});
  EXPECT_THAT(
      std::vector<std::string>(absl::StrSplit(out, '\n')),
      ElementsAre(
          MatchesRegex("01:00:00  PRESENT  1  .*"),
          "01:00:00  SYNCED   all that is present has been told",
          MatchesRegex("01:00:00  OPENED   2  .*"),
          "01:00:00  MISSED   1,200 events were lost; what is present follows "
          "anew",
          MatchesRegex("01:00:00  PRESENT  2  .*"),
          MatchesRegex("01:00:00  CLOSED   2  .*\\(the peer "
                       "\\\\x1b\\[1mleft\\)"),
          ""));
  const auto& request = service_.watch_sessions.requests.at(0);
  EXPECT_TRUE(request.skip_present());
  EXPECT_EQ(request.filter().peer_name(), "x");
}

TEST_F(SessionsTest, WatchAsJsonIsAnObjectInEachLine) {
  service_.watch_sessions.messages = {MakeEvent(pb::SessionEvent::OPENED, 2),
                                      MakeEvent(pb::SessionEvent::CLOSED, 2)};
  const std::string out =
      RunOk({"sessions", "watch", "--count=2", "--output=json"});
  const std::vector<std::string> lines = absl::StrSplit(out, '\n');
  ASSERT_EQ(lines.size(), 3U) << out;
  for (int i = 0; i < 2; ++i) {
    pb::SessionEvent event;
    ASSERT_TRUE(
        google::protobuf::util::JsonStringToMessage(lines[i], &event).ok());
    EXPECT_EQ(event.session().id(), 2U);
  }
}

TEST_F(SessionsTest, AWatchEndsWithTheService) {
  service_.watch_sessions.messages = {MakeEvent(pb::SessionEvent::OPENED, 2)};
  testing::Process watch(Command({"sessions", "watch"}));
  ASSERT_TRUE(watch.WaitForOutput("OPENED")) << watch.output();
  StopServer();
  EXPECT_EQ(watch.Wait(), 3);
  EXPECT_THAT(watch.output(), HasSubstr("cordonctl: cannot reach unix:"));
}

TEST_F(SessionsTest, AWatchThatTheServiceEndsInOrderIsNotDoneEither) {
  service_.watch_sessions.ends = true;
  ExpectFailure({"sessions", "watch"}, 3, "ended the stream");
}

TEST_F(SessionsTest, CloseByIds) {
  service_.close_sessions.answer = [](const auto& request, auto* response) {
    response->set_closed(1);
    response->add_ids(request.ids(0));
    response->add_not_found(request.ids(1));
    return grpc::Status::OK;
  };
  const RunResult result = Run({"sessions", "close", "4", "5", "--reason=why"});
  EXPECT_EQ(result.code, 5);
  EXPECT_EQ(result.out, "1 session closed\n");
  EXPECT_EQ(result.err, "cordonctl: there is no session 5\n");
  const auto& request = service_.close_sessions.requests.at(0);
  EXPECT_THAT(request.ids(), ElementsAre(4, 5));
  EXPECT_FALSE(request.has_filter());
  EXPECT_FALSE(request.dry_run());
  EXPECT_EQ(request.reason(), "why");
}

TEST_F(SessionsTest, CloseByFlagsAsksOnATerminal) {
  service_.close_sessions.answer = [](const auto& request, auto* response) {
    response->set_closed(request.dry_run() ? 12 : 11);
    return grpc::Status::OK;
  };
  {
    TerminalProcess close(Command({"sessions", "close", "--name=x"}), 80, 24);
    ASSERT_TRUE(close.WaitForOutput("Close 12 sessions? [y/N] "));
    close.Type("n\n");
    EXPECT_EQ(close.Wait(), 1);
    EXPECT_THAT(close.output(), HasSubstr("nothing was changed"));
  }
  EXPECT_EQ(service_.close_sessions.requests.size(), 1U);
  EXPECT_TRUE(service_.close_sessions.requests[0].dry_run());
  TerminalProcess close(Command({"sessions", "close", "--name=x"}), 80, 24);
  ASSERT_TRUE(close.WaitForOutput("? [y/N] "));
  close.Type("y\n");
  EXPECT_EQ(close.Wait(), 0);
  EXPECT_THAT(close.output(), HasSubstr("11 sessions closed"));
  const auto& request = service_.close_sessions.requests.back();
  EXPECT_FALSE(request.dry_run());
  EXPECT_EQ(request.filter().peer_name(), "x");
}

TEST_F(SessionsTest, CloseSaysWhenItIsAboutAllSessions) {
  service_.close_sessions.answer = [](const auto&, auto* response) {
    response->set_closed(12);
    response->set_sessions(12);
    return grpc::Status::OK;
  };
  TerminalProcess close(Command({"sessions", "close", "--peer=0.0.0.0/0"}), 80,
                        24);
  ASSERT_TRUE(close.WaitForOutput("Close all 12 sessions? [y/N] "));
  close.Type("n\n");
  EXPECT_EQ(close.Wait(), 1);
}

// They look as if they chose some, and --yes would close everybody.
TEST_F(SessionsTest, CloseByFlagsThatLeaveOutNobodyIsRefused) {
  for (const std::string flag :
       {"--fingerprint=:::",
        "--state=accepted,handshaking,verification_failed,connected,"
        "peer_closed,closed,failed"}) {
    ExpectFailure({"sessions", "close", flag, "--yes"}, 2,
                  "--peer=0.0.0.0/0 or --peer=::/0 if all are meant");
    ExpectFailure({"sessions", "close", flag, "--min_age=0s", "--yes"}, 2,
                  "leave out no session");
  }
  EXPECT_TRUE(service_.close_sessions.requests.empty());
}

TEST_F(SessionsTest, CloseByFlagsWithoutATerminalNeedsYes) {
  service_.close_sessions.answer = [](const auto& request, auto* response) {
    response->set_closed(2);
    for (const uint64_t id : {8, 9}) response->add_ids(id);
    (void)request;
    return grpc::Status::OK;
  };
  ExpectFailure({"sessions", "close", "--name=x"}, 2, "give --yes");
  EXPECT_TRUE(service_.close_sessions.requests.empty());
  EXPECT_EQ(RunOk({"sessions", "close", "--name=x", "--dry_run"}),
            "2 sessions would be closed: 8 9\n");
  EXPECT_EQ(RunOk({"sessions", "close", "--name=x", "--yes"}),
            "2 sessions closed\n");
  EXPECT_THAT(
      RunOk({"sessions", "close", "--name=x", "--yes", "--output=json"}),
      HasSubstr("\"closed\": \"2\""));
}

TEST_F(SessionsTest, CloseNeedsEitherIdsOrFlags) {
  ExpectFailure({"sessions", "close"}, 2, "which sessions?");
  ExpectFailure({"sessions", "close", "7", "--name=x"}, 2, "not both");
  ExpectFailure({"sessions", "close", "seven"}, 2, "\"seven\" is not the id");
  ExpectFailure({"sessions", "close", "0", "--yes"}, 2, "\"0\" is not the id");
}

}  // namespace
}  // namespace cordon::tools::ctl
