#include "cordon/dtls/internal/cipher_list.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace cordon::dtls::internal {
namespace {

constexpr std::array<absl::string_view, 11> kSuites = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-PSK-CHACHA20-POLY1305",
    // Only when named.
    "ECDHE-PSK-AES128-CBC-SHA",
    "ECDHE-PSK-AES256-CBC-SHA",
    "PSK-AES128-CBC-SHA",
    "PSK-AES256-CBC-SHA",
};

constexpr absl::string_view kPsk = "ECDHE-PSK-CHACHA20-POLY1305";
// Suites in brackets are equally good: the peer decides, by its hardware. Who
// has none for AES puts ChaCha20 before all of AES; to put it between the two
// of AES, as many do, says nothing.
constexpr absl::string_view kCertificates =
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-AES256-GCM-SHA384|"
    "ECDHE-ECDSA-CHACHA20-POLY1305]:"
    "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-AES256-GCM-SHA384|"
    "ECDHE-RSA-CHACHA20-POLY1305]";

}  // namespace

absl::StatusOr<std::string> CipherList(absl::string_view names,
                                       bool certificates, bool psk) {
  if (names.empty()) {
    std::vector<absl::string_view> lists;
    // Some clients offer PSK suites without having a key; those that have one,
    // and want to use it, seldom offer others.
    if (certificates) lists.push_back(kCertificates);
    if (psk) lists.push_back(kPsk);
    return absl::StrJoin(lists, ":");
  }
  const std::vector<absl::string_view> wanted =
      absl::StrSplit(names, absl::ByAnyChar(":, "), absl::SkipEmpty());
  for (absl::string_view name : wanted) {
    if (std::find(kSuites.begin(), kSuites.end(), name) == kSuites.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no cipher suite \"", name, "\"; choose from ",
                       absl::StrJoin(kSuites, ", ")));
    }
  }
  if (wanted.empty()) {
    return absl::InvalidArgumentError("the list of cipher suites is empty");
  }
  return absl::StrJoin(wanted, ":");
}

}  // namespace cordon::dtls::internal
