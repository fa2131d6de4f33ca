// Certificates, which peers may make as they like: reading and judging them.
//
// Input: which peer; then either counted certificates in DER, or changes to a
// good chain.
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/stack.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/internal/name_pattern.h"
#include "cordon/dtls/internal/peer_identity.h"
#include "cordon/dtls/internal/peer_verifier.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/fuzz/input.h"
#include "cordon/testing/sim/virtual_clock.h"

namespace cordon::testing {
namespace {

using dtls::internal::NamePattern;
using dtls::internal::PeerVerifier;

constexpr size_t kMaxCertificates = 6;
constexpr size_t kMaxChanges = 8;

struct Good {
  dtls::TrustAnchors trust;
  // In DER, the peer's own first.
  std::vector<std::string> chain = {};
  // What the signature of the first covers.
  std::string signed_part = {};
};

std::string ToBeSigned(X509* certificate) {
  uint8_t* der = nullptr;
  const int size = i2d_X509_tbs(certificate, &der);
  Require(size > 0, "a certificate has something that is signed");
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

const Good& GoodChain() {
  static const auto* const good = [] {
    const TestAuthority root("Test CA");
    const dtls::Certificate leaf =
        root.IssueAuthority("Test CA 2")
            .Issue({.common_name = "peer",
                    .dns_names = {"localhost", "*.example.com"},
                    .ip_addresses = {"192.0.2.1"},
                    .uris = {"spiffe://example.com/ns/a/sa/web"}});
    auto* made = new Good{.trust = root.trust()};
    const std::vector<bssl::UniquePtr<X509>> certificates =
        *dtls::internal::ParseCertificates(leaf.chain_pem, "chain");
    for (const bssl::UniquePtr<X509>& certificate : certificates) {
      uint8_t* der = nullptr;
      const int size = i2d_X509(certificate.get(), &der);
      made->chain.emplace_back(reinterpret_cast<char*>(der),
                               static_cast<size_t>(size));
      OPENSSL_free(der);
      if (made->signed_part.empty()) {
        made->signed_part = ToBeSigned(certificate.get());
      }
    }
    return made;
  }();
  return *good;
}

std::vector<std::string> ReadChain(Input& input) {
  std::vector<std::string> chain;
  while (!input.empty() && chain.size() < kMaxCertificates) {
    chain.push_back(input.Text(input.Word()));
  }
  return chain;
}

std::vector<std::string> ChangeChain(Input& input) {
  std::vector<std::string> chain = GoodChain().chain;
  for (size_t i = 0; i < kMaxChanges && !input.empty(); ++i) {
    const uint8_t what = input.Byte();
    std::string& der = chain[input.Below(chain.size())];
    const size_t at = input.Below(der.size());
    switch (what % 4) {
      case 0:
        if (!der.empty()) der[at] = static_cast<char>(input.Byte());
        break;
      case 1:
        der.resize(at);
        break;
      case 2:
        std::swap(der, chain[input.Below(chain.size())]);
        break;
      default:
        if (chain.size() < kMaxCertificates) {
          // A copy, for the vector may move.
          std::string copy = der;
          chain.push_back(std::move(copy));
        }
        break;
    }
  }
  return chain;
}

// A name that a log can show.
void CheckReadable(absl::string_view name) {
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    Require(byte >= 0x20 && byte != 0x7f, "names have no control characters");
  }
}

void CheckIdentity(const dtls::PeerIdentity& peer) {
  CheckReadable(peer.subject);
  CheckReadable(peer.issuer);
  for (const char* text :
       {"localhost", "*.example.com", "uri:spiffe://example.com/**"}) {
    const NamePattern pattern = *NamePattern::Parse(text);
    Require(!pattern.Allows(peer) || pattern.Denies(peer),
            "what a pattern allows it can deny");
  }
}

void Judge(Input& input) {
  const uint8_t mode = input.Byte();
  const auto role = (mode & 1) != 0 ? PeerVerifier::Peer::kClient
                                    : PeerVerifier::Peer::kServer;
  const std::vector<std::string> chain =
      (mode & 2) != 0 ? ChangeChain(input) : ReadChain(input);
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> stack(sk_CRYPTO_BUFFER_new_null());
  for (const std::string& der : chain) {
    bssl::PushToStack(stack.get(),
                      bssl::UniquePtr<CRYPTO_BUFFER>(CRYPTO_BUFFER_new(
                          reinterpret_cast<const uint8_t*>(der.data()),
                          der.size(), nullptr)));
  }
  CheckIdentity(dtls::internal::IdentityOf(stack.get()));

  dtls::VerificationOptions options;
  options.common_name_fallback = (mode & 4) != 0;
  const PeerVerifier verifier =
      *PeerVerifier::Create(GoodChain().trust, options, role);
  const std::vector<dtls::VerificationError> errors = verifier.Verify(
      stack.get(), {.name = "localhost", .now = VirtualClock::Epoch()});
  for (const dtls::VerificationError& error : errors) {
    CheckReadable(error.subject);
    CheckReadable(error.message);
  }
  Require(
      !errors.empty() || (!chain.empty() &&
                          absl::StrContains(chain[0], GoodChain().signed_part)),
      "nobody else than the authority's peer is good");
}

}  // namespace
}  // namespace cordon::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cordon::testing::Input input(data, size);
  cordon::testing::Judge(input);
  return 0;
}
