// Files with certificates, keys and revocation lists.
//
// Input: what it is said to be, and the file; of two texts, the first is
// counted.
#include <openssl/bytestring.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/options.h"
#include "cordon/testing/fuzz/input.h"
#include "cordon/testing/fuzz/memory_file.h"

namespace cordon::testing {
namespace {

// Of the key that is made from a password. BoringSSL does as many rounds as the
// file says, up to a hundred million.
constexpr uint64_t kMaxRounds = 5000;
constexpr int kMaxDepth = 20;

void RequireTold(const absl::Status& status) {
  Require(status.ok() || absl::IsInvalidArgument(status), status.ToString());
  Require(status.ok() || !status.message().empty(), "an error says something");
}

// True if no number in this DER, nor in the strings that are DER themselves,
// could be a large number of rounds.
bool IsQuick(CBS cbs, int depth = 0) {
  while (CBS_len(&cbs) > 0) {
    CBS element;
    CBS_ASN1_TAG tag = 0;
    size_t header = 0;
    if (!CBS_get_any_asn1_element(&cbs, &element, &tag, &header)) {
      return depth > 0;
    }
    CBS body = element;
    if (!CBS_skip(&body, header)) return false;
    uint64_t number = 0;
    if (tag == CBS_ASN1_INTEGER && CBS_len(&body) <= 4 &&
        CBS_get_asn1_uint64(&element, &number) && number > kMaxRounds) {
      return false;
    }
    const bool nested =
        (tag & CBS_ASN1_CONSTRUCTED) != 0 || tag == CBS_ASN1_OCTETSTRING;
    if (nested && (depth == kMaxDepth || !IsQuick(body, depth + 1))) {
      return false;
    }
  }
  return true;
}

void CheckCertificate(dtls::Certificate certificate) {
  dtls::ServerOptions options;
  options.certificates = {std::move(certificate)};
  const absl::StatusOr<dtls::Context> context =
      dtls::Context::Server(std::move(options));
  RequireTold(context.status());
  if (context.ok()) {
    Require(context->OwnCertificates().size() == 1, "it is its certificate");
  }
}

void CheckPkcs12(const std::string& bytes) {
  CBS cbs;
  CBS_init(&cbs, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (!IsQuick(cbs)) return;
  const absl::StatusOr<dtls::Certificate> certificate =
      dtls::ParsePkcs12(bytes, "secret");
  RequireTold(certificate.status());
  if (!certificate.ok()) return;
  Require(!certificate->chain_pem.empty() && !certificate->key_pem.empty(),
          "what is read is whole");
}

void CheckTrust(dtls::TrustAnchors trust) {
  if (trust.empty()) return;
  dtls::ClientOptions options;
  options.trust = std::move(trust);
  RequireTold(dtls::Context::Client(std::move(options)).status());
}

void CheckAnchors(const std::string& bytes) {
  const MemoryFile file(bytes);
  absl::StatusOr<dtls::TrustAnchors> anchors =
      dtls::LoadTrustAnchors(file.path());
  RequireTold(anchors.status());
  if (anchors.ok()) CheckTrust(*std::move(anchors));
  const absl::StatusOr<std::string> fingerprint = dtls::FingerprintOf(bytes);
  RequireTold(fingerprint.status());
  Require(!fingerprint.ok() || fingerprint->size() == 64,
          "a fingerprint has 32 bytes");
}

void CheckCrls(const std::string& bytes, const std::string& anchors) {
  const MemoryFile file(bytes);
  const absl::StatusOr<std::string> crls = dtls::LoadCrls(file.path());
  RequireTold(crls.status());
  if (crls.ok()) CheckTrust({.pem = anchors, .crl_pem = *crls});
}

void Check(Input& input) {
  const uint8_t what = input.Byte();
  const std::string first = input.Text(what % 3 == 0 ? input.Word() : 0);
  const std::string second = input.RestAsText();
  switch (what % 6) {
    case 0:
      // As operators give them, two texts.
      CheckCertificate({.chain_pem = first, .key_pem = second});
      break;
    case 1:
      CheckPkcs12(second);
      break;
    case 2:
      CheckAnchors(second);
      break;
    case 3:
      CheckCrls(second, first);
      break;
    case 4: {
      // One file, for both.
      const MemoryFile file(second);
      absl::StatusOr<dtls::Certificate> certificate =
          dtls::LoadCertificate(file.path(), file.path());
      RequireTold(certificate.status());
      if (certificate.ok()) CheckCertificate(*std::move(certificate));
      break;
    }
    default:
      CheckTrust({.pem = second});
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
