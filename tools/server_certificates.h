// The certificates of a server: the flags --cert, --key, --p12,
// --password_file,
// --password and --sni.
#ifndef CORDON_TOOLS_SERVER_CERTIFICATES_H_
#define CORDON_TOOLS_SERVER_CERTIFICATES_H_

#include <vector>

#include "absl/strings/string_view.h"
#include "cordon/dtls/control/credential_reloader.h"
#include "cordon/dtls/credentials.h"

namespace cordon::tools {

// What the flags say; bad values and files end the program, see `DieOfUsage`.
std::vector<dtls::Certificate> ServerCertificates(absl::string_view program);

// Reads the same files again while the program runs. After
// `ServerCertificates`.
dtls::control::CredentialSource ServerCertificateSource(
    absl::string_view program);

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_SERVER_CERTIFICATES_H_
