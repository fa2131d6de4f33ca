#include "cordon/dtls/internal/readable_name.h"

#include <openssl/asn1.h>
#include <openssl/x509.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "cordon/net/base/printable.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

std::string CommonName(absl::string_view text) {
  bssl::UniquePtr<X509_NAME> name(X509_NAME_new());
  EXPECT_EQ(
      X509_NAME_add_entry_by_txt(name.get(), "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const uint8_t*>(text.data()),
                                 static_cast<ossl_ssize_t>(text.size()), -1, 0),
      1);
  return ReadableName(name.get());
}

TEST(ReadableNameTest, LettersOfAllLanguagesStayAsTheyAre) {
  EXPECT_EQ(CommonName("device 7"), "CN=device 7");
  EXPECT_EQ(CommonName("J\xc3\xb6rg \xe2\x82\xac \xe6\x97\xa5"),
            "CN=J\xc3\xb6rg \xe2\x82\xac \xe6\x97\xa5");
}

TEST(ReadableNameTest, NothingReachesATerminalThatItWouldObey) {
  EXPECT_EQ(CommonName("a\x1b[31mb\nc\x7f"), "CN=a\\x1b[31mb\\nc\\x7f");
  // The same in one character, and those that turn what follows around.
  EXPECT_EQ(CommonName("a\xc2\x9b"
                       "31mb"),
            "CN=a\\u{9b}31mb");
  EXPECT_EQ(CommonName("a\u202eb\u2066\u061c\u200b"),
            "CN=a\\u{202e}b\\u{2066}\\u{61c}\\u{200b}");
}

TEST(ReadableNameTest, NoTwoNamesLookTheSame) {
  EXPECT_EQ(CommonName("a\\nb"), "CN=a\\\\nb");
  EXPECT_EQ(CommonName("a, O=b"), "CN=\"a, O=b\"");
}

TEST(ReadableNameTest, ALongNameIsCut) {
  bssl::UniquePtr<X509_NAME> name(X509_NAME_new());
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(X509_NAME_add_entry_by_txt(
                  name.get(), "OU", MBSTRING_ASC,
                  reinterpret_cast<const uint8_t*>("department"), -1, -1, 0),
              1);
  }
  const std::string readable = ReadableName(name.get());
  EXPECT_LE(readable.size(), net::kMaxNameBytes);
  EXPECT_TRUE(absl::StartsWith(readable, "OU=department, OU=department, "));
  EXPECT_TRUE(absl::EndsWith(readable, "\u2026"));
}

}  // namespace
}  // namespace cordon::dtls::internal
