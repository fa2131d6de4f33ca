#include "cordon/dtls/control/unix_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
//
// It is a file of ours, ".NAME.lock" beside the socket, which no other user can
// open, and so cannot lock. It is there for as long as it is held.
class SocketLock {
 public:
  static absl::StatusOr<SocketLock> Take(const std::string& socket_path) {
    const std::filesystem::path socket(socket_path);
    const std::string path =
        socket.parent_path() /
        absl::StrCat(".", socket.filename().string(), ".lock");
    // Whoever held it before may have removed it after we had opened it.
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      net::UniqueFd fd(open(
          path.c_str(),
          O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
          0600));
      if (!fd.valid()) {
        return net::ErrnoStatus(errno, absl::StrCat("cannot open ", path));
      }
      if (absl::Status status = Check(fd.get(), path); !status.ok()) {
        return status;
      }
      if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) break;
      if (IsAt(path, fd.get())) return SocketLock(path, std::move(fd));
    }
    return absl::UnavailableError(
        absl::StrCat("another process of this user is putting a socket at ",
                     socket_path, ": try again"));
  }

  SocketLock(SocketLock&& other) noexcept
      : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)) {}
  SocketLock& operator=(SocketLock&&) = delete;
  ~SocketLock() {
    // Ours, for as long as it is locked.
    if (!path_.empty()) unlink(path_.c_str());
  }

 private:
  static constexpr int kAttempts = 16;

  SocketLock(std::string path, net::UniqueFd fd)
      : path_(std::move(path)), fd_(std::move(fd)) {}

  static absl::Status Check(int fd, const std::string& path) {
    struct stat file = {};
    if (fstat(fd, &file) != 0) {
      return net::ErrnoStatus(errno, absl::StrCat("cannot look at ", path));
    }
    const auto refuse = [&](absl::string_view why) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ", which is to be locked, ", why, ": remove it"));
    };
    if (!S_ISREG(file.st_mode)) return refuse("is not a regular file");
    if (file.st_uid != geteuid()) {
      return refuse(absl::StrCat("belongs to user ", file.st_uid));
    }
    if ((file.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
      return refuse("can be opened by other users");
    }
    // The umask may have taken some of what we need the next time.
    if ((file.st_mode & 0600) != 0600 && fchmod(fd, 0600) != 0) {
      return net::ErrnoStatus(errno,
                              absl::StrCat("cannot set the mode of ", path));
    }
    return absl::OkStatus();
  }

  static bool IsAt(const std::string& path, int fd) {
    struct stat there = {};
    struct stat ours = {};
    return lstat(path.c_str(), &there) == 0 && fstat(fd, &ours) == 0 &&
           there.st_dev == ours.st_dev && there.st_ino == ours.st_ino;
  }

  std::string path_;
  net::UniqueFd fd_;
};

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
  const absl::StatusOr<SocketLock> lock = SocketLock::Take(path_);
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
  const absl::StatusOr<SocketLock> lock = SocketLock::Take(absolute);
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
