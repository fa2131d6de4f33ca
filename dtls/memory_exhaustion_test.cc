// Wherever BoringSSL gets no memory, the session that wanted it ends in order,
// nothing that should be refused is accepted, and the others go on.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/internal/compiled_policy.h"
#include "cordon/dtls/options.h"
#include "cordon/dtls/policy.h"
#include "cordon/dtls/verification.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "cordon/testing/failing_allocations/failing_allocations.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/lsan_interface.h>
#define CORDON_WITH_LSAN 1
#endif
#endif

namespace cordon::dtls {
namespace {

using ::cordon::testing::AllocationFailure;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;
using ::cordon::testing::ServedListener;

// More than any handshake takes.
constexpr uint64_t kEnough = 20'000;
constexpr uint64_t kAllThatFollow = ~uint64_t{0};

bool IsOver(const EngineSide& side) {
  return side.state() == EngineState::kConnected ||
         side.state() == EngineState::kFailed ||
         side.state() == EngineState::kClosed;
}

// BoringSSL loses what belongs to an SSL that is destroyed while there is no
// memory: its CRYPTO_free_ex_data needs some. What is allocated while this
// object lives is not looked for.
class LossesOfBoringSsl {
 public:
#ifdef CORDON_WITH_LSAN
  LossesOfBoringSsl() { __lsan_disable(); }
  ~LossesOfBoringSsl() { __lsan_enable(); }
#else
  LossesOfBoringSsl() {}
  ~LossesOfBoringSsl() {}
#endif
  LossesOfBoringSsl(const LossesOfBoringSsl&) = delete;
  LossesOfBoringSsl& operator=(const LossesOfBoringSsl&) = delete;
};

class MemoryExhaustionTest : public ::testing::TestWithParam<bool> {
 protected:
  MemoryExhaustionTest() {
    server_context_ = Context::Server(pair_.server_options).value();
    client_context_ = Context::Client(pair_.client_options).value();
  }

  // One handshake, in which one side's allocations fail from the `first` one
  // on, `count` of them. False if it did not take so many.
  bool Handshake(uint64_t first, uint64_t count) {
    AllocationFailure failure(first, count);
    failure.Pause();
    pair_.server = {};
    pair_.client = {};
    for (EngineSide* side : {&pair_.server, &pair_.client}) {
      const bool is_server = side == &pair_.server;
      if (is_server == server_fails()) failure.Continue();
      absl::StatusOr<std::unique_ptr<Engine>> engine =
          Engine::Create(is_server ? *server_context_ : *client_context_,
                         is_server ? pair_.server_engine : pair_.client_engine);
      if (!engine.ok()) {
        failure.Pause();
        EXPECT_TRUE(failure.happened()) << engine.status();
        return failure.happened();
      }
      side->engine = *std::move(engine);
      side->engine->Start(pair_.now, side->output);
      failure.Pause();
    }
    // With its timers, for as long as a handshake may take.
    const absl::Time end = pair_.now + absl::Seconds(40);
    while (!IsOver(pair_.server) || !IsOver(pair_.client)) {
      Carry(pair_.client, pair_.server, server_fails(), failure);
      Carry(pair_.server, pair_.client, !server_fails(), failure);
      if (!pair_.client.output.sent.empty() ||
          !pair_.server.output.sent.empty()) {
        continue;
      }
      const absl::Time next = std::min(pair_.client.engine->NextDeadline(),
                                       pair_.server.engine->NextDeadline());
      if (next > end) break;
      pair_.now = std::max(pair_.now, next);
      Tick(pair_.client, !server_fails(), failure);
      Tick(pair_.server, server_fails(), failure);
    }
    const EngineSide& poor = server_fails() ? pair_.server : pair_.client;
    EXPECT_TRUE(IsOver(poor)) << first;
    if (poor.state() == EngineState::kFailed) {
      EXPECT_FALSE(poor.engine->error().ok());
    }
    return failure.happened();
  }
  bool server_fails() const { return GetParam(); }

  EnginePair pair_;
  std::optional<Context> server_context_;
  std::optional<Context> client_context_;

 private:
  void Carry(EngineSide& from, EngineSide& to, bool fails,
             AllocationFailure& failure) {
    for (testing::Bytes& datagram : from.output.Take()) {
      if (fails) failure.Continue();
      to.engine->Receive(absl::MakeSpan(datagram), pair_.now, to.output);
      failure.Pause();
    }
  }
  void Tick(EngineSide& side, bool fails, AllocationFailure& failure) {
    if (fails) failure.Continue();
    side.engine->OnTimeout(pair_.now, side.output);
    failure.Pause();
  }
};

TEST_P(MemoryExhaustionTest, AHandshakeEndsInOrderWhateverGetsNoMemory) {
  uint64_t first = 1;
  size_t failed = 0;
  for (; Handshake(first, 1); ++first) {
    ASSERT_LT(first, kEnough);
    const EngineSide& poor = server_fails() ? pair_.server : pair_.client;
    if (poor.engine == nullptr || poor.state() == EngineState::kFailed) {
      ++failed;
    }
    if (first % 50 == 0) {
      // There is memory again.
      EXPECT_FALSE(Handshake(kEnough, 1));
      ASSERT_TRUE(pair_.connected());
      EXPECT_EQ(pair_.Carry(pair_.client, pair_.server, "text"), "text");
    }
  }
  EXPECT_TRUE(pair_.connected());
  EXPECT_GT(first, 100U);
  EXPECT_GT(failed, first / 2);
}

TEST_P(MemoryExhaustionTest, SoItDoesIfThereIsNoneLeft) {
  for (uint64_t first = 1; Handshake(first, kAllThatFollow); first += 7) {
    ASSERT_LT(first, kEnough);
    EXPECT_FALSE(pair_.server.engine != nullptr &&
                 pair_.client.engine != nullptr && pair_.connected());
  }
}

// An engine that gets no memory for its next session says so, can be asked
// everything, and begins anew when there is memory again.
TEST_P(MemoryExhaustionTest, ANextSessionThatGetsNoMemoryFailsInOrder) {
  using Step = absl::Status (*)(EnginePair&, EngineSide&);
  const Step steps[] = {[](EnginePair&, EngineSide& side) {
                          SessionOverrides overrides;
                          overrides.groups = "P-256";
                          return side.engine->Configure(overrides);
                        },
                        [](EnginePair& pair, EngineSide& side) {
                          side.engine->Start(pair.now, side.output);
                          return side.engine->AbortHandshake(pair.now,
                                                             side.output);
                        },
                        [](EnginePair& pair, EngineSide& side) {
                          side.engine->Start(pair.now, side.output);
                          side.engine->Close(pair.now, side.output);
                          return side.engine->Restart();
                        }};
  for (const Step step : steps) {
    bool happened = true;
    for (uint64_t first = 1; happened; ++first) {
      ASSERT_LT(first, kEnough);
      const LossesOfBoringSsl losses;
      pair_.server = {};
      pair_.client = {};
      pair_.server.engine =
          Engine::Create(*server_context_, pair_.server_engine).value();
      pair_.client.engine =
          Engine::Create(*client_context_, pair_.client_engine).value();
      EngineSide& poor = server_fails() ? pair_.server : pair_.client;
      absl::Status status;
      {
        AllocationFailure failure(first, kAllThatFollow);
        status = step(pair_, poor);
        happened = failure.happened();
      }
      EXPECT_TRUE(status.ok() || happened) << status;
      EXPECT_TRUE(poor.state() == EngineState::kNotStarted ||
                  poor.state() == EngineState::kFailed);
      EXPECT_EQ(poor.engine->error().ok(),
                poor.state() == EngineState::kNotStarted);
      // Whoever looks at it now, as the control service does, may.
      EXPECT_EQ(poor.engine->info().cipher, "");
      EXPECT_EQ(poor.engine->peer_chain(), nullptr);
      EXPECT_TRUE(poor.engine->peer_identity().chain.empty());
      EXPECT_FALSE(poor.engine->Session().ok());
      EXPECT_FALSE(
          poor.engine->ExportKeyingMaterial("EXPERIMENTAL", {}, 32).ok());
      EXPECT_EQ(poor.engine->MaxMessageSize(), 0U);
      EXPECT_TRUE(poor.engine->SetMtu(1280).ok());
      poor.engine->SetPathMtu(1000);
      poor.engine->OnTimeout(pair_.now + absl::Hours(1), poor.output);
      std::vector<uint8_t> datagram(100, 22);
      poor.engine->Receive(absl::MakeSpan(datagram), pair_.now, poor.output);
      EXPECT_FALSE(poor.engine->Send(datagram, poor.output).ok());
      if (poor.state() == EngineState::kFailed) {
        ASSERT_TRUE(poor.engine->Restart().ok());
      }
      if (first % 10 != 0) continue;
      poor.output.sent.clear();
      for (EngineSide* side : {&pair_.server, &pair_.client}) {
        side->engine->Start(pair_.now, side->output);
      }
      pair_.RunFor(absl::Minutes(1));
      EXPECT_TRUE(pair_.connected()) << first;
    }
  }
}

// A context that is made is as strict as it was asked to be.
TEST_P(MemoryExhaustionTest, AContextIsMadeWholeOrNotAtAll) {
  const Certificate revoked =
      EnginePair::Authority().Issue({.dns_names = {"localhost"}});
  TrustAnchors trust = EnginePair::Authority().trust();
  trust.crl_pem = EnginePair::Authority().Crl({revoked});
  if (server_fails()) {
    pair_.server_options.verification.mode = PeerVerification::kVerify;
    pair_.server_options.client_trust = trust;
    pair_.client_options.certificate = revoked;
    client_context_ = Context::Client(pair_.client_options).value();
  } else {
    pair_.client_options.trust = trust;
    pair_.server_options.certificates = {revoked};
    server_context_ = Context::Server(pair_.server_options).value();
  }
  size_t made = 0;
  bool happened = true;
  for (uint64_t first = 1; happened; ++first) {
    ASSERT_LT(first, kEnough);
    absl::StatusOr<Context> context = absl::UnknownError("");
    {
      AllocationFailure failure(first, 1);
      context = server_fails() ? Context::Server(pair_.server_options)
                               : Context::Client(pair_.client_options);
      happened = failure.happened();
    }
    if (!context.ok()) {
      EXPECT_TRUE(happened) << context.status();
      continue;
    }
    ++made;
    (server_fails() ? server_context_ : client_context_) = *std::move(context);
    EXPECT_FALSE(Handshake(kEnough, 1));
    const EngineSide& judge = server_fails() ? pair_.server : pair_.client;
    ASSERT_EQ(judge.state(), EngineState::kFailed) << first;
    const std::optional<ErrorDetail> detail =
        GetErrorDetail(judge.engine->error());
    ASSERT_TRUE(detail.has_value() && !detail->verification_errors.empty());
    EXPECT_EQ(detail->verification_errors[0].code,
              VerificationErrorCode::kRevoked)
        << first << judge.engine->error();
  }
  EXPECT_GT(made, 0U);
}

// Nobody is let in because he could not be looked at.
class RefusalTest : public MemoryExhaustionTest {
 protected:
  // The side that judges lacks memory; `certificate` is what it has to judge.
  void ExpectRefused(const Certificate& certificate,
                     const VerificationOptions& verification) {
    if (server_fails()) {
      pair_.server_options.verification = verification;
      pair_.server_options.verification.mode = PeerVerification::kVerify;
      pair_.server_options.client_trust = EnginePair::Authority().trust();
      pair_.client_options.certificate = certificate;
    } else {
      pair_.client_options.verification = verification;
      pair_.server_options.certificates = {certificate};
    }
    server_context_ = Context::Server(pair_.server_options).value();
    client_context_ = Context::Client(pair_.client_options).value();
    uint64_t first = 1;
    for (; Handshake(first, 1); ++first) {
      ASSERT_LT(first, kEnough);
      const EngineSide& judge = server_fails() ? pair_.server : pair_.client;
      if (judge.engine == nullptr) continue;
      ASSERT_NE(judge.state(), EngineState::kConnected) << first;
    }
    EXPECT_GT(first, 100U);
  }
};

TEST_P(RefusalTest, OfAnIssuerThatIsNotKnown) {
  const testing::TestAuthority other("Another CA");
  ExpectRefused(other.Issue({.dns_names = {"localhost"}}), {});
}

TEST_P(RefusalTest, OfACertificateThatIsBlocked) {
  const Certificate blocked =
      EnginePair::Authority().IssueAuthority("Below").Issue(
          {.dns_names = {"localhost"}});
  VerificationOptions verification;
  verification.blocked = {FingerprintOf(blocked.chain_pem).value()};
  ExpectRefused(blocked, verification);
}

// What it may be is no reason not to look for what it may not be.
TEST_P(RefusalTest, OfWhatIsWrongBesideWhatIsIgnored) {
  const testing::TestAuthority other("Another CA");
  VerificationOptions verification;
  verification.ignored = {{VerificationErrorCode::kExpired, ""}};
  ExpectRefused(
      other.Issue({.dns_names = {"localhost"},
                   .not_after = absl::FromUnixSeconds(1'600'000'001)}),
      verification);
}

// Clients have no policies.
class PolicyRefusalTest : public RefusalTest {};

TEST_P(PolicyRefusalTest, OfANameThatIsDenied) {
  Policy policy;
  policy.client_certificate = PeerVerification::kVerify;
  policy.trust = EnginePair::Authority().trust();
  policy.denied_names = {"dns:localhost"};
  pair_.server_engine.policy =
      internal::CompiledPolicy::Compile(policy, 1).value();
  ExpectRefused(EnginePair::Authority().Issue({.dns_names = {"localhost"}}),
                {});
}

INSTANTIATE_TEST_SUITE_P(Server, PolicyRefusalTest, ::testing::Values(true));

INSTANTIATE_TEST_SUITE_P(Sides, RefusalTest, ::testing::Bool(),
                         [](const auto& param) {
                           return param.param ? "Server" : "Client";
                         });

INSTANTIATE_TEST_SUITE_P(Sides, MemoryExhaustionTest, ::testing::Bool(),
                         [](const auto& param) {
                           return param.param ? "Server" : "Client";
                         });

// Through a listener: one client after the other comes at a time at which there
// is no memory for this or that, on either side.
TEST(MemoryExhaustionListenerTest, TheOthersGoOn) {
  ServedListener world;
  const absl::Status status = world.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection steady, co_await world.Connect());
    uint64_t refused = 0;
    bool happened = true;
    for (uint64_t first = 1; happened; first += 23) {
      if (first > kEnough) co_return absl::InternalError("it never ends");
      {
        const LossesOfBoringSsl losses;
        AllocationFailure failure(first, 1);
        absl::StatusOr<Connection> poor = co_await world.Connect();
        happened = failure.happened();
        if (!poor.ok()) ++refused;
        EXPECT_TRUE(poor.ok() || happened) << poor.status();
      }
      CO_RETURN_IF_ERROR(
          co_await ServedListener::Ask(steady, absl::StrCat(first)));
    }
    EXPECT_GT(refused, 10U);
    CO_ASSIGN_OR_RETURN(Connection late, co_await world.Connect());
    co_return co_await ServedListener::Ask(late, "there is memory again");
  });
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace cordon::dtls
