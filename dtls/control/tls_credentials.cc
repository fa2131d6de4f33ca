#include "cordon/dtls/control/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "cordon/dtls/credentials.h"
#include "cordon/net/base/errno_status.h"

namespace cordon::dtls::control {
namespace {

// Which file it was when it was read.
struct FileStamp {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  int64_t modified = 0;
  int64_t changed = 0;

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};
using Stamps = std::array<FileStamp, 3>;

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// A file that is not there has a stamp, too.
FileStamp StampOf(const std::string& path) {
  struct stat file = {};
  if (stat(path.c_str(), &file) != 0) return {};
  return {.device = file.st_dev,
          .inode = file.st_ino,
          .size = file.st_size,
          .modified = Nanoseconds(file.st_mtim),
          .changed = Nanoseconds(file.st_ctim)};
}

Stamps StampsOf(const TlsFiles& files) {
  return {StampOf(files.certificate), StampOf(files.key),
          StampOf(files.client_authorities)};
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

absl::Status CheckPair(const Certificate& pair, const TlsFiles& files) {
  const bssl::UniquePtr<X509> certificate(PEM_read_bio_X509(
      Reader(pair.chain_pem).get(), nullptr, nullptr, nullptr));
  const bssl::UniquePtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(
      Reader(pair.key_pem).get(), nullptr, NoPassword, nullptr));
  const bool match = certificate != nullptr && key != nullptr &&
                     X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(files.certificate, " has no certificate"));
  }
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
  return TlsMaterial{*std::move(certificate), *std::move(authorities)};
}

// What gRPC is given, anew whenever the files have changed.
class Source {
 public:
  Source(TlsFiles files, std::function<void(absl::string_view)> log)
      : files_(std::move(files)), log_(std::move(log)) {}

  absl::Status Start() {
    absl::MutexLock lock(&mutex_);
    stamps_ = StampsOf(files_);
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
    if (const Stamps stamps = StampsOf(files_); stamps != stamps_) {
      stamps_ = stamps;
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
  Stamps stamps_ ABSL_GUARDED_BY(mutex_);
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

// Refuses the calls of those who have no role.
void JudgeCall(void* access, grpc_auth_context* connection,
               const grpc_metadata* /*metadata*/, size_t /*count*/,
               grpc_process_auth_metadata_done_cb done, void* call) {
  const absl::StatusOr<Caller> caller =
      (*static_cast<std::shared_ptr<const AccessControl>*>(access))
          ->IdentifyCertificate(
              Properties(connection, GRPC_PEER_DNS_PROPERTY_NAME),
              Properties(connection, GRPC_PEER_URI_PROPERTY_NAME));
  const std::string message(caller.status().message());
  done(call, nullptr, 0, nullptr, 0,
       static_cast<grpc_status_code>(caller.status().raw_code()),
       message.c_str());
}

// gRPC's C++ credentials have no way to replace certificates with a check
// before, its C credentials have.
class TlsCredentials : public grpc::ServerCredentials {
 public:
  TlsCredentials(std::unique_ptr<Source> source,
                 std::shared_ptr<const AccessControl> access)
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
        {JudgeCall,
         [](void* user) {
           delete static_cast<std::shared_ptr<const AccessControl>*>(user);
         },
         new std::shared_ptr<const AccessControl>(std::move(access))});
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
    std::function<void(absl::string_view)> log) {
  auto source = std::make_unique<Source>(files, std::move(log));
  if (absl::Status status = source->Start(); !status.ok()) return status;
  return std::shared_ptr<grpc::ServerCredentials>(
      std::make_shared<TlsCredentials>(std::move(source), std::move(access)));
}

}  // namespace cordon::dtls::control
