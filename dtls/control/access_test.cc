#include "cordon/dtls/control/access.h"

#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::shared_ptr<const AccessControl> Make(const AccessRules& rules) {
  absl::StatusOr<std::shared_ptr<const AccessControl>> access =
      AccessControl::Create(rules);
  EXPECT_TRUE(access.ok()) << access.status();
  return access.ok() ? *access : nullptr;
}

TEST(AccessTest, ByDefaultOurOwnUserAndRootAreAdminsAndNobodyElseIsAnything) {
  const auto access = Make({});
  EXPECT_EQ(access->RoleOfUser(geteuid()), Role::kAdmin);
  EXPECT_EQ(access->RoleOfUser(0), Role::kAdmin);
  EXPECT_EQ(access->RoleOfUser(geteuid() + 1), Role::kNone);
  EXPECT_FALSE(access->knows_certificates());
  EXPECT_TRUE(absl::IsPermissionDenied(
      access->IdentifyCertificate({"localhost"}, {}).status()));
}

TEST(AccessTest, UsersHaveTheHigherOfTheirRoles) {
  const auto access = Make({.admin_users = {7, 5}, .reader_users = {5, 6, 6}});
  EXPECT_EQ(access->RoleOfUser(5), Role::kAdmin);
  EXPECT_EQ(access->RoleOfUser(6), Role::kReader);
  EXPECT_EQ(access->RoleOfUser(7), Role::kAdmin);
  EXPECT_EQ(access->RoleOfUser(0), Role::kNone);
  EXPECT_THAT(access->users(), ElementsAre(5, 6, 7));
}

TEST(AccessTest, CertificatesAreKnownByTheirNames) {
  const auto access =
      Make({.admin_names = {"ops.example.com",
                            "uri:spiffe://example.org/ns/*/sa/ops"},
            .reader_names = {"*.example.com"}});
  absl::StatusOr<Caller> caller =
      access->IdentifyCertificate({"x.test", "OPS.example.com"}, {});
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->name, "cert:OPS.example.com");
  EXPECT_EQ(caller->role, Role::kAdmin);

  caller = access->IdentifyCertificate({"a.example.com"},
                                       {"spiffe://example.org/ns/a/sa/ops"});
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->name, "cert:spiffe://example.org/ns/a/sa/ops");
  EXPECT_EQ(caller->role, Role::kAdmin);

  caller = access->IdentifyCertificate({"a.example.com"}, {});
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->name, "cert:a.example.com");
  EXPECT_EQ(caller->role, Role::kReader);
}

TEST(AccessTest, ADnsNameIsNoUriAndAWildcardNoName) {
  const auto access = Make({.admin_names = {"ops.example.com"},
                            .reader_names = {"uri:spiffe://a/b"}});
  EXPECT_FALSE(access->IdentifyCertificate({}, {"ops.example.com"}).ok());
  EXPECT_FALSE(access->IdentifyCertificate({"spiffe://a/b"}, {}).ok());
  EXPECT_FALSE(access->IdentifyCertificate({"*.example.com"}, {}).ok());
  EXPECT_FALSE(access->IdentifyCertificate({"ops.example.com.evil"}, {}).ok());
  EXPECT_FALSE(
      access
          ->IdentifyCertificate({std::string("ops.example.com\0.evil", 21)}, {})
          .ok());
}

TEST(AccessTest, SaysWhoIsRefused) {
  const auto access = Make({});
  EXPECT_EQ(access->IdentifyCertificate({"a\n.test"}, {}).status().message(),
            "cert:a\\n.test may not use the control service: it is neither "
            "among its readers nor among its admins");
  EXPECT_THAT(
      std::string(access->IdentifyCertificate({}, {}).status().message()),
      HasSubstr("a certificate without DNS names and URIs may not"));
}

TEST(AccessTest, RefusesNamesThatAreNone) {
  absl::Status status =
      AccessControl::Create({.admin_names = {"good.test", "a b"}}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("admin_names[1]: \"a b\" is no DNS name"));
  status = AccessControl::Create({.reader_names = {"uri:*://x"}}).status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("reader_names[0]: \"uri:*://x\" is no URI"));
}

TEST(AccessTest, NamesRoles) {
  EXPECT_EQ(RoleName(Role::kNone), "none");
  EXPECT_EQ(RoleName(Role::kReader), "reader");
  EXPECT_EQ(RoleName(Role::kAdmin), "admin");
}

}  // namespace
}  // namespace cordon::dtls::control
