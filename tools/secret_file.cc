#include "cordon/tools/secret_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
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

struct SecretLog {
  net::UniqueFd fd;
  std::string path;
  std::function<void(const absl::Status&)> on_failure;
  std::atomic<bool> failed = false;
};

}  // namespace

absl::StatusOr<std::string> ReadSecretFile(const std::string& path) {
  const net::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Failed("read", path);
  std::string content;
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t size = read(fd.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Failed("read", path);
    if (size == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(size));
  }
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
  log->fd.Reset(
      open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!log->fd.valid()) return Failed("write", path);
  return [log](absl::string_view line) {
    // In one piece, so that lines of several threads are not mixed.
    if (WriteAll(log->fd.get(), absl::StrCat(line, "\n"))) return;
    const absl::Status status = Failed("write", log->path);
    if (!log->failed.exchange(true)) log->on_failure(status);
  };
}

}  // namespace cordon::tools
