#include "cordon/dtls/credentials.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/pkcs8.h>
#include <openssl/sha.h>
#include <openssl/stack.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cordon/dtls/internal/readable_name.h"

namespace cordon::dtls {
namespace {

// Much more than all authorities of the world need; devices have no end.
constexpr size_t kMaxFileBytes = size_t{16} << 20;

absl::StatusOr<std::string> ReadFile(absl::string_view path) {
  std::ifstream file{std::string(path), std::ios::binary};
  std::string text;
  std::array<char, 65536> buffer;
  while (file && text.size() <= kMaxFileBytes) {
    file.read(buffer.data(), buffer.size());
    text.append(buffer.data(), static_cast<size_t>(file.gcount()));
  }
  if (!file.eof() && text.size() <= kMaxFileBytes) {
    const int error = errno;
    return absl::NotFoundError(
        absl::StrCat("cannot read ", path, ": ", strerrordesc_np(error)));
  }
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " has more than ", kMaxFileBytes, " bytes: it is none of ours"));
  }
  return text;
}

bool HasPem(absl::string_view text) {
  return absl::StrContains(text, "-----BEGIN ");
}

bssl::UniquePtr<BIO> Reader(absl::string_view text) {
  return bssl::UniquePtr<BIO>(
      BIO_new_mem_buf(text.data(), static_cast<ossl_ssize_t>(text.size())));
}

std::string TextOf(BIO* bio) {
  const uint8_t* text = nullptr;
  size_t size = 0;
  BIO_mem_contents(bio, &text, &size);
  return {reinterpret_cast<const char*>(text), size};
}

// Writes to memory; empty if there is none.
std::string Written(const std::function<int(BIO*)>& write) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || write(bio.get()) != 1) {
    ERR_clear_error();
    return "";
  }
  return TextOf(bio.get());
}

std::string PemOf(X509* certificate) {
  return Written(
      [&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

std::string PemOf(EVP_PKEY* key) {
  return Written([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr,
                                         nullptr);
  });
}

bssl::UniquePtr<X509> CertificateFromDer(absl::string_view der) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(der.data());
  bssl::UniquePtr<X509> certificate(
      d2i_X509(nullptr, &bytes, static_cast<long>(der.size())));
  ERR_clear_error();
  return certificate;
}

bssl::UniquePtr<EVP_PKEY> KeyFromDer(absl::string_view der) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(der.data());
  bssl::UniquePtr<EVP_PKEY> key(
      d2i_AutoPrivateKey(nullptr, &bytes, static_cast<long>(der.size())));
  ERR_clear_error();
  return key;
}

// The certificates of a file as PEM; empty if it has none.
std::string CertificatesIn(const std::string& text) {
  if (absl::StrContains(text, "-----BEGIN CERTIFICATE") ||
      absl::StrContains(text, "-----BEGIN X509 CERTIFICATE") ||
      absl::StrContains(text, "-----BEGIN TRUSTED CERTIFICATE")) {
    return absl::EndsWith(text, "\n") ? text : text + "\n";
  }
  bssl::UniquePtr<X509> certificate = CertificateFromDer(text);
  return certificate == nullptr ? "" : PemOf(certificate.get());
}

absl::StatusOr<bssl::UniquePtr<X509>> OneCertificate(absl::string_view text) {
  bssl::UniquePtr<X509> certificate;
  if (HasPem(text)) {
    bssl::UniquePtr<BIO> bio = Reader(text);
    certificate.reset(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  } else {
    certificate = CertificateFromDer(text);
  }
  ERR_clear_error();
  if (certificate != nullptr) return certificate;
  return absl::InvalidArgumentError(
      "no certificate in PEM or DER form: it has no fingerprint");
}

// SHA-256 in hexadecimal of what was allocated at `der`, and frees it.
absl::StatusOr<std::string> DigestOf(uint8_t* der, int size) {
  if (size < 0) {
    ERR_clear_error();
    return absl::ResourceExhaustedError("out of memory");
  }
  bssl::UniquePtr<uint8_t> owner(der);
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(der, static_cast<size_t>(size), digest.data());
  return absl::BytesToHexString(
      {reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace

absl::StatusOr<Certificate> LoadCertificate(absl::string_view chain_path,
                                            absl::string_view key_path,
                                            absl::string_view password) {
  absl::StatusOr<std::string> chain = ReadFile(chain_path);
  if (!chain.ok()) return chain.status();
  absl::StatusOr<std::string> key = ReadFile(key_path);
  if (!key.ok()) return key.status();
  Certificate certificate;
  certificate.key_password = std::string(password);
  if (HasPem(*chain)) {
    certificate.chain_pem = *std::move(chain);
  } else if (bssl::UniquePtr<X509> x509 = CertificateFromDer(*chain);
             x509 != nullptr) {
    certificate.chain_pem = PemOf(x509.get());
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat(chain_path, " has no certificate in PEM or DER form"));
  }
  if (HasPem(*key)) {
    certificate.key_pem = *std::move(key);
  } else if (bssl::UniquePtr<EVP_PKEY> pkey = KeyFromDer(*key);
             pkey != nullptr) {
    certificate.key_pem = PemOf(pkey.get());
    OPENSSL_cleanse(key->data(), key->size());
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat(key_path, " has no private key in PEM or DER form"));
  }
  return certificate;
}

absl::StatusOr<Certificate> ParsePkcs12(absl::string_view bytes,
                                        absl::string_view password,
                                        absl::string_view what) {
  CBS cbs;
  CBS_init(&cbs, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  EVP_PKEY* raw_key = nullptr;
  bssl::UniquePtr<STACK_OF(X509)> others(sk_X509_new_null());
  if (others == nullptr) return absl::ResourceExhaustedError("out of memory");
  std::string secret(password);
  const bool read = PKCS12_get_key_and_certs(&raw_key, others.get(), &cbs,
                                             secret.c_str()) == 1;
  OPENSSL_cleanse(secret.data(), secret.size());
  bssl::UniquePtr<EVP_PKEY> key(raw_key);
  const uint32_t error = ERR_peek_last_error();
  ERR_clear_error();
  if (!read) {
    const bool wrong_password =
        ERR_GET_LIB(error) == ERR_LIB_PKCS8 &&
        ERR_GET_REASON(error) == PKCS8_R_INCORRECT_PASSWORD;
    return absl::InvalidArgumentError(absl::StrCat(
        what, wrong_password
                  ? " cannot be opened: the password is wrong"
                  : " cannot be read: it is no PKCS#12, or damaged, or uses a "
                    "cipher that is not supported"));
  }
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has no private key"));
  }
  // The order of the certificates is not promised: ours is the key's.
  Certificate certificate;
  std::string rest;
  for (size_t i = 0; i < sk_X509_num(others.get()); ++i) {
    X509* x509 = sk_X509_value(others.get(), i);
    const bool ours = certificate.chain_pem.empty() &&
                      X509_check_private_key(x509, key.get()) == 1;
    const std::string pem = PemOf(x509);
    if (pem.empty()) return absl::ResourceExhaustedError("out of memory");
    (ours ? certificate.chain_pem : rest) += pem;
  }
  ERR_clear_error();
  if (certificate.chain_pem.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has no certificate for its private key"));
  }
  certificate.chain_pem += rest;
  certificate.key_pem = PemOf(key.get());
  return certificate;
}

absl::StatusOr<Certificate> LoadPkcs12(absl::string_view path,
                                       absl::string_view password) {
  absl::StatusOr<std::string> bytes = ReadFile(path);
  if (!bytes.ok()) return bytes.status();
  return ParsePkcs12(*bytes, password, path);
}

absl::StatusOr<TrustAnchors> LoadTrustAnchors(absl::string_view path) {
  const std::filesystem::path where{std::string(path)};
  std::error_code error;
  TrustAnchors anchors;
  if (!std::filesystem::is_directory(where, error)) {
    absl::StatusOr<std::string> text = ReadFile(path);
    if (!text.ok()) return text.status();
    anchors.pem = CertificatesIn(*text);
    if (anchors.pem.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " has no certificate in PEM or DER form"));
    }
    return anchors;
  }
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(where, error)) {
    if (entry.is_regular_file(error)) files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  // One certificate often has several names there.
  absl::flat_hash_set<std::string> seen;
  for (const std::string& file : files) {
    absl::StatusOr<std::string> text = ReadFile(file);
    if (!text.ok()) return text.status();
    std::string pem = CertificatesIn(*text);
    if (!pem.empty() && seen.insert(pem).second) anchors.pem += pem;
  }
  if (anchors.pem.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no file in ", path, " has a certificate in PEM or DER form"));
  }
  return anchors;
}

absl::StatusOr<std::string> LoadCrls(absl::string_view path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  if (absl::StrContains(*text, "-----BEGIN X509 CRL-----")) return text;
  const auto* der = reinterpret_cast<const uint8_t*>(text->data());
  bssl::UniquePtr<X509_CRL> crl(
      d2i_X509_CRL(nullptr, &der, static_cast<long>(text->size())));
  ERR_clear_error();
  if (crl == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has no revocation list in PEM or DER form"));
  }
  std::string pem =
      Written([&](BIO* bio) { return PEM_write_bio_X509_CRL(bio, crl.get()); });
  if (pem.empty()) return absl::ResourceExhaustedError("out of memory");
  return pem;
}

absl::StatusOr<std::string> FingerprintOf(absl::string_view certificate) {
  absl::StatusOr<bssl::UniquePtr<X509>> x509 = OneCertificate(certificate);
  if (!x509.ok()) return x509.status();
  uint8_t* der = nullptr;
  const int size = i2d_X509(x509->get(), &der);
  return DigestOf(der, size);
}

absl::StatusOr<std::string> SpkiFingerprintOf(absl::string_view certificate) {
  absl::StatusOr<bssl::UniquePtr<X509>> x509 = OneCertificate(certificate);
  if (!x509.ok()) return x509.status();
  uint8_t* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509->get()), &der);
  return DigestOf(der, size);
}

absl::StatusOr<std::string> IssuerAndSerialOf(absl::string_view certificate) {
  absl::StatusOr<bssl::UniquePtr<X509>> x509 = OneCertificate(certificate);
  if (!x509.ok()) return x509.status();
  const ASN1_INTEGER* serial = X509_get0_serialNumber(x509->get());
  return absl::StrCat(
      absl::BytesToHexString(
          {reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
           static_cast<size_t>(ASN1_STRING_length(serial))}),
      "@", internal::ReadableName(X509_get_issuer_name(x509->get())));
}

absl::StatusOr<PreSharedKey> ParsePreSharedKey(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) {
    return absl::InvalidArgumentError(
        "a pre-shared key is written IDENTITY:HEX, as in "
        "sensor1:000102030405060708090a0b0c0d0e0f");
  }
  const absl::string_view hex = text.substr(colon + 1);
  // What stands before the last colon may be a part of the key, too.
  for (char c : hex) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) {
      return absl::InvalidArgumentError(
          "the key, which follows the last \":\", is not hexadecimal");
    }
  }
  if (hex.empty() || hex.size() % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key, which follows the last \":\", has ", hex.size(),
                     " hexadecimal digits; it needs an even number of them"));
  }
  const std::string key = absl::HexStringToBytes(hex);
  return PreSharedKey{std::string(text.substr(0, colon)),
                      {key.begin(), key.end()}};
}

}  // namespace cordon::dtls
