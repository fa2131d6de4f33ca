// That the BoringSSL that was built is whole: its assembler works and DTLS is
// there.
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <array>
#include <cstdint>

#include "gtest/gtest.h"

namespace {

TEST(BoringSslTest, HashesAsFips180Says) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const uint8_t*>("abc"), 3, digest.data());
  EXPECT_EQ(digest[0], 0xba);
  EXPECT_EQ(digest[1], 0x78);
  EXPECT_EQ(digest[31], 0xad);
}

TEST(BoringSslTest, MakesDtlsObjects) {
  bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(DTLS_method()));
  ASSERT_NE(context, nullptr);
  bssl::UniquePtr<SSL> ssl(SSL_new(context.get()));
  ASSERT_NE(ssl, nullptr);
  EXPECT_TRUE(SSL_is_dtls(ssl.get()));
}

}  // namespace
