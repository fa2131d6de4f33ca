// A Unix socket in the file system that only its owner can reach.
#ifndef CORDON_DTLS_CONTROL_UNIX_SOCKET_H_
#define CORDON_DTLS_CONTROL_UNIX_SOCKET_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::dtls::control {

// The file of a listening socket. Removed when destroyed, unless somebody has
// put another one in its place.
class UnixSocketFile {
 public:
  UnixSocketFile() = default;
  UnixSocketFile(std::string path, dev_t device, ino_t inode)
      : path_(std::move(path)), device_(device), inode_(inode) {}
  UnixSocketFile(UnixSocketFile&& other) noexcept
      : path_(std::exchange(other.path_, {})),
        device_(other.device_),
        inode_(other.inode_) {}
  UnixSocketFile& operator=(UnixSocketFile&& other) noexcept;
  ~UnixSocketFile();

  // Absolute.
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

struct UnixListener {
  net::UniqueFd socket = {};
  UnixSocketFile file = {};
};

// Binds and listens, without blocking calls. The file has `mode` from its first
// moment, whatever the process's umask. A socket file that nobody listens on is
// replaced. Meanwhile, and while the file is removed, there is a lock file
// ".NAME.lock" beside it, of mode 0600.
//
// kInvalidArgument: the path is empty or too long for the system.
// kAlreadyExists: another process listens there, or there is a file that is not
// a socket. kFailedPrecondition: the lock file is not ours. kUnavailable:
// another process of ours does the same at this moment. Otherwise the system's
// error.
absl::StatusOr<UnixListener> ListenOnUnixSocket(absl::string_view path,
                                                mode_t mode);

// The user id of the process that connected.
absl::StatusOr<uid_t> PeerUser(int socket);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_UNIX_SOCKET_H_
