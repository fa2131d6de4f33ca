#include "cordon/tools/secret_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::tools {
namespace {

absl::Status Failed(absl::string_view what, const std::string& path) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat("cannot ", what, " ", path));
}

bool WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

absl::StatusOr<std::string> ReadAll(int fd, const std::string& path) {
  std::string content;
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t size = read(fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Failed("read", path);
    if (size == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(size));
  }
}

std::string Mode(const struct stat& file) {
  return absl::StrFormat("%04o", static_cast<unsigned>(file.st_mode & 07777));
}

constexpr mode_t kOthers = S_IRWXG | S_IRWXO;

absl::Status PrivacyOf(const struct stat& file, const std::string& path) {
  if (!S_ISREG(file.st_mode)) return absl::OkStatus();
  if (file.st_uid != geteuid() && file.st_uid != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " belongs to user ", file.st_uid,
                     ", who may read and change it: chown it"));
  }
  if ((file.st_mode & kOthers) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " is open to other users, by its mode ", Mode(file),
                     ": chmod 600 it"));
  }
  return absl::OkStatus();
}

// Whether secrets may be appended to an open file.
absl::Status CheckOutput(int fd, const std::string& path) {
  struct stat file = {};
  if (fstat(fd, &file) != 0) return Failed("look at", path);
  const auto refuse = [&](absl::string_view why) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot write secrets to ", path, ": ", why));
  };
  if (!S_ISREG(file.st_mode)) return refuse("it is not a regular file");
  if (file.st_uid != geteuid()) {
    return refuse(absl::StrCat("it belongs to user ", file.st_uid));
  }
  if ((file.st_mode & kOthers) != 0) {
    return refuse(absl::StrCat("it is open to other users, by its mode ",
                               Mode(file), ": chmod 600 it, or remove it"));
  }
  if (file.st_nlink != 1) {
    return refuse("it has another name, too: remove one of them");
  }
  return absl::OkStatus();
}

struct SecretLog {
  net::UniqueFd fd;
  std::string path;
  std::function<void(const absl::Status&)> on_failure;
  std::atomic<bool> failed = false;
};

}  // namespace

absl::StatusOr<SecretFile> ReadSecretFile(const std::string& path) {
  const net::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat file = {};
  if (!fd.valid() || fstat(fd.get(), &file) != 0) return Failed("read", path);
  absl::StatusOr<std::string> content = ReadAll(fd.get(), path);
  if (!content.ok()) return content.status();
  return SecretFile{.content = *std::move(content),
                    .privacy = PrivacyOf(file, path)};
}

absl::Status ReplaceSecretFile(const std::string& path,
                               absl::string_view content) {
  // mkostemp makes it with mode 0600.
  std::string temporary = absl::StrCat(path, ".XXXXXX");
  const net::UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) return Failed("write", path);
  if (WriteAll(fd.get(), content) &&
      rename(temporary.c_str(), path.c_str()) == 0) {
    return absl::OkStatus();
  }
  absl::Status status = Failed("write", path);
  unlink(temporary.c_str());
  return status;
}

absl::StatusOr<std::function<void(absl::string_view)>> OpenSecretLog(
    const std::string& path,
    std::function<void(const absl::Status&)> on_failure) {
  auto log = std::make_shared<SecretLog>();
  log->path = path;
  log->on_failure = std::move(on_failure);
  // Without O_NONBLOCK, a pipe that nobody reads would be waited for.
  log->fd.Reset(open(path.c_str(),
                     O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
                         O_NONBLOCK | O_NOCTTY,
                     0600));
  if (!log->fd.valid() && errno == ELOOP) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot write secrets to ", path,
                     ": it is a symbolic link, name the file itself"));
  }
  if (!log->fd.valid()) return Failed("write", path);
  if (absl::Status status = CheckOutput(log->fd.get(), path); !status.ok()) {
    return status;
  }
  return [log](absl::string_view line) {
    // In one piece, so that lines of several threads are not mixed.
    if (WriteAll(log->fd.get(), absl::StrCat(line, "\n"))) return;
    const absl::Status status = Failed("write", log->path);
    if (!log->failed.exchange(true)) log->on_failure(status);
  };
}

}  // namespace cordon::tools
