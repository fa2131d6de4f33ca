// TLS for the control service: both sides show certificates, and ours are read
// again when their files change.
#ifndef CORDON_DTLS_CONTROL_TLS_CREDENTIALS_H_
#define CORDON_DTLS_CONTROL_TLS_CREDENTIALS_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/control/access.h"

namespace cordon::dtls::control {

// Files in PEM or DER form.
struct TlsFiles {
  // Our certificate with its chain, and its private key, not encrypted.
  std::string certificate = {};
  std::string key = {};
  // Whose certificates clients must have: a file, or a folder of files.
  std::string client_authorities = {};

  bool empty() const {
    return certificate.empty() && key.empty() && client_authorities.empty();
  }
};

// Credentials that let nobody call any method, health and reflection included,
// but the clients that `access` knows by their certificates.
//
// Each connection looks whether the files have changed (also where they are
// reached by a link to a folder that was replaced, and in a folder of client
// authorities). New ones are checked before they are used, each certificate of
// a bundle by itself; when one is bad, the old ones stay, and `log` is told
// why, once. It is called on the thread that accepts connections.
//
// `refused` is told of callers whose certificate has no role, on any thread.
//
// The server must have been destroyed before the credentials are.
//
// kInvalidArgument, kNotFound: what is wrong with which file.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeTlsCredentials(
    const TlsFiles& files, std::shared_ptr<const AccessControl> access,
    std::function<void(absl::string_view)> log,
    std::function<void(absl::string_view)> refused = nullptr);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_TLS_CREDENTIALS_H_
