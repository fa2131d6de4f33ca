#include "cordon/tools/bench/hello_sender.h"

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/cookie.h"
#include "cordon/net/base/endpoint.h"
#include "gtest/gtest.h"

namespace cordon::tools {
namespace {

using dtls::CookieExchange;

absl::StatusOr<dtls::Context> ClientContext() {
  dtls::ClientOptions options;
  options.verification.mode = dtls::PeerVerification::kNone;
  return dtls::Context::Client(options);
}

TEST(HelloSenderTest, ItsHelloIsAnsweredByAHelloVerifyRequest) {
  const absl::StatusOr<dtls::Context> context = ClientContext();
  ASSERT_TRUE(context.ok()) << context.status();
  absl::StatusOr<std::vector<uint8_t>> hello =
      FirstHello(*context, "localhost");
  ASSERT_TRUE(hello.ok()) << hello.status();
  EXPECT_FALSE(IsHelloVerifyRequest(*hello));

  absl::StatusOr<CookieExchange> cookies = CookieExchange::Create({});
  ASSERT_TRUE(cookies.ok()) << cookies.status();
  std::array<uint8_t, CookieExchange::kReplyBytes> reply = {};
  const CookieExchange::Result result =
      cookies->Process(*hello, net::Endpoint::V4({127, 0, 0, 1}, 4433),
                       absl::FromUnixSeconds(1'700'000'000), reply);
  EXPECT_EQ(result.verdict, dtls::CookieVerdict::kReply);
  EXPECT_TRUE(IsHelloVerifyRequest(reply));
}

TEST(HelloSenderTest, NothingElseIsAHelloVerifyRequest) {
  std::vector<uint8_t> datagram(60);
  EXPECT_FALSE(IsHelloVerifyRequest({}));
  EXPECT_FALSE(IsHelloVerifyRequest(datagram));
  datagram[0] = 22;  // handshake
  datagram[13] = 2;  // ServerHello
  EXPECT_FALSE(IsHelloVerifyRequest(datagram));
  datagram[13] = 3;
  EXPECT_TRUE(IsHelloVerifyRequest(datagram));
  datagram.resize(25);  // the headers alone
  EXPECT_FALSE(IsHelloVerifyRequest(datagram));
}

}  // namespace
}  // namespace cordon::tools
