// Files that the user names.
#ifndef CORDON_TOOLS_CORDONCTL_INPUT_FILE_H_
#define CORDON_TOOLS_CORDONCTL_INPUT_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cordon::tools::ctl {

// "-" is the standard input. Errors name the file.
absl::StatusOr<std::string> ReadInputFile(const std::string& path);

// Also refuses what has no PEM block in it. Errors name `--flag`, too.
absl::StatusOr<std::string> ReadPemFile(absl::string_view flag,
                                        const std::string& path);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_INPUT_FILE_H_
