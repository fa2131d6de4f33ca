// Files with secrets in them, which only their owner may read.
#ifndef CORDON_TOOLS_SECRET_FILE_H_
#define CORDON_TOOLS_SECRET_FILE_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cordon::tools {

// Every error names the file.

// A secret, and whether it is one.
struct SecretFile {
  std::string content = {};
  // kPermissionDenied: users other than the file's owner may read or change it,
  // or it belongs to somebody who is neither we nor root; with what to do about
  // that. OK for what is not a regular file, such as a pipe.
  absl::Status privacy = {};
};
// kNotFound if there is no such file.
absl::StatusOr<SecretFile> ReadSecretFile(const std::string& path);

// Writes a new file with mode 0600 and puts it in the place of `path`, so that
// nobody ever finds half of it.
absl::Status ReplaceSecretFile(const std::string& path,
                               absl::string_view content);

// Appends what it is called with as lines to `path`, which is made with mode
// 0600 if it is not there. Any number of threads and processes may do so to one
// file. `on_failure` is told of the first line that cannot be written, on the
// thread that writes.
//
// kFailedPrecondition: what is there already would give the secrets away: it is
// a symbolic link, has another name, is not a regular file, belongs to another
// user, or is one that other users may read or change.
absl::StatusOr<std::function<void(absl::string_view)>> OpenSecretLog(
    const std::string& path,
    std::function<void(const absl::Status&)> on_failure);

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_SECRET_FILE_H_
