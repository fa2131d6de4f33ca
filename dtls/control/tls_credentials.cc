#include "cordon/dtls/control/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "cordon/dtls/control/file_stamp.h"
#include "cordon/dtls/credentials.h"

namespace cordon::dtls::control {
namespace {

std::vector<FileStamp> StampsOfFiles(const TlsFiles& files) {
  return StampsOf(std::vector<std::string>{files.certificate, files.key,
                                           files.client_authorities});
}

struct TlsMaterial {
  Certificate certificate = {};
  TrustAnchors authorities = {};
};

bssl::UniquePtr<BIO> Reader(const std::string& text) {
  return bssl::UniquePtr<BIO>(
      BIO_new_mem_buf(text.data(), static_cast<ossl_ssize_t>(text.size())));
}

// For encrypted keys. Without it, the library would ask on the terminal.
int NoPassword(char* /*buffer*/, int /*size*/, int /*writing*/,
               void* /*data*/) {
  return -1;
}

// gRPC takes the certificates of a bundle up to the first that it cannot read,
// and if that is the first of all it silently goes on with what it had.
absl::Status CheckBundle(const std::string& pem, const std::string& path) {
  const bssl::UniquePtr<BIO> reader = Reader(pem);
  size_t count = 0;
  while (true) {
    char* name = nullptr;
    char* header = nullptr;
    uint8_t* data = nullptr;
    long size = 0;
    if (PEM_read_bio(reader.get(), &name, &header, &data, &size) != 1) break;
    const bssl::UniquePtr<char> name_owner(name);
    const bssl::UniquePtr<char> header_owner(header);
    const bssl::UniquePtr<uint8_t> data_owner(data);
    const uint8_t* at = data;
    const bssl::UniquePtr<X509> certificate(d2i_X509(nullptr, &at, size));
    ++count;
    if (certificate == nullptr) {
      ERR_clear_error();
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": block ", count, " (", name, ") is not a certificate"));
    }
  }
  const uint32_t error = ERR_peek_last_error();
  ERR_clear_error();
  // What stands between blocks and behind the last one is a comment.
  if (ERR_GET_LIB(error) == ERR_LIB_PEM &&
      ERR_GET_REASON(error) == PEM_R_NO_START_LINE && count > 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": block ", count + 1, " is damaged"));
}

absl::Status CheckPair(const Certificate& pair, const TlsFiles& files) {
  const bssl::UniquePtr<X509> certificate(PEM_read_bio_X509(
      Reader(pair.chain_pem).get(), nullptr, nullptr, nullptr));
  const bssl::UniquePtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(
      Reader(pair.key_pem).get(), nullptr, NoPassword, nullptr));
  absl::Status chain = CheckBundle(pair.chain_pem, files.certificate);
  const bool match = certificate != nullptr && key != nullptr &&
                     X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(files.certificate, " has no certificate"));
  }
  if (!chain.ok()) return chain;
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(files.key, " has no private key, or it is encrypted"));
  }
  if (!match) {
    return absl::InvalidArgumentError(
        absl::StrCat("the private key in ", files.key,
                     " is not that of the certificate in ", files.certificate));
  }
  return absl::OkStatus();
}

absl::StatusOr<TlsMaterial> Load(const TlsFiles& files) {
  absl::StatusOr<Certificate> certificate =
      LoadCertificate(files.certificate, files.key);
  if (!certificate.ok()) return certificate.status();
  if (absl::Status status = CheckPair(*certificate, files); !status.ok()) {
    return status;
  }
  absl::StatusOr<TrustAnchors> authorities =
      LoadTrustAnchors(files.client_authorities);
  if (!authorities.ok()) return authorities.status();
  if (absl::Status status =
          CheckBundle(authorities->pem, files.client_authorities);
      !status.ok()) {
    return status;
  }
  return TlsMaterial{*std::move(certificate), *std::move(authorities)};
}

// What gRPC is given, anew whenever the files have changed.
class Source {
 public:
  Source(TlsFiles files, std::function<void(absl::string_view)> log)
      : files_(std::move(files)), log_(std::move(log)) {}

  absl::Status Start() {
    absl::MutexLock lock(&mutex_);
    stamps_ = StampsOfFiles(files_);
    absl::StatusOr<TlsMaterial> material = Load(files_);
    if (!material.ok()) return material.status();
    fresh_ = *std::move(material);
    return absl::OkStatus();
  }

  grpc_ssl_certificate_config_reload_status Fetch(
      grpc_ssl_server_certificate_config** config) {
    absl::MutexLock lock(&mutex_);
    // Taken before the files are read: what is changed meanwhile is seen the
    // next time.
    if (std::vector<FileStamp> stamps = StampsOfFiles(files_);
        stamps != stamps_) {
      stamps_ = std::move(stamps);
      absl::StatusOr<TlsMaterial> material = Load(files_);
      if (material.ok()) {
        fresh_ = *std::move(material);
        Log("the control service's certificate files have changed and were "
            "read "
            "again");
      } else {
        Log(
            absl::StrCat("the control service's certificate files have changed "
                         "and are bad, the old ones stay in use: ",
                         material.status().message()));
      }
    }
    if (fresh_.certificate.empty()) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    const grpc_ssl_pem_key_cert_pair pair = {
        fresh_.certificate.key_pem.c_str(),
        fresh_.certificate.chain_pem.c_str()};
    *config = grpc_ssl_server_certificate_config_create(
        fresh_.authorities.pem.c_str(), &pair, 1);
    fresh_ = {};
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

 private:
  void Log(absl::string_view line) {
    if (log_) log_(line);
  }

  const TlsFiles files_;
  const std::function<void(absl::string_view)> log_;
  absl::Mutex mutex_;
  std::vector<FileStamp> stamps_ ABSL_GUARDED_BY(mutex_);
  // Not yet given away; empty otherwise.
  TlsMaterial fresh_ ABSL_GUARDED_BY(mutex_);
};

std::vector<std::string> Properties(const grpc_auth_context* connection,
                                    const char* name) {
  std::vector<std::string> values;
  grpc_auth_property_iterator at =
      grpc_auth_context_find_properties_by_name(connection, name);
  while (const grpc_auth_property* property =
             grpc_auth_property_iterator_next(&at)) {
    values.emplace_back(property->value, property->value_length);
  }
  return values;
}

struct Judge {
  std::shared_ptr<const AccessControl> access;
  std::function<void(absl::string_view)> refused;
};

// Refuses the calls of those who have no role.
void JudgeCall(void* state, grpc_auth_context* connection,
               const grpc_metadata* /*metadata*/, size_t /*count*/,
               grpc_process_auth_metadata_done_cb done, void* call) {
  const Judge& judge = *static_cast<const Judge*>(state);
  const absl::StatusOr<Caller> caller = judge.access->IdentifyCertificate(
      Properties(connection, GRPC_PEER_DNS_PROPERTY_NAME),
      Properties(connection, GRPC_PEER_URI_PROPERTY_NAME));
  const std::string message(caller.status().message());
  if (!caller.ok() && judge.refused != nullptr) judge.refused(message);
  done(call, nullptr, 0, nullptr, 0,
       static_cast<grpc_status_code>(caller.status().raw_code()),
       message.c_str());
}

// gRPC's C++ credentials have no way to replace certificates with a check
// before, its C credentials have.
class TlsCredentials : public grpc::ServerCredentials {
 public:
  TlsCredentials(std::unique_ptr<Source> source, Judge judge)
      : source_(std::move(source)),
        credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY,
                [](void* user, grpc_ssl_server_certificate_config** config) {
                  return static_cast<Source*>(user)->Fetch(config);
                },
                source_.get()))) {
    grpc_server_credentials_set_auth_metadata_processor(
        credentials_,
        {JudgeCall, [](void* user) { delete static_cast<Judge*>(user); },
         new Judge(std::move(judge))});
  }
  ~TlsCredentials() override { grpc_server_credentials_release(credentials_); }

  // There is one, which decides who may call at all.
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/)
      override {}

 private:
  int AddPortToServer(const std::string& address,
                      grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  const std::unique_ptr<Source> source_;
  grpc_server_credentials* const credentials_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeTlsCredentials(
    const TlsFiles& files, std::shared_ptr<const AccessControl> access,
    std::function<void(absl::string_view)> log,
    std::function<void(absl::string_view)> refused) {
  auto source = std::make_unique<Source>(files, std::move(log));
  if (absl::Status status = source->Start(); !status.ok()) return status;
  return std::shared_ptr<grpc::ServerCredentials>(
      std::make_shared<TlsCredentials>(
          std::move(source),
          Judge{.access = std::move(access), .refused = std::move(refused)}));
}

}  // namespace cordon::dtls::control
