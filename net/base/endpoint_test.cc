#include "cordon/net/base/endpoint.h"

#include <netinet/in.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

TEST(EndpointTest, ReadsWhatItWrites) {
  for (const char* text :
       {"1.2.3.4:5", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:4433",
        "[::]:0", "[2001:db8::1:2]:1", "[fe80::1%7]:9"}) {
    absl::StatusOr<Endpoint> endpoint = Endpoint::Parse(text);
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    EXPECT_EQ(endpoint->ToString(), text);
  }
}

TEST(EndpointTest, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "port is missing"},         {"1.2.3.4", "port is missing"},
      {"1.2.3.4:", "not a number"},    {"1.2.3.4:65536", "0 to 65535"},
      {"1.2.3.4:-1", "0 to 65535"},    {"1.2.3:5", "neither an IPv4"},
      {"::1:5", "needs brackets"},     {"[::1:5", "\"]\" is missing"},
      {"[::1]", "port is missing"},    {"[1.2.3.4.5]:5", "neither an IPv4"},
      {"example.com:5", "neither an"}, {"[fe80::1%nosuchif]:5", "interface"},
  };
  for (const auto& [text, why] : cases) {
    const absl::Status status = Endpoint::Parse(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_NE(status.message().find(why), absl::string_view::npos) << status;
    EXPECT_NE(status.message().find(text), absl::string_view::npos) << status;
  }
}

TEST(EndpointTest, KnowsKindsOfAddresses) {
  EXPECT_TRUE(Endpoint().is_none());
  EXPECT_FALSE(Endpoint().is_any());
  EXPECT_TRUE(Endpoint::AnyV4(1).is_any());
  EXPECT_TRUE(Endpoint::AnyV6(1).is_any());
  EXPECT_TRUE(Endpoint::Parse("127.9.9.9:1")->is_loopback());
  EXPECT_TRUE(Endpoint::LoopbackV6(3).is_loopback());
  EXPECT_FALSE(Endpoint::Parse("[::2]:1")->is_loopback());
  EXPECT_TRUE(Endpoint::Parse("224.0.0.1:1")->is_multicast());
  EXPECT_TRUE(Endpoint::Parse("[ff02::1]:1")->is_multicast());
  EXPECT_FALSE(Endpoint::Parse("223.0.0.1:1")->is_multicast());
  EXPECT_TRUE(Endpoint::Parse("255.255.255.255:1")->is_broadcast());
}

TEST(EndpointTest, IsAnswerableWhereOneMachineListens) {
  for (const char* text : {"1.2.3.4:1", "127.0.0.1:65535", "[::1]:1",
                           "[2001:db8::1]:2", "[::ffff:1.2.3.4]:3"}) {
    EXPECT_TRUE(Endpoint::Parse(text)->is_answerable()) << text;
  }
  for (const char* text :
       {"1.2.3.4:0", "[2001:db8::1]:0", "0.0.0.0:1", "0.1.2.3:1", "[::]:1",
        "224.0.0.1:1", "239.255.255.255:1", "[ff02::1]:1", "255.255.255.255:1",
        "[::ffff:0.0.0.0]:1", "[::ffff:224.0.0.1]:1",
        "[::ffff:255.255.255.255]:1"}) {
    EXPECT_FALSE(Endpoint::Parse(text)->is_answerable()) << text;
  }
  EXPECT_FALSE(Endpoint().is_answerable());
}

TEST(EndpointTest, GoesThroughSockaddrOfBothFamilies) {
  sockaddr_storage storage;
  for (const char* text : {"1.2.3.4:5", "[2001:db8::1]:6"}) {
    const Endpoint endpoint = *Endpoint::Parse(text);
    const socklen_t length = endpoint.ToSockaddr(&storage, endpoint.family());
    ASSERT_GT(length, 0U);
    Endpoint back;
    ASSERT_TRUE(Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&storage),
                                       length, &back));
    EXPECT_EQ(back, endpoint);
  }
}

TEST(EndpointTest, IsIpv4OnADualStackSocket) {
  const Endpoint endpoint = *Endpoint::Parse("1.2.3.4:5");
  sockaddr_storage storage;
  const socklen_t length = endpoint.ToSockaddr(&storage, AF_INET6);
  EXPECT_EQ(length, sizeof(sockaddr_in6));
  EXPECT_TRUE(IN6_IS_ADDR_V4MAPPED(
      &reinterpret_cast<sockaddr_in6*>(&storage)->sin6_addr));
  Endpoint back;
  ASSERT_TRUE(Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&storage),
                                     length, &back));
  EXPECT_EQ(back, endpoint);
  EXPECT_EQ(Endpoint::LoopbackV6(1).ToSockaddr(&storage, AF_INET), 0U);
}

TEST(EndpointTest, RefusesOtherFamiliesAndShortAddresses) {
  sockaddr address = {};
  address.sa_family = AF_UNIX;
  Endpoint untouched = Endpoint::AnyV4(9);
  EXPECT_FALSE(Endpoint::FromSockaddr(&address, sizeof(address), &untouched));
  address.sa_family = AF_INET6;
  EXPECT_FALSE(Endpoint::FromSockaddr(&address, sizeof(address), &untouched));
  EXPECT_EQ(untouched, Endpoint::AnyV4(9));
}

TEST(EndpointTest, CountsAsDifferentInEachOfItsParts) {
  const std::vector<Endpoint> all = {Endpoint(),
                                     Endpoint::AnyV4(0),
                                     Endpoint::AnyV6(0),
                                     Endpoint::AnyV4(1),
                                     Endpoint::LoopbackV4(1),
                                     *Endpoint::Parse("[fe80::1%1]:1"),
                                     *Endpoint::Parse("[fe80::1%2]:1")};
  absl::flat_hash_set<Endpoint> set(all.begin(), all.end());
  EXPECT_EQ(set.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = 0; j < all.size(); ++j) {
      EXPECT_EQ(all[i] == all[j], i == j);
    }
  }
}

}  // namespace
}  // namespace cordon::net
