// Single settings of an SSL_CTX or an SSL, checked.
#ifndef CORDON_DTLS_INTERNAL_SSL_SETTINGS_H_
#define CORDON_DTLS_INTERNAL_SSL_SETTINGS_H_

#include <openssl/base.h>
#include <openssl/evp.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/dtls/options.h"

namespace cordon::dtls::internal {

// What servers and clients can be told alike.
struct ProtocolOptions {
  template <typename Options>
  explicit ProtocolOptions(const Options& o)
      : min_version(o.min_version),
        max_version(o.max_version),
        ciphers(o.ciphers),
        groups(o.groups),
        alpn(o.alpn),
        srtp_profiles(o.srtp_profiles),
        key_log(o.key_log),
        wall_clock(o.wall_clock) {}

  ProtocolVersion min_version;
  ProtocolVersion max_version;
  const std::string& ciphers;
  const std::string& groups;
  const std::vector<std::string>& alpn;
  const std::vector<std::string>& srtp_profiles;
  const std::function<void(absl::string_view)>& key_log;
  const std::function<absl::Time()>& wall_clock;
};

// A certificate that is ready for use.
struct LoadedCertificate {
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> chain;
  bssl::UniquePtr<EVP_PKEY> key;
  bssl::UniquePtr<X509> leaf;
};

// kInvalidArgument: one of the two cannot be read, or they are no pair; `what`
// names them.
absl::StatusOr<LoadedCertificate> LoadForUse(const Certificate& certificate,
                                             absl::string_view what);

// ALPN's list as it stands in a hello.
absl::StatusOr<std::vector<uint8_t>> AlpnWire(
    const std::vector<std::string>& protocols);

absl::Status CheckSession(const SessionOptions& session);
absl::Status CheckVersions(const ProtocolOptions& options);
absl::Status CheckPsk(const PreSharedKey& psk);
absl::Status CheckPskHint(const std::string& hint);
// kInvalidArgument if a name ends before its last byte, as C sees it; `field`
// names it.
absl::Status CheckName(absl::string_view field, const std::string& name);

// For a whole context, or for one session: one of the two pointers is null.
struct SettingsTarget {
  SSL_CTX* ctx = nullptr;
  SSL* ssl = nullptr;
};
absl::Status SetCiphers(SettingsTarget target, const std::string& names,
                        bool certificates, bool psk);
absl::Status SetGroups(SettingsTarget target, const std::string& names);
// None: nothing is changed, see `ClearSrtpProfiles`.
absl::Status SetSrtpProfiles(SettingsTarget target,
                             const std::vector<std::string>& profiles);

}  // namespace cordon::dtls::internal

#endif  // CORDON_DTLS_INTERNAL_SSL_SETTINGS_H_
