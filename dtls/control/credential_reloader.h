// Replaces listeners' certificates while they run.
#ifndef CORDON_DTLS_CONTROL_CREDENTIAL_RELOADER_H_
#define CORDON_DTLS_CONTROL_CREDENTIAL_RELOADER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/call_end.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/file_stamp.h"
#include "cordon/dtls/control/log.h"
#include "cordon/dtls/credentials.h"
#include "cordon/dtls/registry.h"

namespace cordon::dtls::control {

// Where the certificates of listeners come from.
struct CredentialSource {
  // Their name; empty: all listeners.
  std::string listener = {};
  // When one of these changes, certificates are loaded anew. A link is
  // followed, so a mounted folder whose link is swapped is seen, as Kubernetes
  // does it. May be empty.
  std::vector<std::string> files = {};
  // Reads all certificates that the listeners shall have; on the control
  // service's threads.
  std::function<absl::StatusOr<std::vector<Certificate>>()> load = {};
};

// A certificate from two files.
CredentialSource CertificateFiles(const std::string& chain_path,
                                  const std::string& key_path,
                                  const std::string& password = "");

// Thread-safe; its methods block.
class CredentialReloader {
 public:
  // Looks at the files every `interval`, in a thread of its own, unless it is
  // infinite.
  CredentialReloader(const Registry* registry, Log* log,
                     std::vector<CredentialSource> sources,
                     absl::Duration interval);
  ~CredentialReloader();
  CredentialReloader(const CredentialReloader&) = delete;
  CredentialReloader& operator=(const CredentialReloader&) = delete;

  // Control.ReloadCredentials. What is wrong with a certificate or key is an
  // error, and those in use stay.
  absl::Status Reload(
      const ::cordon::control::v1::ReloadCredentialsRequest& request,
      const Caller& caller, const CallEnd& end,
      ::cordon::control::v1::ReloadCredentialsResponse* response);

  // Ends what it is doing, as soon as the listeners let it, and looks no more.
  void Stop();

  // Loads what has changed since the last look. What fails for another reason
  // than the certificates, such as a listener that does not answer, is tried
  // again the next time.
  void CheckFiles();

 private:
  void Watch(absl::Duration interval);
  absl::StatusOr<std::vector<Context>> ContextsOf(const std::string& listener,
                                                  const CallEnd& end) const;
  absl::Status Replace(
      const std::string& listener, const std::vector<Certificate>& certificates,
      absl::string_view who, const CallEnd& end,
      ::cordon::control::v1::ReloadCredentialsResponse* response);

  const Registry* const registry_;
  Log* const log_;
  const std::vector<CredentialSource> sources_;

  // One reload at a time.
  absl::Mutex reload_mutex_;
  std::vector<std::vector<FileStamp>> seen_ ABSL_GUARDED_BY(reload_mutex_);
  // What was told of each source that is to be tried again.
  std::vector<std::string> complaints_ ABSL_GUARDED_BY(reload_mutex_);

  // Cancelled by `Stop`.
  const CallEnd stop_{absl::InfiniteFuture()};
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread watcher_;
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_CREDENTIAL_RELOADER_H_
