// That BoringSSL, which we link statically, and gRPC's OpenSSL, which has
// functions of the same names, live in one process without meeting.
#include <dlfcn.h>
#include <elf.h>
#include <grpcpp/grpcpp.h>
#include <openssl/bio.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "cordon/third_party/grpc/echo.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::third_party::grpc {
namespace {

struct Identity {
  std::string certificate;
  std::string key;
};

std::string Contents(BIO* bio) {
  const uint8_t* data = nullptr;
  size_t size = 0;
  EXPECT_EQ(BIO_mem_contents(bio, &data, &size), 1);
  return {reinterpret_cast<const char*>(data), size};
}

// A certificate for localhost, signed by itself, made by BoringSSL.
Identity MakeIdentity() {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  bssl::UniquePtr<X509> x509(X509_new());
  EXPECT_EQ(EC_KEY_generate_key(ec.get()), 1);
  EXPECT_EQ(EVP_PKEY_set1_EC_KEY(key.get(), ec.get()), 1);
  EXPECT_EQ(X509_set_version(x509.get(), X509_VERSION_3), 1);
  EXPECT_EQ(ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), 1), 1);
  EXPECT_NE(X509_gmtime_adj(X509_getm_notBefore(x509.get()), -3600), nullptr);
  EXPECT_NE(X509_gmtime_adj(X509_getm_notAfter(x509.get()), 3600), nullptr);
  X509_NAME* name = X509_get_subject_name(x509.get());
  EXPECT_EQ(X509_NAME_add_entry_by_txt(
                name, "CN", MBSTRING_ASC,
                reinterpret_cast<const uint8_t*>("localhost"), -1, -1, 0),
            1);
  EXPECT_EQ(X509_set_issuer_name(x509.get(), name), 1);
  bssl::UniquePtr<X509_EXTENSION> names(X509V3_EXT_nconf_nid(
      nullptr, nullptr, NID_subject_alt_name, "DNS:localhost"));
  EXPECT_EQ(X509_add_ext(x509.get(), names.get(), -1), 1);
  EXPECT_EQ(X509_set_pubkey(x509.get(), key.get()), 1);
  EXPECT_GT(X509_sign(x509.get(), key.get(), EVP_sha256()), 0);

  bssl::UniquePtr<BIO> certificate_pem(BIO_new(BIO_s_mem()));
  bssl::UniquePtr<BIO> key_pem(BIO_new(BIO_s_mem()));
  EXPECT_EQ(PEM_write_bio_X509(certificate_pem.get(), x509.get()), 1);
  EXPECT_EQ(PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr,
                                     0, nullptr, nullptr),
            1);
  return {Contents(certificate_pem.get()), Contents(key_pem.get())};
}

class EchoService : public Echo::Service {
  ::grpc::Status Say(::grpc::ServerContext* /*context*/, const Text* request,
                     Text* response) override {
    response->set_text(request->text());
    return ::grpc::Status::OK;
  }
};

// The names that this program offers to the shared libraries it loads.
std::vector<std::string> ExportedNames() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string elf{std::istreambuf_iterator<char>(file), {}};
  Elf64_Ehdr header;
  std::memcpy(&header, elf.data(), sizeof header);
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  std::memcpy(sections.data(), elf.data() + header.e_shoff,
              sections.size() * sizeof(Elf64_Shdr));
  std::vector<std::string> names;
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_DYNSYM) continue;
    const char* strings = elf.data() + sections.at(section.sh_link).sh_offset;
    for (uint64_t at = 0; at < section.sh_size; at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, elf.data() + section.sh_offset + at, sizeof symbol);
      if (symbol.st_shndx != SHN_UNDEF) {
        names.emplace_back(strings + symbol.st_name);
      }
    }
  }
  return names;
}

std::string FileOf(const void* symbol) {
  Dl_info info;
  return dladdr(symbol, &info) != 0 ? info.dli_fname : "";
}

TEST(CoexistenceTest, GrpcSpeaksTlsBesideBoringSsl) {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  GTEST_SKIP() << "gRPC was built without ThreadSanitizer, which does not see "
                  "its locks";
#endif
#endif
  bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(DTLS_method()));
  bssl::UniquePtr<SSL> ssl(SSL_new(context.get()));
  ASSERT_NE(ssl, nullptr);
  const Identity identity = MakeIdentity();

  EchoService service;
  ::grpc::SslServerCredentialsOptions server_options;
  server_options.pem_key_cert_pairs.push_back(
      {identity.key, identity.certificate});
  int port = 0;
  ::grpc::ServerBuilder builder;
  builder.AddListeningPort("localhost:0",
                           ::grpc::SslServerCredentials(server_options), &port);
  builder.RegisterService(&service);
  std::unique_ptr<::grpc::Server> server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  ASSERT_NE(port, 0);

  ::grpc::SslCredentialsOptions client_options;
  client_options.pem_root_certs = identity.certificate;
  // A proxy that the environment names must not be asked for localhost.
  ::grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  std::unique_ptr<Echo::Stub> stub = Echo::NewStub(::grpc::CreateCustomChannel(
      "localhost:" + std::to_string(port),
      ::grpc::SslCredentials(client_options), arguments));
  ::grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() +
                    std::chrono::seconds(30));
  Text request;
  Text response;
  request.set_text("hello");
  const ::grpc::Status status = stub->Say(&call, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.text(), "hello");

  // BoringSSL's object still does what it should.
  EXPECT_TRUE(SSL_is_dtls(ssl.get()));
  SSL_set_connect_state(ssl.get());
  bssl::UniquePtr<BIO> in(BIO_new(BIO_s_mem()));
  bssl::UniquePtr<BIO> out(BIO_new(BIO_s_mem()));
  BIO* flight = out.get();
  SSL_set_bio(ssl.get(), in.release(), out.release());
  EXPECT_EQ(SSL_get_error(ssl.get(), SSL_do_handshake(ssl.get())),
            SSL_ERROR_WANT_READ);
  EXPECT_FALSE(Contents(flight).empty());
  server->Shutdown();
}

TEST(CoexistenceTest, TheSameNameIsTwoFunctions) {
  const void* ours = reinterpret_cast<const void*>(&SSL_CTX_new);
  const void* theirs = dlsym(RTLD_DEFAULT, "SSL_CTX_new");
  ASSERT_NE(theirs, nullptr) << "gRPC no longer brings a libssl of its own";
  EXPECT_NE(ours, theirs);
  EXPECT_THAT(FileOf(theirs), testing::HasSubstr("libssl"));
  EXPECT_THAT(FileOf(ours), testing::Not(testing::HasSubstr("libssl")));
}

TEST(CoexistenceTest, NothingOfBoringSslIsExported) {
  const std::vector<std::string> names = ExportedNames();
  ASSERT_FALSE(names.empty());
  for (const char* prefix :
       {"SSL_", "CRYPTO_", "OPENSSL_", "EVP_", "X509_", "BIO_", "ERR_", "BN_",
        "EC_", "PEM_", "ASN1_", "SHA256", "RAND_", "d2i_", "i2d_"}) {
    EXPECT_THAT(names,
                testing::Not(testing::Contains(testing::StartsWith(prefix))));
  }
  EXPECT_THAT(
      names,
      testing::Not(testing::Contains(testing::ContainsRegex("^_ZNK?4bssl"))));
}

}  // namespace
}  // namespace cordon::third_party::grpc
