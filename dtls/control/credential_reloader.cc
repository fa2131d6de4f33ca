#include "cordon/dtls/control/credential_reloader.h"

#include <openssl/pool.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cordon/dtls/control/listener_call.h"
#include "cordon/dtls/control/listener_names.h"
#include "cordon/dtls/control/session_proto.h"
#include "cordon/dtls/internal/peer_identity.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;

constexpr absl::Duration kPatience = absl::Seconds(10);

v1::Certificate Describe(const std::string& der) {
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> chain(sk_CRYPTO_BUFFER_new_null());
  bssl::UniquePtr<CRYPTO_BUFFER> buffer(CRYPTO_BUFFER_new(
      reinterpret_cast<const uint8_t*>(der.data()), der.size(), nullptr));
  if (chain == nullptr || !bssl::PushToStack(chain.get(), std::move(buffer))) {
    return {};
  }
  return ToProto(internal::IdentityOf(chain.get()));
}

std::string Fingerprints(const std::vector<std::string>& certificates) {
  return absl::StrJoin(
      certificates, ", ", [](std::string* out, const std::string& der) {
        const v1::Certificate certificate = Describe(der);
        absl::StrAppend(out, certificate.subject(), " (",
                        certificate.fingerprint().substr(0, 16), ")");
      });
}

// The same certificates will not do the next time either.
bool IsForGood(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status);
}

}  // namespace

CredentialSource CertificateFiles(const std::string& chain_path,
                                  const std::string& key_path,
                                  const std::string& password) {
  CredentialSource source;
  source.files = {chain_path, key_path};
  source.load = [=]() -> absl::StatusOr<std::vector<Certificate>> {
    absl::StatusOr<Certificate> certificate =
        LoadCertificate(chain_path, key_path, password);
    if (!certificate.ok()) return certificate.status();
    return std::vector<Certificate>{*std::move(certificate)};
  };
  return source;
}

CredentialReloader::CredentialReloader(const Registry* registry, Log* log,
                                       std::vector<CredentialSource> sources,
                                       absl::Duration interval)
    : registry_(registry), log_(log), sources_(std::move(sources)) {
  for (const CredentialSource& source : sources_) {
    seen_.push_back(StampsOf(source.files));
  }
  complaints_.resize(sources_.size());
  if (!sources_.empty() && interval < absl::InfiniteDuration()) {
    watcher_ = std::thread([this, interval] { Watch(interval); });
  }
}

CredentialReloader::~CredentialReloader() {
  Stop();
  if (watcher_.joinable()) watcher_.join();
}

void CredentialReloader::Stop() {
  stop_.Cancel(absl::CancelledError("the service is being ended"));
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
}

void CredentialReloader::Watch(absl::Duration interval) {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), interval)) {
        return;
      }
    }
    CheckFiles();
  }
}

void CredentialReloader::CheckFiles() {
  absl::MutexLock lock(&reload_mutex_);
  for (size_t i = 0; i < sources_.size(); ++i) {
    // Before loading: what changes meanwhile is seen the next time.
    std::vector<FileStamp> now = StampsOf(sources_[i].files);
    if (now == seen_[i]) continue;
    absl::StatusOr<std::vector<Certificate>> certificates = sources_[i].load();
    absl::Status status = certificates.status();
    if (status.ok()) {
      status = Replace(sources_[i].listener, *certificates, "the file watch",
                       stop_.NoLaterThan(absl::Now() + kPatience), nullptr);
    }
    const bool done = status.ok() || IsForGood(status);
    if (done) seen_[i] = std::move(now);
    std::string complaint;
    if (!status.ok()) {
      complaint =
          absl::StrCat("the certificates in use stay, because those in ",
                       absl::StrJoin(sources_[i].files, " and "),
                       " cannot be used: ", status.message());
    }
    if (!complaint.empty() && complaint != complaints_[i]) {
      log_->Write(LogLevel::kError, complaint);
    }
    complaints_[i] = done ? "" : std::move(complaint);
  }
}

absl::Status CredentialReloader::Reload(
    const v1::ReloadCredentialsRequest& request, const Caller& caller,
    const CallEnd& end, v1::ReloadCredentialsResponse* response) {
  absl::MutexLock lock(&reload_mutex_);
  if (auto listeners = ListenersOf(*registry_, request.listener(), "listener");
      !listeners.ok()) {
    return listeners.status();
  }
  if (!request.credentials().empty()) {
    std::vector<Certificate> certificates;
    for (int i = 0; i < request.credentials_size(); ++i) {
      const v1::Credential& credential = request.credentials(i);
      if (credential.chain_pem().empty() || credential.key_pem().empty()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "credentials[", i, "].",
            credential.chain_pem().empty() ? "chain_pem" : "key_pem",
            ": it is missing"));
      }
      certificates.push_back({.chain_pem = credential.chain_pem(),
                              .key_pem = credential.key_pem()});
    }
    absl::Status status =
        Replace(request.listener(), certificates, caller.name, end, response);
    if (absl::IsInvalidArgument(status)) {
      return absl::InvalidArgumentError(
          absl::StrCat("credentials: ", status.message()));
    }
    return status;
  }
  bool any = false;
  for (size_t i = 0; i < sources_.size(); ++i) {
    const CredentialSource& source = sources_[i];
    if (!request.listener().empty() && !source.listener.empty() &&
        source.listener != request.listener()) {
      continue;
    }
    any = true;
    std::vector<FileStamp> now = StampsOf(source.files);
    absl::StatusOr<std::vector<Certificate>> certificates = source.load();
    if (!certificates.ok()) {
      return absl::InvalidArgumentError(certificates.status().message());
    }
    absl::Status status =
        Replace(source.listener.empty() ? request.listener() : source.listener,
                *certificates, caller.name, end, response);
    if (!status.ok()) return status;
    // Otherwise some listeners are still to have them.
    if (request.listener().empty() || !source.listener.empty()) {
      seen_[i] = std::move(now);
    }
  }
  if (any) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "credentials: it is not known from which files those of ",
      DescribeListeners(request.listener()), " come: send them in the call"));
}

absl::StatusOr<std::vector<Context>> CredentialReloader::ContextsOf(
    const std::string& listener, const CallEnd& end) const {
  auto listeners = ListenersOf(*registry_, listener, "listener");
  if (!listeners.ok()) return listeners.status();
  std::vector<Context> contexts;
  absl::flat_hash_set<const void*> seen;
  for (const std::shared_ptr<ListenerHandle>& handle : *listeners) {
    auto context = CallListener<std::shared_ptr<const Context>>(
        *handle, end, [](ListenerAdmin& admin) {
          return std::make_shared<const Context>(admin.context());
        });
    if (absl::IsUnavailable(context.status())) continue;
    if (!context.ok()) return context.status();
    if (seen.insert((*context)->state().get()).second) {
      contexts.push_back(**context);
    }
  }
  return contexts;
}

absl::Status CredentialReloader::Replace(
    const std::string& listener, const std::vector<Certificate>& certificates,
    absl::string_view who, const CallEnd& end,
    v1::ReloadCredentialsResponse* response) {
  absl::StatusOr<std::vector<Context>> contexts = ContextsOf(listener, end);
  if (!contexts.ok()) return contexts.status();
  if (contexts->empty()) {
    return absl::NotFoundError("there are no listeners to use them");
  }
  // Among others, those with pre-shared keys only are not meant.
  const auto has_none = [](const Context& context) {
    return context.OwnCertificates().empty();
  };
  if (!std::all_of(contexts->begin(), contexts->end(), has_none)) {
    std::erase_if(*contexts, has_none);
  }
  for (const Context& context : *contexts) {
    const std::vector<std::string> before = context.OwnCertificates();
    if (absl::Status status = context.ReplaceCertificates(certificates);
        !status.ok()) {
      return status;
    }
    const std::vector<std::string> now = context.OwnCertificates();
    log_->Write(LogLevel::kInfo,
                absl::StrCat(who, " replaces certificates of ",
                             DescribeListeners(listener), ": ",
                             Fingerprints(before), " -> ", Fingerprints(now)));
    if (response == nullptr || &context != &contexts->front()) continue;
    for (const std::string& der : now) {
      *response->add_certificates() = Describe(der);
    }
  }
  return absl::OkStatus();
}

}  // namespace cordon::dtls::control
