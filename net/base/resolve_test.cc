#include "cordon/net/base/resolve.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

TEST(ResolveTest, TakesAddressesAsTheyAre) {
  EXPECT_EQ(Resolve("1.2.3.4:5")->front().ToString(), "1.2.3.4:5");
  EXPECT_EQ(Resolve("[::1]:5")->front().ToString(), "[::1]:5");
}

TEST(ResolveTest, FindsLocalhost) {
  absl::StatusOr<std::vector<Endpoint>> found = Resolve("localhost:4433");
  ASSERT_TRUE(found.ok()) << found.status();
  for (const Endpoint& endpoint : *found) {
    EXPECT_TRUE(endpoint.is_loopback()) << endpoint;
    EXPECT_EQ(endpoint.port(), 4433);
  }
}

TEST(ResolveTest, SaysWhatIsWrong) {
  for (const char* text : {"", ":1", "localhost", "localhost:x",
                           "localhost:70000", "::1:5", "[::1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Resolve(text).status())) << text;
  }
  // RFC 2606: never exists.
  const absl::Status status = Resolve("no-such-host.invalid:1").status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(status.message().find("no-such-host.invalid"),
            absl::string_view::npos);
}

}  // namespace
}  // namespace cordon::net
