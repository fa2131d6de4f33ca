#include "cordon/dtls/control/access.h"

#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cordon/dtls/control/connection_mark.h"
#include "cordon/dtls/verification.h"
#include "cordon/net/base/printable.h"

namespace cordon::dtls::control {
namespace {

absl::StatusOr<std::vector<dtls::internal::NamePattern>> ParseNames(
    const std::vector<std::string>& names, absl::string_view field) {
  std::vector<dtls::internal::NamePattern> patterns;
  for (size_t i = 0; i < names.size(); ++i) {
    absl::StatusOr<dtls::internal::NamePattern> pattern =
        dtls::internal::NamePattern::Parse(names[i]);
    if (!pattern.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, "[", i, "]: ", pattern.status().message()));
    }
    patterns.push_back(*std::move(pattern));
  }
  return patterns;
}

// One name, so that it is known which one fits a pattern.
PeerIdentity DnsName(const std::string& name) {
  PeerIdentity identity;
  identity.dns_names = {name};
  return identity;
}

PeerIdentity Uri(const std::string& uri) {
  PeerIdentity identity;
  identity.uris = {uri};
  return identity;
}

// A certificate's names may have any bytes.
std::string CertificateCaller(const std::string& name) {
  return absl::StrCat("cert:", net::Printable(name, net::kMaxNameBytes));
}

std::vector<std::string> Properties(const grpc::AuthContext& connection,
                                    const char* name) {
  std::vector<std::string> values;
  for (const grpc::string_ref& value : connection.FindPropertyValues(name)) {
    values.emplace_back(value.data(), value.size());
  }
  return values;
}

bool Contains(const std::vector<uid_t>& sorted, uid_t user) {
  return std::binary_search(sorted.begin(), sorted.end(), user);
}

void SortUnique(std::vector<uid_t>& users) {
  std::sort(users.begin(), users.end());
  users.erase(std::unique(users.begin(), users.end()), users.end());
}

absl::Status NoRole(absl::string_view caller) {
  return absl::PermissionDeniedError(
      absl::StrCat(caller,
                   " may not use the control service: it is neither among its "
                   "readers nor among its admins"));
}

}  // namespace

absl::string_view RoleName(Role role) {
  switch (role) {
    case Role::kNone:
      return "none";
    case Role::kReader:
      return "reader";
    case Role::kAdmin:
      return "admin";
  }
  return "unknown";
}

absl::StatusOr<std::shared_ptr<const AccessControl>> AccessControl::Create(
    const AccessRules& rules) {
  absl::StatusOr<Patterns> admins =
      ParseNames(rules.admin_names, "admin_names");
  if (!admins.ok()) return admins.status();
  absl::StatusOr<Patterns> readers =
      ParseNames(rules.reader_names, "reader_names");
  if (!readers.ok()) return readers.status();
  std::shared_ptr<AccessControl> access(new AccessControl());
  access->admin_users_ = rules.admin_users;
  access->users_ = rules.admin_users;
  access->users_.insert(access->users_.end(), rules.reader_users.begin(),
                        rules.reader_users.end());
  SortUnique(access->admin_users_);
  SortUnique(access->users_);
  access->admin_names_ = *std::move(admins);
  access->reader_names_ = *std::move(readers);
  access->loopback_is_admin_ = rules.loopback_is_admin;
  return std::shared_ptr<const AccessControl>(std::move(access));
}

Role AccessControl::RoleOfUser(uid_t user) const {
  if (Contains(admin_users_, user)) return Role::kAdmin;
  return Contains(users_, user) ? Role::kReader : Role::kNone;
}

absl::StatusOr<Caller> AccessControl::Authorize(
    const grpc::ServerContextBase& context, Role needed) const {
  const std::shared_ptr<const grpc::AuthContext> connection =
      context.auth_context();
  if (connection == nullptr) {
    return absl::UnauthenticatedError("it is not known who calls");
  }
  absl::StatusOr<Caller> caller = Identify(*connection);
  if (caller.ok() && caller->role < needed) {
    return absl::PermissionDeniedError(
        absl::StrCat(caller->name, " has the role ", RoleName(caller->role),
                     "; this needs the role ", RoleName(needed)));
  }
  return caller;
}

absl::StatusOr<Caller> AccessControl::Identify(
    const grpc::AuthContext& connection) const {
  Caller caller = {.name = MarkOf(connection)};
  if (caller.name.empty()) {
    if (Properties(connection, GRPC_X509_PEM_CERT_PROPERTY_NAME).empty()) {
      return absl::UnauthenticatedError(
          "it is not known who calls: the connection has neither a client "
          "certificate nor a user id");
    }
    return IdentifyCertificate(
        Properties(connection, GRPC_PEER_DNS_PROPERTY_NAME),
        Properties(connection, GRPC_PEER_URI_PROPERTY_NAME));
  }
  absl::string_view rest = caller.name;
  if (rest == kLoopbackMark) {
    caller.role = loopback_is_admin_ ? Role::kAdmin : Role::kReader;
  } else if (uid_t user = 0; absl::ConsumePrefix(&rest, kUserMark) &&
                             absl::SimpleAtoi(rest, &user)) {
    caller.role = RoleOfUser(user);
  }
  if (caller.role == Role::kNone) return NoRole(caller.name);
  return caller;
}

absl::StatusOr<Caller> AccessControl::IdentifyCertificate(
    const std::vector<std::string>& dns_names,
    const std::vector<std::string>& uris) const {
  std::vector<std::pair<std::string, PeerIdentity>> names;
  names.reserve(dns_names.size() + uris.size());
  for (const std::string& name : dns_names) {
    names.emplace_back(name, DnsName(name));
  }
  for (const std::string& uri : uris) names.emplace_back(uri, Uri(uri));
  for (const Role role : {Role::kAdmin, Role::kReader}) {
    for (const dtls::internal::NamePattern& pattern :
         role == Role::kAdmin ? admin_names_ : reader_names_) {
      for (const auto& [text, name] : names) {
        if (pattern.Allows(name)) return Caller{CertificateCaller(text), role};
      }
    }
  }
  return NoRole(names.empty() ? "a certificate without DNS names and URIs"
                              : CertificateCaller(names[0].first));
}

}  // namespace cordon::dtls::control
