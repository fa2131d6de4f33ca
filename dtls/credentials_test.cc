#include "cordon/dtls/credentials.h"

#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/pkcs8.h>
#include <openssl/x509.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cordon/dtls/context.h"
#include "cordon/testing/certs/certs.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::TestAuthority;

const TestAuthority& Authority() {
  static const TestAuthority* const authority = new TestAuthority("Test CA");
  return *authority;
}
const Certificate& Ours() {
  static const Certificate* const certificate =
      new Certificate(Authority().IssueAuthority("Middle").Issue(
          {.common_name = "ours", .dns_names = {"localhost"}}));
  return *certificate;
}

bssl::UniquePtr<X509> ReadCertificate(const std::string& pem) {
  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(pem.data(), static_cast<ossl_ssize_t>(pem.size())));
  return bssl::UniquePtr<X509>(
      PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}
bssl::UniquePtr<EVP_PKEY> ReadKey(const std::string& pem) {
  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(pem.data(), static_cast<ossl_ssize_t>(pem.size())));
  return bssl::UniquePtr<EVP_PKEY>(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
}

template <typename Encode, typename T>
std::string Der(Encode encode, T* object) {
  uint8_t* bytes = nullptr;
  const int size = encode(object, &bytes);
  std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

std::string EncryptedKeyPem(std::string password) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(
      bio.get(), ReadKey(Ours().key_pem).get(), EVP_aes_256_cbc(),
      password.data(), static_cast<int>(password.size()), nullptr, nullptr);
  const uint8_t* text = nullptr;
  size_t size = 0;
  BIO_mem_contents(bio.get(), &text, &size);
  return {reinterpret_cast<const char*>(text), size};
}

std::string Pkcs12(const std::string& password, bool with_key = true) {
  bssl::UniquePtr<X509> ours = ReadCertificate(Ours().chain_pem);
  const std::string rest =
      Ours().chain_pem.substr(Ours().chain_pem.find("-----BEGIN", 10));
  bssl::UniquePtr<STACK_OF(X509)> chain(sk_X509_new_null());
  bssl::PushToStack(chain.get(), ReadCertificate(rest));
  bssl::UniquePtr<EVP_PKEY> key = ReadKey(Ours().key_pem);
  bssl::UniquePtr<PKCS12> p12(
      PKCS12_create(password.c_str(), "name", with_key ? key.get() : nullptr,
                    ours.get(), chain.get(), 0, 0, 1000, 1000, 0));
  return Der(&i2d_PKCS12, p12.get());
}

class CredentialsTest : public ::testing::Test {
 protected:
  CredentialsTest() {
    std::string name = ::testing::TempDir() + "/credentials-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~CredentialsTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& bytes) {
    std::string path = absl::StrCat(folder_, "/", name);
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  static absl::Status Usable(const Certificate& certificate) {
    ServerOptions options;
    options.certificates = {certificate};
    return Context::Server(options).status();
  }

  std::string folder_;
};

// ACCEPTANCE: QC6
TEST_F(CredentialsTest, ChainAndKeyComeAsPemOrDer) {
  const std::string der_certificate =
      Der(&i2d_X509, ReadCertificate(Ours().chain_pem).get());
  const std::string der_key =
      Der(&i2d_PrivateKey, ReadKey(Ours().key_pem).get());
  for (const std::string& chain : {Ours().chain_pem, der_certificate}) {
    for (const std::string& key : {Ours().key_pem, der_key}) {
      absl::StatusOr<Certificate> loaded =
          LoadCertificate(Write("chain", chain), Write("key", key));
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      EXPECT_TRUE(Usable(*loaded).ok());
    }
  }
  for (const auto& [chain, key, what] :
       {std::tuple<std::string, std::string, std::string>{"?", "?", "chain"},
        {Ours().chain_pem, "?", "key"}}) {
    const absl::Status status =
        LoadCertificate(Write("chain", chain), Write("key", key)).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_TRUE(absl::StrContains(status.message(), "/" + what)) << status;
  }
  EXPECT_TRUE(absl::IsNotFound(
      LoadCertificate(folder_ + "/none", folder_ + "/none").status()));
}

// ACCEPTANCE: QC6
TEST_F(CredentialsTest, AnEncryptedKeyNeedsItsPassword) {
  const std::string chain = Write("chain", Ours().chain_pem);
  const std::string key = Write("key", EncryptedKeyPem("open sesame"));
  EXPECT_TRUE(Usable(*LoadCertificate(chain, key, "open sesame")).ok());
  for (const char* wrong : {"", "other"}) {
    const absl::Status status = Usable(*LoadCertificate(chain, key, wrong));
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_TRUE(absl::StrContains(status.message(), "password")) << status;
  }
}

// ACCEPTANCE: QC6
TEST_F(CredentialsTest, Pkcs12HasEverything) {
  const std::string path = Write("ours.p12", Pkcs12("secret"));
  absl::StatusOr<Certificate> loaded = LoadPkcs12(path, "secret");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(Usable(*loaded).ok());
  // Ours, and the authority in the middle.
  EXPECT_EQ(FingerprintOf(loaded->chain_pem), FingerprintOf(Ours().chain_pem));
  EXPECT_NE(loaded->chain_pem.find("-----BEGIN", 10), std::string::npos);

  absl::Status status = LoadPkcs12(path, "wrong").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "password is wrong"))
      << status;
  EXPECT_FALSE(absl::StrContains(status.message(), "\"wrong\""));
  status = LoadPkcs12(Write("bad.p12", "no such thing"), "x").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "bad.p12")) << status;
  status = ParsePkcs12(Pkcs12("s", /*with_key=*/false), "s").status();
  EXPECT_TRUE(absl::StrContains(status.message(), "private key")) << status;
}

// ACCEPTANCE: QC6
TEST_F(CredentialsTest, TrustComesFromFilesAndFolders) {
  const TestAuthority other("Other CA");
  Write("a.pem", Authority().certificate_pem());
  Write("a-again.pem", Authority().certificate_pem());
  Write("b.der",
        Der(&i2d_X509, ReadCertificate(other.certificate_pem()).get()));
  Write("README", "not a certificate");
  absl::StatusOr<TrustAnchors> all = LoadTrustAnchors(folder_);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_TRUE(absl::StrContains(all->pem, Authority().certificate_pem()));
  EXPECT_TRUE(absl::StrContains(all->pem, other.certificate_pem()));
  EXPECT_EQ(all->pem.size(), Authority().certificate_pem().size() +
                                 other.certificate_pem().size());
  EXPECT_EQ(LoadTrustAnchors(folder_ + "/b.der")->pem, other.certificate_pem());
  for (const std::string& bad :
       {folder_ + "/README", folder_ + "/none", std::string("/proc/self/fd")}) {
    EXPECT_FALSE(LoadTrustAnchors(bad).ok()) << bad;
  }
}

TEST_F(CredentialsTest, RevocationListsComeAsPemOrDer) {
  const std::string pem = Authority().Crl({Ours()});
  EXPECT_EQ(LoadCrls(Write("list.pem", pem)).value(), pem);
  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(pem.data(), static_cast<ossl_ssize_t>(pem.size())));
  bssl::UniquePtr<X509_CRL> crl(
      PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr));
  EXPECT_EQ(LoadCrls(Write("list.der", Der(&i2d_X509_CRL, crl.get()))).value(),
            pem);
  EXPECT_TRUE(absl::IsInvalidArgument(LoadCrls(Write("bad", "?")).status()));
}

TEST_F(CredentialsTest, FingerprintsAreThoseOfOpenssl) {
  const std::string der =
      Der(&i2d_X509, ReadCertificate(Ours().chain_pem).get());
  EXPECT_EQ(*FingerprintOf(der), *FingerprintOf(Ours().chain_pem));
  EXPECT_EQ(FingerprintOf(der)->size(), 64U);
  EXPECT_TRUE(absl::IsInvalidArgument(FingerprintOf("?").status()));
}

}  // namespace
}  // namespace cordon::dtls
