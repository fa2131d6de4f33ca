// Who may have a session with a server, as a value that can be replaced while
// the server runs.
//
//   dtls::Policy policy;
//   policy.client_certificate = dtls::PeerVerification::kVerify;
//   policy.trust = *dtls::LoadTrustAnchors("/etc/ssl/devices");
//   policy.allowed_names = {"uri:spiffe://example.org/ns/*/sa/web"};
//
// A `PolicyStore` holds the one that is in force.
#ifndef CORDON_DTLS_POLICY_H_
#define CORDON_DTLS_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cordon/dtls/credentials.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/verification.h"

namespace cordon::dtls {

// An error that does not count.
//
// WARNING: with some errors nobody vouches for what a certificate says, not
// even for its names: that its issuer is unknown, or its signature wrong, or
// that it was revoked; see `BreaksTrust`. Tolerated of any peer, they let
// anybody in. Tolerate them of a certificate or of a key: of a name, or
// together with `Policy::allowed_names` but without `Policy::pins`, it is
// refused, because anybody can claim a name.
struct Tolerance {
  VerificationErrorCode error = VerificationErrorCode::kUnspecified;
  // Only for a peer whose own certificate has this SHA-256 fingerprint, in
  // hexadecimal; empty: for any.
  std::string fingerprint = {};
  // Only for a peer that has such a name, a pattern as in
  // `Policy::allowed_names`; empty: for any.
  std::string name = {};
  // Only for a peer whose public key has this SHA-256 fingerprint, that of its
  // SubjectPublicKeyInfo, in hexadecimal; empty: for any.
  std::string spki = {};

  friend bool operator==(const Tolerance&, const Tolerance&) = default;
};

// The one key, or the one certificate, that a peer may have.
struct Pin {
  enum class Kind : uint8_t {
    kSpki,  // SHA-256 of the SubjectPublicKeyInfo, as in RFC 7469
    kCertificate,
  };
  Kind kind = Kind::kSpki;
  std::string sha256 = {};  // hexadecimal, colons allowed

  friend bool operator==(const Pin&, const Pin&) = default;
};

// Plain data; it is checked when it is put in force.
struct Policy {
  // `kNone`, `kQuery`, `kVerifyIfGiven` or `kVerify`.
  PeerVerification client_certificate = PeerVerification::kNone;
  // Who may have issued client certificates, and what was revoked.
  TrustAnchors trust = {};
  // As `VerificationOptions::max_chain_depth` and `blocked`.
  int max_chain_depth = 10;
  std::vector<std::string> blocked = {};
  std::vector<Tolerance> tolerated = {};

  // If there are any, a peer's own certificate must be one of these.
  std::vector<Pin> pins = {};
  // Patterns for the DNS names and URIs among a certificate's subject
  // alternative names. "*.example.com", or "dns:*.example.com", is any name
  // with one label more (RFC 9525 section 6.3); "uri:spiffe://example.org/*" is
  // any URI in which "*" stands for characters other than "/", "?", "#" and
  // "@", and "**" for any characters. If names are allowed, a peer with a
  // certificate must have one that fits. A peer that has a name which fits a
  // denied one is refused, and there "*" ends at "/" only; so is one whose
  // certificate is for a wildcard that covers a denied name.
  std::vector<std::string> allowed_names = {};
  std::vector<std::string> denied_names = {};

  // Pre-shared keys: none at all; if there are any in the first list, only
  // these identities; and never those in the second.
  bool psk_disabled = false;
  std::vector<std::string> psk_enabled_identities = {};
  std::vector<std::string> psk_disabled_identities = {};

  // "DTLSv1.2", or empty: what the context offers.
  std::string min_version = {};

  friend bool operator==(const Policy&, const Policy&);
};

}  // namespace cordon::dtls

#endif  // CORDON_DTLS_POLICY_H_
