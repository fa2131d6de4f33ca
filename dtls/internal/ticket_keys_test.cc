// How long the keys of session tickets are good.
#include "cordon/dtls/internal/ticket_keys.h"

#include <openssl/cipher.h>
#include <openssl/hmac.h>

#include <array>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "cordon/testing/sim/virtual_clock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

using ::cordon::testing::VirtualClock;

// What a ticket keeps of the key that it was made with.
struct Ticket {
  std::array<uint8_t, 16> name = {};
  std::array<uint8_t, EVP_MAX_IV_LENGTH> iv = {};
  std::array<uint8_t, 48> sealed = {};
  std::array<uint8_t, 32> mac = {};
};

std::array<uint8_t, 32> MacOf(HMAC_CTX* hmac, const Ticket& ticket) {
  std::array<uint8_t, 32> mac = {};
  unsigned size = 0;
  HMAC_Update(hmac, ticket.sealed.data(), ticket.sealed.size());
  HMAC_Final(hmac, mac.data(), &size);
  EXPECT_EQ(size, mac.size());
  return mac;
}

constexpr std::array<uint8_t, 32> kSession = {1, 2, 3};

Ticket Make(TicketKeys& keys, absl::Time wall) {
  Ticket ticket;
  bssl::ScopedEVP_CIPHER_CTX cipher;
  bssl::ScopedHMAC_CTX hmac;
  EXPECT_EQ(keys.Encrypt(ticket.name.data(), ticket.iv.data(), cipher.get(),
                         hmac.get(), wall),
            1);
  int first = 0;
  int last = 0;
  EVP_EncryptUpdate(cipher.get(), ticket.sealed.data(), &first, kSession.data(),
                    kSession.size());
  EVP_EncryptFinal_ex(cipher.get(), ticket.sealed.data() + first, &last);
  EXPECT_EQ(first + last, 48);
  ticket.mac = MacOf(hmac.get(), ticket);
  return ticket;
}

// 1: taken; 2: taken, and to be replaced; 0: not known. What is taken must
// really open.
int Take(TicketKeys& keys, const Ticket& ticket, absl::Time wall) {
  bssl::ScopedEVP_CIPHER_CTX cipher;
  bssl::ScopedHMAC_CTX hmac;
  const int taken = keys.Decrypt(ticket.name.data(), ticket.iv.data(),
                                 cipher.get(), hmac.get(), wall);
  if (taken <= 0) return taken;
  EXPECT_EQ(MacOf(hmac.get(), ticket), ticket.mac);
  std::array<uint8_t, 64> opened = {};
  int first = 0;
  int last = 0;
  EVP_DecryptUpdate(cipher.get(), opened.data(), &first, ticket.sealed.data(),
                    ticket.sealed.size());
  EXPECT_EQ(EVP_DecryptFinal_ex(cipher.get(), opened.data() + first, &last), 1);
  EXPECT_TRUE(std::equal(kSession.begin(), kSession.end(), opened.begin()));
  return taken;
}

class TicketKeysTest : public ::testing::Test {
 protected:
  // Both clocks go on alike.
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    wall_ += by;
  }
  Ticket MakeNow(TicketKeys& keys) { return Make(keys, wall_); }
  int TakeNow(TicketKeys& keys, const Ticket& ticket) {
    return Take(keys, ticket, wall_);
  }

  VirtualClock clock_;
  absl::Time wall_ = VirtualClock::Epoch();
  TicketKeys keys_{&clock_};
};

TEST_F(TicketKeysTest, TakesItsOwnTicketsAndNoOthers) {
  TicketKeys others(&clock_);
  const Ticket ticket = MakeNow(keys_);
  EXPECT_EQ(TakeNow(keys_, ticket), 1);
  EXPECT_EQ(TakeNow(others, ticket), 0);
}

TEST_F(TicketKeysTest, EachTicketHasItsOwnInitialisationVector) {
  EXPECT_NE(MakeNow(keys_).iv, MakeNow(keys_).iv);
}

TEST_F(TicketKeysTest, TicketsOfTheKeyBeforeAreTakenForItsTime) {
  const Ticket old = MakeNow(keys_);
  Advance(absl::Hours(1));
  EXPECT_TRUE(keys_.Rotate("", wall_).ok());
  const Ticket fresh = MakeNow(keys_);
  EXPECT_NE(old.name, fresh.name);
  EXPECT_EQ(TakeNow(keys_, fresh), 1);
  EXPECT_EQ(TakeNow(keys_, old), 2);
  Advance(TicketKeys::kLifetime - absl::Seconds(1));
  EXPECT_EQ(TakeNow(keys_, old), 2);
  Advance(absl::Seconds(1));
  EXPECT_EQ(TakeNow(keys_, old), 0);
}

TEST_F(TicketKeysTest, OnlyTheLastKeyBeforeCounts) {
  const Ticket first = MakeNow(keys_);
  EXPECT_TRUE(keys_.Rotate("", wall_).ok());
  const Ticket second = MakeNow(keys_);
  EXPECT_TRUE(keys_.Rotate("", wall_).ok());
  EXPECT_EQ(TakeNow(keys_, first), 0);
  EXPECT_EQ(TakeNow(keys_, second), 2);
}

TEST_F(TicketKeysTest, RandomKeysReplaceThemselves) {
  const Ticket old = MakeNow(keys_);
  Advance(TicketKeys::kLifetime - absl::Seconds(1));
  EXPECT_EQ(TakeNow(keys_, old), 1);
  Advance(absl::Seconds(1));
  EXPECT_EQ(TakeNow(keys_, old), 2);
  EXPECT_NE(MakeNow(keys_).name, old.name);
  Advance(TicketKeys::kLifetime);
  EXPECT_EQ(TakeNow(keys_, old), 0);
}

TEST_F(TicketKeysTest, AKeyThatNobodyUsedForTwoLifetimesIsForgotten) {
  const Ticket old = MakeNow(keys_);
  Advance(2 * TicketKeys::kLifetime);
  EXPECT_EQ(TakeNow(keys_, old), 0);
}

// The process began while the machine's clock was a year ahead.
TEST_F(TicketKeysTest, KeysGoOnToRotateAfterTheWallClockWasAhead) {
  wall_ += absl::Hours(24 * 365);
  EXPECT_TRUE(keys_.Rotate("", wall_).ok());
  const Ticket old = MakeNow(keys_);
  wall_ -= absl::Hours(24 * 365);
  EXPECT_EQ(TakeNow(keys_, old), 1);
  Advance(TicketKeys::kLifetime);
  EXPECT_EQ(TakeNow(keys_, old), 2);
  EXPECT_NE(MakeNow(keys_).name, old.name);
  Advance(TicketKeys::kLifetime);
  EXPECT_EQ(TakeNow(keys_, old), 0);
}

// And the key that was replaced meanwhile ends in time.
TEST_F(TicketKeysTest, AKeyThatWasReplacedWhileTheWallClockWasAheadEnds) {
  const Ticket old = MakeNow(keys_);
  wall_ += absl::Hours(24 * 365);
  EXPECT_TRUE(keys_.Rotate("", wall_).ok());
  wall_ -= absl::Hours(24 * 365);
  Advance(TicketKeys::kLifetime - absl::Seconds(1));
  EXPECT_EQ(TakeNow(keys_, old), 2);
  Advance(absl::Seconds(1));
  EXPECT_EQ(TakeNow(keys_, old), 0);
}

TEST_F(TicketKeysTest, AWallClockThatJumpsAheadReplacesNoKey) {
  const Ticket ticket = MakeNow(keys_);
  wall_ += absl::Hours(24 * 365);
  EXPECT_EQ(TakeNow(keys_, ticket), 1);
  EXPECT_EQ(MakeNow(keys_).name, ticket.name);
}

// The clock that never jumps stands still meanwhile.
TEST_F(TicketKeysTest, TheKeyBeforeEndsWhileTheMachineIsSuspended) {
  const Ticket old = MakeNow(keys_);
  EXPECT_TRUE(keys_.Rotate("", wall_).ok());
  wall_ += TicketKeys::kLifetime;
  EXPECT_EQ(TakeNow(keys_, old), 0);
}

TEST_F(TicketKeysTest, ASecretIsSharedAndStays) {
  const std::string secret(TicketKeys::kMinSecretBytes, 's');
  TicketKeys there(&clock_);
  EXPECT_TRUE(keys_.Rotate(secret, wall_).ok());
  Advance(absl::Hours(5));
  EXPECT_TRUE(there.Rotate(secret, wall_).ok());
  EXPECT_EQ(TakeNow(there, MakeNow(keys_)), 1);
  Advance(100 * TicketKeys::kLifetime);
  EXPECT_EQ(TakeNow(keys_, MakeNow(there)), 1);
  // Another secret is another key.
  EXPECT_TRUE(
      there.Rotate(std::string(TicketKeys::kMinSecretBytes, 't'), wall_).ok());
  EXPECT_EQ(TakeNow(there, MakeNow(keys_)), 2);
  EXPECT_EQ(TakeNow(keys_, MakeNow(there)), 0);
}

// A secret is replaced because somebody may have it: its tickets must end.
TEST_F(TicketKeysTest, TicketsOfAReplacedSecretEnd) {
  EXPECT_TRUE(keys_.Rotate(std::string(32, 's'), wall_).ok());
  const Ticket old = MakeNow(keys_);
  Advance(absl::Hours(500));
  EXPECT_TRUE(keys_.Rotate(std::string(32, 't'), wall_).ok());
  EXPECT_EQ(TakeNow(keys_, old), 2);
  Advance(TicketKeys::kLifetime);
  EXPECT_EQ(TakeNow(keys_, old), 0);
}

// As when a file with the secret is read again.
TEST_F(TicketKeysTest, TheSameSecretAgainChangesNothing) {
  EXPECT_TRUE(keys_.Rotate(std::string(32, 's'), wall_).ok());
  const Ticket old = MakeNow(keys_);
  EXPECT_TRUE(keys_.Rotate(std::string(32, 't'), wall_).ok());
  const Ticket fresh = MakeNow(keys_);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(keys_.Rotate(std::string(32, 't'), wall_).ok());
  }
  EXPECT_EQ(TakeNow(keys_, old), 2);
  EXPECT_EQ(TakeNow(keys_, fresh), 1);
}

TEST_F(TicketKeysTest, ARandomKeyAfterASecretReplacesItselfAgain) {
  EXPECT_TRUE(keys_.Rotate(std::string(32, 's'), wall_).ok());
  EXPECT_TRUE(keys_.Rotate("", wall_).ok());
  const Ticket ticket = MakeNow(keys_);
  Advance(TicketKeys::kLifetime);
  EXPECT_EQ(TakeNow(keys_, ticket), 2);
}

}  // namespace
}  // namespace cordon::dtls::internal
