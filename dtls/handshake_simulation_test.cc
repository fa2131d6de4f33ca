// Handshakes over networks that lose, repeat, delay and reorder datagrams: each
// datagram of each handshake in turn, then any two of the first, then by
// chance.
//
// A failure names the handshake, its MTU and the faults. One of chance names
// its seed, which alone is run by
//
//   bazel test //dtls:handshake_simulation_test --test_env=CORDON_SEED=N
//       --test_filter='RandomFaultsTest.*'
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/config.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/engine_pair/engine_pair.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::Bytes;
using ::cordon::testing::EnginePair;
using ::cordon::testing::EngineSide;

constexpr absl::Duration kLatency = absl::Milliseconds(10);

enum class Kind { kCertificate, kMutual, kPreSharedKey, kResumed };
constexpr std::array kKinds = {Kind::kCertificate, Kind::kMutual,
                               Kind::kPreSharedKey, Kind::kResumed};
constexpr const char* kKindNames[] = {"Certificate", "Mutual", "PreSharedKey",
                                      "Resumed"};

// What becomes of a datagram: when each of its copies arrives.
using Fate = std::vector<absl::Duration>;
const Fate& Untouched() {
  static const Fate* const fate = new Fate{kLatency};
  return *fate;
}
struct Fault {
  const char* name;
  Fate fate;
};
const std::vector<Fault>& Faults() {
  static const auto* const faults = new std::vector<Fault>{
      {"lost", {}},
      {"twice", {kLatency, kLatency}},
      {"overtaken", {2 * kLatency - absl::Milliseconds(1)}},
      {"again after a second", {kLatency, absl::Seconds(1)}},
      {"late by 0.5 s", {absl::Milliseconds(500)}},
      {"late by 2 s", {absl::Seconds(2)}},
  };
  return *faults;
}

// By the datagram's number, both directions counted together.
using Plan = std::function<Fate(size_t number)>;

class Simulation {
 public:
  Simulation(Kind kind, size_t mtu) {
    SessionOptions session;
    session.mtu = mtu;
    session.handshake_deadline = absl::Minutes(5);
    pair_.server_options.session = pair_.client_options.session = session;
    switch (kind) {
      case Kind::kCertificate:
        break;
      case Kind::kMutual:
        pair_.server_options.client_trust = EnginePair::Authority().trust();
        pair_.client_options.certificate = ClientCertificate();
        break;
      case Kind::kPreSharedKey:
        pair_.server_options.certificates = {};
        pair_.server_options.pre_shared_keys = {Key()};
        pair_.client_options.trust = {};
        pair_.client_options.pre_shared_key = Key();
        break;
      case Kind::kResumed:
        pair_.server_options.session_ticket_secret = std::string(32, 's');
        pair_.Make();
        pair_.Exchange();
        pair_.client_engine.resume = *pair_.client.engine->Session();
        break;
    }
  }

  // The number of datagrams, or 0 if the handshake has not completed.
  size_t Run(const Plan& plan, absl::Duration limit) {
    pair_.Make();
    const absl::Time end = pair_.now + limit;
    arriving_.clear();
    sent_ = 0;
    Send(pair_.client, pair_.server, plan);
    while (true) {
      // What is still on its way must not do harm, either.
      if (pair_.connected() && arriving_.empty()) break;
      absl::Time next = std::min(pair_.client.engine->NextDeadline(),
                                 pair_.server.engine->NextDeadline());
      if (!arriving_.empty()) {
        next = std::min(next, arriving_.begin()->first.first);
      }
      if (next > end) return 0;
      pair_.now = std::max(pair_.now, next);
      while (!arriving_.empty() &&
             arriving_.begin()->first.first <= pair_.now) {
        auto arrived = arriving_.extract(arriving_.begin());
        pair_.Deliver({arrived.mapped().second}, *arrived.mapped().first);
      }
      for (EngineSide* side : {&pair_.client, &pair_.server}) {
        if (side->engine->NextDeadline() <= pair_.now) {
          side->engine->OnTimeout(pair_.now, side->output);
        }
      }
      Send(pair_.client, pair_.server, plan);
      Send(pair_.server, pair_.client, plan);
    }
    const size_t sent = sent_;
    EXPECT_EQ(pair_.Carry(pair_.client, pair_.server, "up"), "up");
    EXPECT_EQ(pair_.Carry(pair_.server, pair_.client, "down"), "down");
    return sent;
  }

  // In the runs from now on, of datagram `number`, if it has so many.
  void Corrupt(size_t number, size_t byte) { corrupted_ = {number, byte}; }

  uint64_t retransmissions() const {
    return pair_.client.engine->statistics().retransmissions +
           pair_.server.engine->statistics().retransmissions;
  }

 private:
  static const Certificate& ClientCertificate() {
    static const auto* const certificate = new Certificate(
        EnginePair::Authority().Issue({.common_name = "client"}));
    return *certificate;
  }

  static PreSharedKey Key() {
    return {.identity = "device", .key = std::vector<uint8_t>(32, 'k')};
  }

  void Send(EngineSide& from, EngineSide& to, const Plan& plan) {
    for (Bytes& datagram : from.output.Take()) {
      if (sent_ == corrupted_.first && corrupted_.second < datagram.size()) {
        datagram[corrupted_.second] ^= 0x21;
      }
      for (absl::Duration delay : plan(sent_)) {
        arriving_[{pair_.now + delay, ++order_}] = {&to, datagram};
      }
      ++sent_;
      // They leave one after the other.
      pair_.now += absl::Microseconds(10);
    }
  }

  EnginePair pair_;
  std::map<std::pair<absl::Time, uint64_t>, std::pair<EngineSide*, Bytes>>
      arriving_;
  std::pair<size_t, size_t> corrupted_ = {SIZE_MAX, 0};
  uint64_t order_ = 0;
  size_t sent_ = 0;
};

class HandshakeSimulationTest
    : public ::testing::TestWithParam<std::tuple<Kind, size_t>> {
 protected:
  Simulation simulation_ =
      Simulation(std::get<0>(GetParam()), std::get<1>(GetParam()));
};

// ACCEPTANCE: HB8
TEST_P(HandshakeSimulationTest, AnyOneDatagramMayHaveABadFate) {
  const auto untouched = [](size_t) { return Untouched(); };
  const size_t datagrams = simulation_.Run(untouched, absl::Seconds(1));
  ASSERT_GT(datagrams, 0U);
  EXPECT_EQ(simulation_.retransmissions(), 0U);
  for (size_t at = 0; at < datagrams; ++at) {
    for (const Fault& fault : Faults()) {
      SCOPED_TRACE(absl::StrCat("datagram ", at, " ", fault.name));
      // A flight that is not whole is sent again after 400 ms, and by the other
      // side, too, if it was the answer.
      EXPECT_GT(
          simulation_.Run(
              [&](size_t n) { return n == at ? fault.fate : Untouched(); },
              absl::Seconds(4)),
          0U);
      EXPECT_LE(simulation_.retransmissions(), 4U);
      // None of them can be done without.
      EXPECT_TRUE(!fault.fate.empty() || simulation_.retransmissions() > 0);
    }
  }
}

// A handshake fails then, or completes, but not with something else than was
// sent.
TEST_P(HandshakeSimulationTest, AChangedByteDeceivesNobody) {
  const auto untouched = [](size_t) { return Untouched(); };
  const size_t datagrams = simulation_.Run(untouched, absl::Seconds(1));
  ASSERT_GT(datagrams, 0U);
  for (size_t at = 0; at < datagrams; ++at) {
    for (size_t byte = 0; byte < 1500; byte += 13) {
      simulation_.Corrupt(at, byte);
      simulation_.Run(untouched, absl::Seconds(30));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Of, HandshakeSimulationTest,
    ::testing::Combine(::testing::ValuesIn(kKinds),
                       ::testing::Values<size_t>(256, 548, 1280, 1500)),
    [](const ::testing::TestParamInfo<std::tuple<Kind, size_t>>& of) {
      return absl::StrCat(
          kKindNames[static_cast<size_t>(std::get<0>(of.param))],
          std::get<1>(of.param));
    });

class TwoFaultsTest : public ::testing::TestWithParam<Kind> {};

// The datagrams of the first flights, and the first repetitions of some.
TEST_P(TwoFaultsTest, AnyTwoDatagramsMayHaveABadFate) {
  constexpr size_t kDatagrams = 8;
  Simulation simulation(GetParam(), 1280);
  for (size_t second = 1; second < kDatagrams; ++second) {
    for (size_t first = 0; first < second; ++first) {
      for (const Fault& one : Faults()) {
        for (const Fault& other : Faults()) {
          const size_t datagrams = simulation.Run(
              [&](size_t n) {
                return n == first    ? one.fate
                       : n == second ? other.fate
                                     : Untouched();
              },
              absl::Seconds(10));
          ASSERT_GT(datagrams, 0U)
              << "datagram " << first << " " << one.name << ", datagram "
              << second << " " << other.name;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Of, TwoFaultsTest, ::testing::ValuesIn(kKinds),
                         [](const ::testing::TestParamInfo<Kind>& of) {
                           return kKindNames[static_cast<size_t>(of.param)];
                         });

// One in four is lost, one in ten comes twice, and all come when they like.
void RunSeed(uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto chance = [&](uint64_t below) { return random() % below; };
  const Kind kind = kKinds[chance(kKinds.size())];
  Simulation simulation(kind, 256 + chance(1245));
  const auto fate = [&](size_t) {
    Fate copies;
    const uint64_t kept = chance(20);
    const size_t count = kept < 5 ? 0 : kept < 7 ? 2 : 1;
    for (size_t i = 0; i < count; ++i) {
      // Most are quick.
      copies.push_back(
          absl::Milliseconds(1 + chance(chance(8) == 0 ? 900 : 30)));
    }
    return copies;
  };
  ASSERT_GT(simulation.Run(fate, absl::Minutes(5)), 0U)
      << kKindNames[static_cast<size_t>(kind)] << ": bazel test "
      << "//dtls:handshake_simulation_test --test_env=CORDON_SEED=" << seed;
}

TEST(RandomFaultsTest, HandshakesComplete) {
  uint64_t seed = 0;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets variables here.
  if (const char* given = std::getenv("CORDON_SEED"); given != nullptr) {
    ASSERT_TRUE(absl::SimpleAtoi(given, &seed))
        << "CORDON_SEED=" << given << " is not a number";
    RunSeed(seed);
    return;
  }
#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_THREAD_SANITIZER)
  constexpr uint64_t kSeeds = 1'000;
#else
  constexpr uint64_t kSeeds = 10'000;
#endif
  for (; seed < kSeeds && !HasFatalFailure(); ++seed) RunSeed(seed);
}

}  // namespace
}  // namespace cordon::dtls
