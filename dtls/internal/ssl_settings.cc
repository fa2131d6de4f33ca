#include "cordon/dtls/internal/ssl_settings.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/srtp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "cordon/dtls/internal/cipher_list.h"
#include "cordon/dtls/internal/peer_identity.h"
#include "cordon/dtls/internal/peer_verifier.h"

namespace cordon::dtls::internal {
namespace {

// The extension's two lengths are of 16 bits each.
constexpr size_t kMaxAlpnBytes = 65535 - 2;

constexpr char kDefaultGroups[] = "X25519:P-256:P-384";

std::string LastSslError() {
  const uint32_t error = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(error);
  ERR_clear_error();
  return reason == nullptr ? "unknown error" : reason;
}

bssl::UniquePtr<CRYPTO_BUFFER> ToBuffer(X509* certificate) {
  uint8_t* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size < 0) return nullptr;
  bssl::UniquePtr<CRYPTO_BUFFER> buffer(
      CRYPTO_BUFFER_new(der, static_cast<size_t>(size), nullptr));
  OPENSSL_free(der);
  return buffer;
}

}  // namespace

absl::StatusOr<LoadedCertificate> LoadForUse(const Certificate& certificate,
                                             absl::string_view what) {
  absl::StatusOr<std::vector<bssl::UniquePtr<X509>>> chain =
      ParseCertificates(certificate.chain_pem, what);
  if (!chain.ok()) return chain.status();
  LoadedCertificate loaded;
  for (const bssl::UniquePtr<X509>& c : *chain) {
    loaded.chain.push_back(ToBuffer(c.get()));
    if (loaded.chain.back() == nullptr) {
      ERR_clear_error();
      return absl::ResourceExhaustedError(
          absl::StrCat("out of memory for ", what));
    }
  }
  loaded.leaf = std::move(chain->front());

  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(certificate.key_pem.data(),
                      static_cast<ossl_ssize_t>(certificate.key_pem.size())));
  if (bio == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("out of memory for ", what));
  }
  // Never asks on a terminal.
  auto give_password = [](char* out, int size, int, void* from) {
    const auto& password = *static_cast<const std::string*>(from);
    if (password.size() > static_cast<size_t>(size)) return 0;
    std::copy(password.begin(), password.end(), out);
    return static_cast<int>(password.size());
  };
  loaded.key.reset(PEM_read_bio_PrivateKey(
      bio.get(), nullptr, give_password,
      const_cast<std::string*>(&certificate.key_password)));
  if (loaded.key == nullptr) {
    const bool encrypted =
        certificate.key_pem.find("ENCRYPTED") != std::string::npos;
    ERR_clear_error();
    return absl::InvalidArgumentError(absl::StrCat(
        "the private key of ", what,
        !encrypted ? " cannot be read: it must be an ECDSA, RSA or Ed25519 "
                     "key in PEM form"
        : certificate.key_password.empty()
            ? " is encrypted: give its password"
            : " cannot be decrypted: the password is wrong, or its cipher is "
              "not supported"));
  }
  bssl::UniquePtr<EVP_PKEY> of_certificate(X509_get_pubkey(loaded.leaf.get()));
  if (of_certificate == nullptr ||
      EVP_PKEY_cmp(of_certificate.get(), loaded.key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat("the private key does not fit ", what, " (",
                     SubjectOf(loaded.leaf.get()), ")"));
  }
  // No peer would take its signatures, whatever the groups.
  if (const EC_KEY* ec = EVP_PKEY_get0_EC_KEY(loaded.key.get());
      ec != nullptr &&
      EC_GROUP_get_curve_name(EC_KEY_get0_group(ec)) == NID_secp224r1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key of ", what,
                     " is of the curve P-224; ECDSA keys "
                     "must be of P-256, P-384 or P-521"));
  }
  return loaded;
}

absl::StatusOr<std::vector<uint8_t>> AlpnWire(
    const std::vector<std::string>& protocols) {
  std::vector<uint8_t> wire;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      return absl::InvalidArgumentError(
          absl::StrCat("the ALPN protocol \"", protocol,
                       "\" must have from 1 to 255 bytes"));
    }
    wire.push_back(static_cast<uint8_t>(protocol.size()));
    wire.insert(wire.end(), protocol.begin(), protocol.end());
  }
  if (wire.size() > kMaxAlpnBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ALPN protocols need ", wire.size(),
                     " bytes; there is room for ", kMaxAlpnBytes));
  }
  return wire;
}

absl::Status CheckSession(const SessionOptions& session) {
  if (session.mtu < kMinMtu || session.mtu > kMaxMtu) {
    return absl::InvalidArgumentError(
        absl::StrCat("session.mtu is ", session.mtu, "; it must be from ",
                     kMinMtu, " to ", kMaxMtu));
  }
  if (session.handshake_deadline <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("session.handshake_deadline is ",
                     absl::FormatDuration(session.handshake_deadline),
                     "; it must be positive"));
  }
  if (session.idle_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "session.idle_timeout is ", absl::FormatDuration(session.idle_timeout),
        "; it must be positive, or infinite for none"));
  }
  if (session.retransmission_timeout < absl::Milliseconds(10) ||
      session.retransmission_timeout > absl::Minutes(1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("session.retransmission_timeout is ",
                     absl::FormatDuration(session.retransmission_timeout),
                     "; it must be from 10ms to 1min"));
  }
  if (session.max_retransmission_timeout < session.retransmission_timeout) {
    return absl::InvalidArgumentError(absl::StrCat(
        "session.max_retransmission_timeout is ",
        absl::FormatDuration(session.max_retransmission_timeout),
        "; it must not be less than session.retransmission_timeout, which is ",
        absl::FormatDuration(session.retransmission_timeout)));
  }
  if (session.min_retransmission_timeout < absl::Milliseconds(10) ||
      session.min_retransmission_timeout > session.max_retransmission_timeout) {
    return absl::InvalidArgumentError(
        absl::StrCat("session.min_retransmission_timeout is ",
                     absl::FormatDuration(session.min_retransmission_timeout),
                     "; it must be from 10ms to "
                     "session.max_retransmission_timeout"));
  }
  if (!(session.retransmission_factor >= 1 &&
        session.retransmission_factor <= 10)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "session.retransmission_factor is ", session.retransmission_factor,
        "; it must be from 1 to 10"));
  }
  if (session.max_retransmissions < 1 ||
      session.max_retransmissions > kMaxRetransmissions) {
    return absl::InvalidArgumentError(absl::StrCat(
        "session.max_retransmissions is ", session.max_retransmissions,
        "; it must be from 1 to ", kMaxRetransmissions));
  }
  if (session.replay_window < kMinReplayWindow ||
      session.replay_window > kMaxReplayWindow) {
    return absl::InvalidArgumentError(
        absl::StrCat("session.replay_window is ", session.replay_window,
                     " records; it must be from ", kMinReplayWindow, " to ",
                     kMaxReplayWindow));
  }
  if (session.max_queued_messages == 0) {
    return absl::InvalidArgumentError(
        "session.max_queued_messages is 0; it must be at least 1");
  }
  if (session.max_queued_bytes == 0) {
    return absl::InvalidArgumentError(
        "session.max_queued_bytes is 0; it must be at least 1");
  }
  return absl::OkStatus();
}

absl::Status CheckPsk(const PreSharedKey& psk) {
  if (psk.identity.empty() || psk.identity.size() > PSK_MAX_IDENTITY_LEN ||
      psk.identity.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("the identity of a pre-shared key has ",
                     psk.identity.size(), " bytes; it must have from 1 to ",
                     PSK_MAX_IDENTITY_LEN, ", and none of them 0"));
  }
  if (psk.key.empty() || psk.key.size() > PSK_MAX_PSK_LEN) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the pre-shared key of \"", psk.identity, "\" has ", psk.key.size(),
        " bytes; it must have from 1 to ", PSK_MAX_PSK_LEN));
  }
  return absl::OkStatus();
}

absl::Status CheckPskHint(const std::string& hint) {
  if (hint.size() <= PSK_MAX_IDENTITY_LEN &&
      hint.find('\0') == std::string::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "psk_identity_hint has ", hint.size(), " bytes; it may have at most ",
      PSK_MAX_IDENTITY_LEN, ", and none of them 0"));
}

absl::Status CheckName(absl::string_view field, const std::string& name) {
  if (name.find('\0') == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      field, " is \"", absl::CEscape(name), "\", which is not a host name"));
}

absl::Status CheckVersions(const ProtocolOptions& options) {
  if (options.min_version > options.max_version) {
    return absl::InvalidArgumentError(
        "min_version must not be above max_version");
  }
  if (options.min_version == ProtocolVersion::kDtls10) {
    return absl::InvalidArgumentError(
        "min_version is DTLS 1.0, which has no AEAD cipher suites: the oldest "
        "is DTLS 1.2");
  }
  if (options.max_version == ProtocolVersion::kDtls13) {
    return absl::InvalidArgumentError(
        "max_version is DTLS 1.3, which is not supported: the newest is DTLS "
        "1.2");
  }
  return absl::OkStatus();
}

absl::Status SetCiphers(SettingsTarget target, const std::string& names,
                        bool certificates, bool psk) {
  absl::StatusOr<std::string> list = CipherList(names, certificates, psk);
  if (!list.ok()) return list.status();
  const int result =
      target.ctx != nullptr
          ? SSL_CTX_set_strict_cipher_list(target.ctx, list->c_str())
          : SSL_set_strict_cipher_list(target.ssl, list->c_str());
  if (result == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the cipher suites \"", names, "\" cannot be used: ", LastSslError()));
}

absl::Status SetGroups(SettingsTarget target, const std::string& names) {
  const std::string list =
      names.empty()
          ? kDefaultGroups
          : absl::StrJoin(
                std::vector<absl::string_view>(absl::StrSplit(
                    names, absl::ByAnyChar(":, "), absl::SkipEmpty())),
                ":");
  const int result = target.ctx != nullptr
                         ? SSL_CTX_set1_curves_list(target.ctx, list.c_str())
                         : SSL_set1_curves_list(target.ssl, list.c_str());
  if (result == 1) return absl::OkStatus();
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(
      "the groups \"", names,
      "\" cannot be used: choose from X25519, P-256, P-384 and P-521"));
}

absl::Status SetSrtpProfiles(SettingsTarget target,
                             const std::vector<std::string>& profiles) {
  if (profiles.empty()) return absl::OkStatus();
  const std::string list = absl::StrJoin(profiles, ":");
  const int result = target.ctx != nullptr
                         ? SSL_CTX_set_srtp_profiles(target.ctx, list.c_str())
                         : SSL_set_srtp_profiles(target.ssl, list.c_str());
  if (result == 1) return absl::OkStatus();
  ERR_clear_error();
  return absl::InvalidArgumentError(
      absl::StrCat("the SRTP profiles \"", list,
                   "\" cannot be used: choose from SRTP_AEAD_AES_128_GCM, "
                   "SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80 and "
                   "SRTP_AES128_CM_SHA1_32"));
}

}  // namespace cordon::dtls::internal
