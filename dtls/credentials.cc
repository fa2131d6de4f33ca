#include "cordon/dtls/credentials.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace cordon::dtls {
namespace {

absl::StatusOr<std::string> ReadFile(absl::string_view path) {
  std::ifstream file{std::string(path), std::ios::binary};
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    const int error = errno;
    return absl::NotFoundError(
        absl::StrCat("cannot read ", path, ": ", strerrordesc_np(error)));
  }
  return text.str();
}

}  // namespace

absl::StatusOr<Certificate> LoadCertificate(absl::string_view chain_path,
                                            absl::string_view key_path) {
  absl::StatusOr<std::string> chain = ReadFile(chain_path);
  if (!chain.ok()) return chain.status();
  absl::StatusOr<std::string> key = ReadFile(key_path);
  if (!key.ok()) return key.status();
  return Certificate{*std::move(chain), *std::move(key)};
}

absl::StatusOr<TrustAnchors> LoadTrustAnchors(absl::string_view path) {
  absl::StatusOr<std::string> pem = ReadFile(path);
  if (!pem.ok()) return pem.status();
  if (pem->find("-----BEGIN") == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has no certificate in PEM form"));
  }
  return TrustAnchors{.pem = *std::move(pem)};
}

absl::StatusOr<PreSharedKey> ParsePreSharedKey(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) {
    return absl::InvalidArgumentError(
        "a pre-shared key is written IDENTITY:HEX, as in "
        "sensor1:000102030405060708090a0b0c0d0e0f");
  }
  const absl::string_view hex = text.substr(colon + 1);
  for (char c : hex) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the key of \"", text.substr(0, colon), "\" is not hexadecimal"));
    }
  }
  if (hex.empty() || hex.size() % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key of \"", text.substr(0, colon),
                     "\" needs an even number of hexadecimal digits"));
  }
  const std::string key = absl::HexStringToBytes(hex);
  return PreSharedKey{std::string(text.substr(0, colon)),
                      {key.begin(), key.end()}};
}

}  // namespace cordon::dtls
