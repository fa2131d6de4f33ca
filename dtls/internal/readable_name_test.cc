#include "cordon/dtls/internal/readable_name.h"

#include <openssl/asn1.h>
#include <openssl/x509.h>

#include <string>

#include "absl/strings/string_view.h"
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
  EXPECT_EQ(CommonName("a\x1b[31mb\nc"), "CN=a\\1B[31mb\\0Ac");
  // The same in one character, and one that turns what follows around.
  EXPECT_EQ(CommonName("a\xc2\x9b"
                       "31mb"),
            "CN=a\\C2\\9B31mb");
  EXPECT_EQ(CommonName("a\xe2\x80\xae"
                       "b\xe2\x81\xa6"),
            "CN=a\\E2\\80\\AEb\\E2\\81\\A6");
}

TEST(ReadableNameTest, ATextMayEndInTheMiddleOfACharacter) {
  EXPECT_EQ(EscapeControls("a\xc2"), "a\xc2");
  EXPECT_EQ(EscapeControls("a\xe2\x80"), "a\xe2\x80");
  EXPECT_EQ(EscapeControls(""), "");
}

}  // namespace
}  // namespace cordon::dtls::internal
