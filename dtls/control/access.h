// Who may call the control service, and what for.
//
//   absl::StatusOr<std::shared_ptr<const control::AccessControl>> access =
//       control::AccessControl::Create({.reader_users = {1000},
//                                       .admin_names = {"ops.example.com"}});
//
// Each method of a service asks first, in its handler:
//
//   absl::StatusOr<control::Caller> caller =
//       access->Authorize(*context, control::Role::kAdmin);
//   if (!caller.ok()) return Finish(caller.status());
//   Log(caller->name, " drains ", request->listener());
//
// Callers are known by what the kernel or TLS says of their connection, never
// by what they send: the user id of the process at the other end of a Unix
// socket, the names in a client certificate that was verified, or that the
// connection comes from this machine. `ControlServer` accepts connections and
// knows these things.
#ifndef CORDON_DTLS_CONTROL_ACCESS_H_
#define CORDON_DTLS_CONTROL_ACCESS_H_

#include <grpcpp/grpcpp.h>
#include <sys/types.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/internal/name_pattern.h"

namespace cordon::dtls::control {

// Each may do what the one before may.
enum class Role {
  kNone,
  kReader,  // may look
  kAdmin,   // may change
};

// "none", "reader", "admin".
absl::string_view RoleName(Role role);

// Who calls, as far as it goes into a log.
struct Caller {
  // "uid:1000", "cert:ops.example.com", "cert:spiffe://example.org/ops",
  // "loopback".
  std::string name = {};
  Role role = Role::kNone;
};

// Whoever is named nowhere may do nothing. Who is named twice has the higher
// role.
struct AccessRules {
  // Users of this machine, on a Unix socket; by default our own and root.
  // Within a user namespace, the kernel shows all users that the namespace does
  // not know as one, usually 65534 ("nobody"): do not list that one.
  std::vector<uid_t> admin_users = {geteuid(), 0};
  std::vector<uid_t> reader_users = {};
  // Names in client certificates, on TCP: DNS names or URIs among the subject
  // alternative names (never the common name), or patterns for these as in
  // `Policy::allowed_names`: "*.ops.example.com",
  // "uri:spiffe://example.org/ns/*/sa/web".
  std::vector<std::string> admin_names = {};
  std::vector<std::string> reader_names = {};
  // Whoever can connect to a plain TCP port on loopback (if there is one, see
  // `ControlServerOptions`), that is, every user of this machine, is a reader;
  // or, with this, an admin.
  bool loopback_is_admin = false;
};

// Thread-safe, immutable.
class AccessControl {
 public:
  // kInvalidArgument: a name is no name or pattern.
  static absl::StatusOr<std::shared_ptr<const AccessControl>> Create(
      const AccessRules& rules);

  // Who calls, if that one has `needed` or more. Otherwise, with a message for
  // the caller: kPermissionDenied if its role is lower; kUnauthenticated if it
  // is not known who calls, because the server that the call came through is
  // neither `ControlServer` nor one that verifies client certificates.
  // Call it in the method's handler; `context` is that of the call.
  absl::StatusOr<Caller> Authorize(const grpc::ServerContextBase& context,
                                   Role needed) const;

  // The same for what gRPC knows of a connection; for those who serve
  // connections.
  absl::StatusOr<Caller> Identify(const grpc::AuthContext& connection) const;

  // The same for the names in a client certificate that was verified.
  absl::StatusOr<Caller> IdentifyCertificate(
      const std::vector<std::string>& dns_names,
      const std::vector<std::string>& uris) const;

  // What a user may do on a Unix socket.
  Role RoleOfUser(uid_t user) const;
  // The users that have a role, in ascending order.
  const std::vector<uid_t>& users() const { return users_; }
  // Whether any certificate has a role.
  bool knows_certificates() const {
    return !admin_names_.empty() || !reader_names_.empty();
  }

 private:
  using Patterns = std::vector<dtls::internal::NamePattern>;

  AccessControl() = default;

  std::vector<uid_t> users_;
  std::vector<uid_t> admin_users_;
  Patterns admin_names_;
  Patterns reader_names_;
  bool loopback_is_admin_ = false;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_ACCESS_H_
