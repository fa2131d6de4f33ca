#include "cordon/tools/cordonctl/input_file.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cordon/tools/cordonctl/exit_code.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/secret_file.h"

namespace cordon::tools::ctl {

absl::StatusOr<std::string> ReadInputFile(const std::string& path,
                                          absl::Status* privacy) {
  absl::StatusOr<SecretFile> file =
      ReadSecretFile(path == "-" ? "/dev/stdin" : path);
  if (!file.ok()) return LocalError(Printable(file.status().message()));
  if (privacy != nullptr) *privacy = file->privacy;
  return std::move(file->content);
}

absl::StatusOr<std::string> ReadPemFile(absl::string_view flag,
                                        const std::string& path) {
  absl::StatusOr<std::string> pem = ReadInputFile(path);
  if (!pem.ok()) {
    return LocalError(absl::StrCat("--", flag, ": ", pem.status().message()));
  }
  if (!absl::StrContains(*pem, "-----BEGIN ")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, "=", Printable(path), " is not a PEM file"));
  }
  return pem;
}

}  // namespace cordon::tools::ctl
