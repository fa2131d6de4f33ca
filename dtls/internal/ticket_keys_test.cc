// How long the keys of session tickets are good.
#include "cordon/dtls/internal/ticket_keys.h"

#include <openssl/cipher.h>
#include <openssl/hmac.h>

#include <array>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

constexpr absl::Time kStart = absl::FromUnixSeconds(1'750'000'000);

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

Ticket Make(TicketKeys& keys, absl::Time now) {
  Ticket ticket;
  bssl::ScopedEVP_CIPHER_CTX cipher;
  bssl::ScopedHMAC_CTX hmac;
  EXPECT_EQ(keys.Encrypt(ticket.name.data(), ticket.iv.data(), cipher.get(),
                         hmac.get(), now),
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
int Take(TicketKeys& keys, const Ticket& ticket, absl::Time now) {
  bssl::ScopedEVP_CIPHER_CTX cipher;
  bssl::ScopedHMAC_CTX hmac;
  const int taken = keys.Decrypt(ticket.name.data(), ticket.iv.data(),
                                 cipher.get(), hmac.get(), now);
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

TEST(TicketKeysTest, TakesItsOwnTicketsAndNoOthers) {
  TicketKeys keys(kStart);
  TicketKeys others(kStart);
  const Ticket ticket = Make(keys, kStart);
  EXPECT_EQ(Take(keys, ticket, kStart), 1);
  EXPECT_EQ(Take(others, ticket, kStart), 0);
}

TEST(TicketKeysTest, EachTicketHasItsOwnInitialisationVector) {
  TicketKeys keys(kStart);
  EXPECT_NE(Make(keys, kStart).iv, Make(keys, kStart).iv);
}

TEST(TicketKeysTest, TicketsOfTheKeyBeforeAreTakenForItsTime) {
  TicketKeys keys(kStart);
  const Ticket old = Make(keys, kStart);
  const absl::Time rotated = kStart + absl::Hours(1);
  keys.Rotate("", rotated);
  const Ticket fresh = Make(keys, rotated);
  EXPECT_NE(old.name, fresh.name);
  EXPECT_EQ(Take(keys, fresh, rotated), 1);
  EXPECT_EQ(Take(keys, old, rotated), 2);
  const absl::Time end = rotated + TicketKeys::kLifetime;
  EXPECT_EQ(Take(keys, old, end - absl::Seconds(1)), 2);
  EXPECT_EQ(Take(keys, old, end), 0);
}

TEST(TicketKeysTest, OnlyTheLastKeyBeforeCounts) {
  TicketKeys keys(kStart);
  const Ticket first = Make(keys, kStart);
  keys.Rotate("", kStart);
  const Ticket second = Make(keys, kStart);
  keys.Rotate("", kStart);
  EXPECT_EQ(Take(keys, first, kStart), 0);
  EXPECT_EQ(Take(keys, second, kStart), 2);
}

TEST(TicketKeysTest, RandomKeysReplaceThemselves) {
  TicketKeys keys(kStart);
  const Ticket old = Make(keys, kStart);
  absl::Time now = kStart + TicketKeys::kLifetime - absl::Seconds(1);
  EXPECT_EQ(Take(keys, old, now), 1);
  now += absl::Seconds(1);
  EXPECT_EQ(Take(keys, old, now), 2);
  EXPECT_NE(Make(keys, now).name, old.name);
  EXPECT_EQ(Take(keys, old, now + TicketKeys::kLifetime), 0);
}

TEST(TicketKeysTest, AKeyThatNobodyUsedForTwoLifetimesIsForgotten) {
  TicketKeys keys(kStart);
  const Ticket old = Make(keys, kStart);
  EXPECT_EQ(Take(keys, old, kStart + 2 * TicketKeys::kLifetime), 0);
}

TEST(TicketKeysTest, ASecretIsSharedAndStays) {
  const std::string secret(TicketKeys::kMinSecretBytes, 's');
  TicketKeys here(kStart);
  TicketKeys there(kStart);
  here.Rotate(secret, kStart);
  there.Rotate(secret, kStart + absl::Hours(5));
  EXPECT_EQ(Take(there, Make(here, kStart), kStart), 1);
  const absl::Time later = kStart + 100 * TicketKeys::kLifetime;
  EXPECT_EQ(Take(here, Make(there, later), later), 1);
  // Another secret is another key.
  there.Rotate(std::string(TicketKeys::kMinSecretBytes, 't'), kStart);
  EXPECT_EQ(Take(there, Make(here, kStart), kStart), 2);
  EXPECT_EQ(Take(here, Make(there, kStart), kStart), 0);
}

// A secret is replaced because somebody may have it: its tickets must end.
TEST(TicketKeysTest, TicketsOfAReplacedSecretEnd) {
  TicketKeys keys(kStart);
  keys.Rotate(std::string(32, 's'), kStart);
  const Ticket old = Make(keys, kStart);
  const absl::Time rotated = kStart + absl::Hours(500);
  keys.Rotate(std::string(32, 't'), rotated);
  EXPECT_EQ(Take(keys, old, rotated), 2);
  EXPECT_EQ(Take(keys, old, rotated + TicketKeys::kLifetime), 0);
}

// As when a file with the secret is read again.
TEST(TicketKeysTest, TheSameSecretAgainChangesNothing) {
  TicketKeys keys(kStart);
  keys.Rotate(std::string(32, 's'), kStart);
  const Ticket old = Make(keys, kStart);
  keys.Rotate(std::string(32, 't'), kStart);
  const Ticket fresh = Make(keys, kStart);
  for (int i = 0; i < 3; ++i) keys.Rotate(std::string(32, 't'), kStart);
  EXPECT_EQ(Take(keys, old, kStart), 2);
  EXPECT_EQ(Take(keys, fresh, kStart), 1);
}

TEST(TicketKeysTest, ARandomKeyAfterASecretReplacesItselfAgain) {
  TicketKeys keys(kStart);
  keys.Rotate(std::string(32, 's'), kStart);
  keys.Rotate("", kStart);
  const Ticket ticket = Make(keys, kStart);
  EXPECT_EQ(Take(keys, ticket, kStart + TicketKeys::kLifetime), 2);
}

}  // namespace
}  // namespace cordon::dtls::internal
