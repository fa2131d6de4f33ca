#include "cordon/dtls/control/unix_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cordon/net/base/errno_status.h"

namespace cordon::dtls::control {
namespace {

// Held while a socket file is put in place or removed, so that of two processes
// that begin at the same time neither takes the other's file for a stale one.
absl::StatusOr<net::UniqueFd> LockFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path();
  net::UniqueFd fd(
      open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    return net::ErrnoStatus(errno, absl::StrCat("cannot open ", folder));
  }
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::UnavailableError(absl::StrCat(
        "another process is changing the sockets in ", folder, ": try again"));
  }
  return fd;
}

socklen_t FillAddress(const std::string& path, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  std::memcpy(address->sun_path, path.data(), path.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                1);
}

// Removes what an earlier process has left behind.
absl::Status MakeRoom(const std::string& path) {
  struct stat found = {};
  if (lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return net::ErrnoStatus(errno, absl::StrCat("cannot look at ", path));
  }
  if (!S_ISSOCK(found.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path,
                     " is there already and is no socket: remove it or choose "
                     "another path"));
  }
  net::UniqueFd probe(
      socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return net::ErrnoStatus(errno, "cannot make a socket");
  sockaddr_un address;
  const socklen_t length = FillAddress(path, &address);
  // EAGAIN: somebody listens and is busy.
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address),
              length) == 0 ||
      errno == EAGAIN) {
    return absl::AlreadyExistsError(
        absl::StrCat("another process listens on ", path));
  }
  if (errno != ECONNREFUSED) {
    return net::ErrnoStatus(
        errno,
        absl::StrCat("cannot find out whether anybody listens on ", path));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return net::ErrnoStatus(
        errno, absl::StrCat("cannot remove the unused socket ", path));
  }
  return absl::OkStatus();
}

}  // namespace

UnixSocketFile& UnixSocketFile::operator=(UnixSocketFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  return *this;
}

UnixSocketFile::~UnixSocketFile() {
  if (path_.empty()) return;
  const absl::StatusOr<net::UniqueFd> lock = LockFolderOf(path_);
  struct stat found = {};
  if (lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ &&
      found.st_ino == inode_) {
    unlink(path_.c_str());
  }
}

absl::StatusOr<UnixListener> ListenOnUnixSocket(absl::string_view path,
                                                mode_t mode) {
  if (path.empty()) {
    return absl::InvalidArgumentError("the path of the Unix socket is empty");
  }
  if (path.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        "the path of the Unix socket has a zero byte");
  }
  std::error_code error;
  const std::string absolute =
      std::filesystem::absolute(std::string(path), error);
  if (error) {
    return net::ErrnoStatus(error.value(), absl::StrCat("cannot use ", path));
  }
  constexpr size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1;
  if (absolute.size() > kMaxPath) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the path of the Unix socket has ", absolute.size(), " bytes, at most ",
        kMaxPath, " are possible: ", absolute));
  }
  const absl::StatusOr<net::UniqueFd> lock = LockFolderOf(absolute);
  if (!lock.ok()) return lock.status();
  if (absl::Status status = MakeRoom(absolute); !status.ok()) return status;

  UnixListener listener;
  listener.socket.Reset(
      socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener.socket.valid()) {
    return net::ErrnoStatus(errno, "cannot make a socket");
  }
  // bind() gives the file the socket's own mode, less the umask. The umask
  // belongs to the whole process and is left alone.
  sockaddr_un address;
  const socklen_t length = FillAddress(absolute, &address);
  if (fchmod(listener.socket.get(), mode) != 0 ||
      bind(listener.socket.get(), reinterpret_cast<const sockaddr*>(&address),
           length) != 0) {
    return net::ErrnoStatus(errno, absl::StrCat("cannot bind ", absolute));
  }
  struct stat made = {};
  if (lstat(absolute.c_str(), &made) != 0) {
    return net::ErrnoStatus(errno, absl::StrCat("cannot look at ", absolute));
  }
  listener.file = UnixSocketFile(absolute, made.st_dev, made.st_ino);
  // Only adds what the umask took.
  if ((made.st_mode & 07777) != mode && chmod(absolute.c_str(), mode) != 0) {
    return net::ErrnoStatus(errno,
                            absl::StrCat("cannot set the mode of ", absolute));
  }
  if (listen(listener.socket.get(), SOMAXCONN) != 0) {
    return net::ErrnoStatus(errno, absl::StrCat("cannot listen on ", absolute));
  }
  return listener;
}

absl::StatusOr<uid_t> PeerUser(int socket) {
  ucred peer = {};
  socklen_t length = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return net::ErrnoStatus(errno, "cannot ask who connected");
  }
  return peer.uid;
}

}  // namespace cordon::dtls::control
