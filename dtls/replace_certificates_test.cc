// Certificates and ticket keys that are replaced while a server runs.
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::KeyType;

Certificate Named(const std::string& common_name,
                  const std::string& dns_name = "localhost",
                  KeyType key = KeyType::kEcdsaP256) {
  return EnginePair::Authority().Issue(
      {.common_name = common_name, .dns_names = {dns_name}, .key = key});
}

// A server's context that lives as long as the test.
class ReplaceTest : public ::testing::Test {
 protected:
  ReplaceTest() {
    pair_.server_options.certificates = {Named("first")};
    pair_.server_options.wall_clock = [this] { return wall_; };
  }

  Context& server_context() {
    if (!context_.has_value()) {
      context_ = *Context::Server(pair_.server_options);
    }
    return *context_;
  }

  void Begin(const ResumableSession& resume = {},
             Context* at_server = nullptr) {
    server_ = {};
    server_.engine = *Engine::Create(
        at_server != nullptr ? *at_server : server_context(), {});
    server_.engine->Start(pair_.now, server_.output);
    if (!client_context_.has_value()) {
      client_context_ = *Context::Client(pair_.client_options);
    }
    EngineOptions options = pair_.client_engine;
    options.resume = resume;
    client_ = {};
    client_.engine = *Engine::Create(*client_context_, options);
    client_.engine->Start(pair_.now, client_.output);
  }
  // The subject that a new client sees.
  std::string Seen() {
    Begin();
    pair_.Exchange();
    EXPECT_TRUE(pair_.connected()) << client_.engine->error();
    return client_.engine->info().peer_subject;
  }
  bool Resumes(const ResumableSession& session, Context* at_server = nullptr) {
    Begin(session, at_server);
    pair_.Exchange();
    EXPECT_TRUE(pair_.connected()) << client_.engine->error();
    EXPECT_EQ(pair_.Carry(client_, server_, "up"), "up");
    return client_.engine->info().resumed;
  }

  EnginePair pair_;
  absl::Time wall_ = pair_.now;
  EngineSide& client_ = pair_.client;
  EngineSide& server_ = pair_.server;
  std::optional<Context> context_;
  std::optional<Context> client_context_;
};

TEST_F(ReplaceTest, NewHandshakesSeeTheNewCertificate) {
  EXPECT_EQ(Seen(), "CN=first");
  // Copies are one context.
  const Context copy = server_context();
  ASSERT_TRUE(copy.ReplaceCertificates({Named("second")}).ok());
  EXPECT_EQ(Seen(), "CN=second");
  // With a key of another kind.
  ASSERT_TRUE(
      server_context()
          .ReplaceCertificates({Named("third", "localhost", KeyType::kRsa2048)})
          .ok());
  EXPECT_EQ(Seen(), "CN=third");
}

// ACCEPTANCE: HE6
TEST_F(ReplaceTest, AHandshakeThatGoesOnUsesOneOfThem) {
  Begin();
  // The server has chosen its certificate with the answer to the hello.
  pair_.Deliver(client_.output.Take(), server_);
  pair_.Deliver(server_.output.Take(), client_);
  pair_.Deliver(client_.output.Take(), server_);
  ASSERT_TRUE(server_context().ReplaceCertificates({Named("second")}).ok());
  pair_.Exchange();
  ASSERT_TRUE(pair_.connected()) << client_.engine->error();
  EXPECT_EQ(client_.engine->info().peer_subject, "CN=first");
}

TEST_F(ReplaceTest, ASessionThatIsThereGoesOn) {
  EXPECT_EQ(Seen(), "CN=first");
  ASSERT_TRUE(server_context().ReplaceCertificates({Named("second")}).ok());
  EXPECT_EQ(pair_.Carry(client_, server_, "up"), "up");
  EXPECT_EQ(pair_.Carry(server_, client_, "down"), "down");
  EXPECT_TRUE(Resumes(*client_.engine->Session()));
}

TEST_F(ReplaceTest, WhatCannotBeUsedChangesNothing) {
  const std::vector<std::string> before = server_context().OwnCertificates();
  Certificate mismatched = Named("second");
  mismatched.key_pem = Named("other").key_pem;
  struct Bad {
    std::vector<Certificate> certificates;
    std::string says;
  };
  const std::vector<Bad> cases = {
      {{}, "no certificate"},
      {{mismatched}, "does not fit the certificate"},
      {{Named("good"), mismatched}, "certificate 2"},
      {{{.chain_pem = "nothing", .key_pem = "nothing"}}, "the certificate"},
      {{{.chain_pem = Named("no key").chain_pem}}, "key"},
  };
  for (const Bad& bad : cases) {
    const absl::Status status =
        server_context().ReplaceCertificates(bad.certificates);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), bad.says)) << status;
    EXPECT_FALSE(absl::StrContains(status.message(), "PRIVATE KEY"));
    EXPECT_EQ(server_context().OwnCertificates(), before);
  }
  EXPECT_EQ(Seen(), "CN=first");
}

TEST_F(ReplaceTest, OwnCertificatesAreThoseInUse) {
  std::vector<std::string> own = server_context().OwnCertificates();
  ASSERT_EQ(own.size(), 1U);
  EXPECT_EQ(Seen(), "CN=first");
  EXPECT_EQ(own, client_.engine->info().peer_chain);
  ASSERT_TRUE(server_context()
                  .ReplaceCertificates({Named("a"), Named("b", "b.example")})
                  .ok());
  own = server_context().OwnCertificates();
  ASSERT_EQ(own.size(), 2U);
  EXPECT_EQ(Seen(), "CN=a");
  EXPECT_EQ(own[0], client_.engine->info().peer_chain[0]);
  // The client's name chooses among them.
  pair_.client_engine.server_name = "b.example";
  EXPECT_EQ(Seen(), "CN=b");
  EXPECT_EQ(own[1], client_.engine->info().peer_chain[0]);
}

TEST_F(ReplaceTest, OnlyAServerWithCertificatesHasSomethingToReplace) {
  const Context client = *Context::Client(pair_.client_options);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(client.ReplaceCertificates({Named("x")})));
  EXPECT_TRUE(absl::IsFailedPrecondition(client.RotateTicketKeys()));
  ServerOptions keys_only;
  keys_only.pre_shared_keys = {{"id", {1, 2, 3}}};
  keys_only.session_tickets = false;
  const Context server = *Context::Server(keys_only);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(server.ReplaceCertificates({Named("x")})));
  EXPECT_TRUE(server.OwnCertificates().empty());
  EXPECT_TRUE(absl::IsFailedPrecondition(server.RotateTicketKeys()));
}

// ACCEPTANCE: HE6
TEST_F(ReplaceTest, CertificatesAreReplacedUnderHandshakesOnOtherThreads) {
  std::atomic<bool> done = false;
  Context context = server_context();
  const std::vector<Certificate> two = {Named("first"), Named("second")};
  std::thread replacing([&] {
    for (size_t i = 0; !done; ++i) {
      EXPECT_TRUE(context.ReplaceCertificates({two[i % 2]}).ok());
      EXPECT_EQ(context.OwnCertificates().size(), 1U);
      EXPECT_TRUE(context.RotateTicketKeys().ok());
    }
  });
  for (int i = 0; i < 20; ++i) {
    const std::string seen = Seen();
    EXPECT_TRUE(seen == "CN=first" || seen == "CN=second") << seen;
  }
  done = true;
  replacing.join();
}

class TicketRotationTest : public ReplaceTest {
 protected:
  TicketRotationTest() {
    pair_.server_options.session_ids = false;
    // It is the keys that end.
    pair_.server_options.session_lifetime = absl::Hours(48);
  }
  ResumableSession First() {
    EXPECT_EQ(Seen(), "CN=first");
    return *client_.engine->Session();
  }
};

TEST_F(TicketRotationTest, TicketsOfTheKeyBeforeAreTakenForADay) {
  const ResumableSession session = First();
  ASSERT_TRUE(server_context().RotateTicketKeys().ok());
  EXPECT_TRUE(Resumes(session));
  // In the meantime it has got a ticket of the new key.
  const ResumableSession renewed = *client_.engine->Session();
  wall_ += absl::Hours(23);
  EXPECT_TRUE(Resumes(session));
  wall_ += absl::Hours(1);
  EXPECT_FALSE(Resumes(session));
  EXPECT_TRUE(Resumes(renewed));
}

TEST_F(TicketRotationTest, TwoRotationsEndATicketAtOnce) {
  const ResumableSession session = First();
  ASSERT_TRUE(server_context().RotateTicketKeys().ok());
  ASSERT_TRUE(server_context().RotateTicketKeys().ok());
  EXPECT_FALSE(Resumes(session));
}

TEST_F(TicketRotationTest, ASecretIsSharedByTwoContexts) {
  Context other = *Context::Server(pair_.server_options);
  EXPECT_FALSE(Resumes(First(), &other));
  const std::string secret(32, 's');
  ASSERT_TRUE(server_context().RotateTicketKeys(secret).ok());
  ASSERT_TRUE(other.RotateTicketKeys(secret).ok());
  EXPECT_TRUE(Resumes(First(), &other));
  EXPECT_TRUE(Resumes(*client_.engine->Session()));
}

TEST_F(TicketRotationTest, AShortSecretIsRefusedUnseen) {
  const ResumableSession session = First();
  const absl::Status status = server_context().RotateTicketKeys("too short!");
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "10 bytes"));
  EXPECT_TRUE(absl::StrContains(status.message(), "32"));
  EXPECT_FALSE(absl::StrContains(status.message(), "too short!"));
  EXPECT_TRUE(Resumes(session));
}

}  // namespace
}  // namespace cordon::dtls
