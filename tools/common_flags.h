// The flags that client and server have in common: who we are, whom we trust,
// and what to negotiate. A bad value ends the program, see `DieOfUsage`; so
// does a file that cannot be read.
#ifndef CORDON_TOOLS_COMMON_FLAGS_H_
#define CORDON_TOOLS_COMMON_FLAGS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/options.h"
#include "cordon/dtls/verification.h"

ABSL_DECLARE_FLAG(std::string, password);

namespace cordon::tools {

// Has the library judge `options`, which have nothing but what `flag` says.
void CheckOrDie(absl::string_view program, absl::string_view flag,
                dtls::ClientOptions options);
void CheckNotNegativeOrDie(absl::string_view program, absl::string_view flag,
                           absl::Duration value);

// --ciphers, --groups, --alpn, --srtp, --keylog.
void SetProtocol(absl::string_view program, dtls::ServerOptions* options);
void SetProtocol(absl::string_view program, dtls::ClientOptions* options);

// --verify_depth, --blocked.
void SetVerification(absl::string_view program,
                     dtls::VerificationOptions* options);

// --replay_window.
void SetReplayWindow(absl::string_view program, dtls::SessionOptions* session);

// --ca, --crl.
dtls::TrustAnchors Trust(absl::string_view program);

// --cert and --key, or --p12; with --password. Empty if there is none.
dtls::Certificate OwnCertificate(absl::string_view program);
// Reads it again, after `OwnCertificate`; and the files that it is read from.
absl::StatusOr<dtls::Certificate> ReadOwnCertificate();
std::vector<std::string> OwnCertificateFiles();

// The key that `text`, of the flag --psk, says.
dtls::PreSharedKey PskOrDie(absl::string_view program, const std::string& text);

// The bytes of the hexadecimal `text` of `flag`, at least `min_bytes`.
std::string HexOrDie(absl::string_view program, absl::string_view flag,
                     absl::string_view text, size_t min_bytes);

// The ids of the errors, each once.
std::vector<std::string> IdsOf(
    const std::vector<dtls::VerificationError>& errors);

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_COMMON_FLAGS_H_
