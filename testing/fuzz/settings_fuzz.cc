// What operators write into flags and options: addresses, cipher suites, names,
// keys.
//
// Input: which of them, and the text.
#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/internal/cipher_list.h"
#include "cordon/dtls/internal/name_pattern.h"
#include "cordon/dtls/internal/peer_identity.h"
#include "cordon/dtls/options.h"
#include "cordon/dtls/verification.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/testing/fuzz/input.h"

namespace cordon::testing {
namespace {

void RequireTold(const absl::Status& status) {
  Require(status.ok() || absl::IsInvalidArgument(status), status.ToString());
  Require(status.ok() || !status.message().empty(), "an error says something");
}

void CheckEndpoint(const std::string& text) {
  const absl::StatusOr<net::Endpoint> at = net::Endpoint::Parse(text);
  RequireTold(at.status());
  if (at.ok()) {
    Require(*net::Endpoint::Parse(at->ToString()) == *at,
            "an address that is printed can be read");
  }
  const absl::StatusOr<net::Endpoint> address =
      net::Endpoint::ParseAddress(text, 7);
  RequireTold(address.status());
  if (address.ok()) {
    Require(
        *net::Endpoint::ParseAddress(address->AddressToString(), 7) == *address,
        "the same without a port");
  }
}

void CheckCipherList(const std::string& text, bool certificates, bool psk) {
  // A context without either is refused before.
  if (!certificates && !psk) return;
  const absl::StatusOr<std::string> list =
      dtls::internal::CipherList(text, certificates, psk);
  RequireTold(list.status());
  if (!list.ok()) return;
  const bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(DTLS_method()));
  Require(SSL_CTX_set_strict_cipher_list(context.get(), list->c_str()) == 1,
          "BoringSSL takes each list of ours");
  Require(sk_SSL_CIPHER_num(SSL_CTX_get_ciphers(context.get())) > 0,
          "a list names cipher suites");
}

void CheckPreSharedKey(const std::string& text) {
  const absl::StatusOr<dtls::PreSharedKey> key = dtls::ParsePreSharedKey(text);
  RequireTold(key.status());
  if (key.ok()) {
    const std::string printed = absl::StrCat(
        key->identity, ":",
        absl::BytesToHexString(
            {reinterpret_cast<const char*>(key->key.data()), key->key.size()}));
    const absl::StatusOr<dtls::PreSharedKey> again =
        dtls::ParsePreSharedKey(printed);
    Require(again.ok() && again->identity == key->identity &&
                again->key == key->key,
            "a key that is printed can be read");
    return;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || text.size() - colon < 12) return;
  Require(!absl::StrContains(key.status().message(), text.substr(colon + 1)),
          "an error does not repeat the key");
}

void CheckNamePattern(const std::string& text) {
  // The pattern, and the names of a peer.
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  const absl::StatusOr<dtls::internal::NamePattern> pattern =
      dtls::internal::NamePattern::Parse(lines[0]);
  RequireTold(pattern.status());
  if (!pattern.ok()) return;
  dtls::PeerIdentity peer;
  Require(!pattern->Allows(peer) && !pattern->Denies(peer),
          "who has no name fits no pattern");
  for (size_t i = 1; i < lines.size(); ++i) {
    (i % 2 == 1 ? peer.dns_names : peer.uris).push_back(lines[i]);
  }
  Require(!pattern->Allows(peer) || pattern->Denies(peer),
          "what a pattern allows it can deny");
}

void CheckFingerprint(const std::string& text) {
  const absl::StatusOr<std::string> binary =
      dtls::internal::ParseFingerprint(text);
  RequireTold(binary.status());
  if (!binary.ok()) return;
  Require(binary->size() == 32, "a fingerprint has 32 bytes");
  Require(*dtls::internal::ParseFingerprint(absl::BytesToHexString(*binary)) ==
              *binary,
          "a fingerprint that is printed can be read");
}

// One line for each option.
void CheckServerOptions(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  auto line = [&](size_t i) {
    return i < lines.size() ? lines[i] : std::string();
  };
  dtls::ServerOptions options;
  options.pre_shared_keys = {
      {.identity = absl::StrCat("a", line(0)), .key = {1, 2, 3, 4}}};
  options.psk_identity_hint = line(1);
  options.ciphers = line(2);
  options.groups = line(3);
  if (!line(4).empty()) options.alpn = absl::StrSplit(line(4), ',');
  if (!line(5).empty()) options.srtp_profiles = absl::StrSplit(line(5), ',');
  if (!line(6).empty()) options.verification.blocked = {line(6)};
  options.session_ticket_secret = line(7);
  RequireTold(dtls::Context::Server(std::move(options)).status());
}

void CheckSession(const std::string& bytes) {
  static const auto* const context = [] {
    dtls::ClientOptions options;
    options.pre_shared_key = {.identity = "a", .key = {1, 2, 3, 4}};
    return new dtls::Context(*dtls::Context::Client(std::move(options)));
  }();
  const absl::StatusOr<dtls::ResumableSession> session =
      context->ParseSession(bytes);
  RequireTold(session.status());
  if (!session.ok()) return;
  (void)session->expires();
  const std::string printed = session->Serialize();
  Require(context->ParseSession(printed)->Serialize() == printed,
          "a session that is written can be read");
}

void Check(Input& input) {
  const uint8_t what = input.Byte();
  const std::string text = input.RestAsText();
  switch (what % 7) {
    case 0:
      CheckEndpoint(text);
      break;
    case 1:
      CheckCipherList(text, (what & 0x80) != 0, (what & 0x40) != 0);
      break;
    case 2:
      CheckPreSharedKey(text);
      break;
    case 3:
      CheckNamePattern(text);
      break;
    case 4:
      CheckFingerprint(text);
      break;
    case 5:
      CheckServerOptions(text);
      break;
    default:
      CheckSession(text);
      break;
  }
}

}  // namespace
}  // namespace cordon::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cordon::testing::Input input(data, size);
  cordon::testing::Check(input);
  return 0;
}
