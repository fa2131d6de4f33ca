#include "cordon/tools/server_certificates.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cordon/tools/command_line.h"
#include "cordon/tools/common_flags.h"

ABSL_FLAG(cordon::tools::RepeatedFlag, sni, {},
          "Another certificate, NAME=CERT:KEY, for clients that ask for NAME. "
          "May be repeated.");

namespace cordon::tools {
namespace {

// Whether clients that ask for `name` will get this certificate.
bool HasName(const std::string& chain_pem, const std::string& name) {
  bssl::UniquePtr<BIO> bio(BIO_new_mem_buf(
      chain_pem.data(), static_cast<ossl_ssize_t>(chain_pem.size())));
  bssl::UniquePtr<X509> certificate(
      PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  return certificate != nullptr &&
         X509_check_host(certificate.get(), name.data(), name.size(),
                         X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                             X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                         nullptr) == 1;
}

// NAME=CERT:KEY.
struct SniFlag {
  std::string name;
  std::string chain;
  std::string key;
};

SniFlag ParseSni(absl::string_view program, const std::string& text) {
  const size_t equals = text.find('=');
  const size_t colon = text.rfind(':');
  if (equals == std::string::npos || equals == 0 ||
      colon == std::string::npos || colon < equals + 2 ||
      colon + 1 == text.size()) {
    DieOfUsage(program, absl::StrCat("--sni=", text, " is not NAME=CERT:KEY"));
  }
  return {text.substr(0, equals), text.substr(equals + 1, colon - equals - 1),
          text.substr(colon + 1)};
}

absl::StatusOr<dtls::Certificate> ReadSni(const SniFlag& sni) {
  absl::StatusOr<std::string> password = Password();
  if (!password.ok()) return password.status();
  absl::StatusOr<dtls::Certificate> certificate =
      dtls::LoadCertificate(sni.chain, sni.key, *password);
  if (certificate.ok() && !HasName(certificate->chain_pem, sni.name)) {
    return absl::InvalidArgumentError(absl::StrCat("--sni: the certificate in ",
                                                   sni.chain, " is not for \"",
                                                   sni.name, "\""));
  }
  return certificate;
}

std::vector<SniFlag> SniFlags(absl::string_view program) {
  std::vector<SniFlag> flags;
  for (const std::string& text : absl::GetFlag(FLAGS_sni).values) {
    flags.push_back(ParseSni(program, text));
  }
  return flags;
}

// The first that is wrong ends it.
absl::StatusOr<std::vector<dtls::Certificate>> ReadAll(
    absl::StatusOr<dtls::Certificate> own, const std::vector<SniFlag>& snis) {
  if (!own.ok()) return own.status();
  std::vector<dtls::Certificate> certificates;
  if (!own->empty()) certificates.push_back(*std::move(own));
  for (const SniFlag& sni : snis) {
    absl::StatusOr<dtls::Certificate> certificate = ReadSni(sni);
    if (!certificate.ok()) return certificate.status();
    certificates.push_back(*std::move(certificate));
  }
  return certificates;
}

}  // namespace

std::vector<dtls::Certificate> ServerCertificates(absl::string_view program) {
  absl::StatusOr<std::vector<dtls::Certificate>> certificates =
      ReadAll(OwnCertificate(program), SniFlags(program));
  if (!certificates.ok()) Die(program, certificates.status().message());
  return *std::move(certificates);
}

dtls::control::CredentialSource ServerCertificateSource(
    absl::string_view program) {
  dtls::control::CredentialSource source;
  source.files = OwnCertificateFiles();
  const std::vector<SniFlag> snis = SniFlags(program);
  for (const SniFlag& sni : snis) {
    source.files.push_back(sni.chain);
    source.files.push_back(sni.key);
  }
  source.load = [snis] { return ReadAll(ReadOwnCertificate(), snis); };
  return source;
}

}  // namespace cordon::tools
