// Files that the user names.
#ifndef CORDON_TOOLS_CORDONCTL_INPUT_FILE_H_
#define CORDON_TOOLS_CORDONCTL_INPUT_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cordon::tools::ctl {

// "-" is the standard input. Errors name the file. `privacy`, if it is given,
// is set to OK, or to who else can get at the file, see tools/secret_file.h.
absl::StatusOr<std::string> ReadInputFile(const std::string& path,
                                          absl::Status* privacy = nullptr);

// Also refuses what has no PEM block in it. Errors name `--flag`, too.
absl::StatusOr<std::string> ReadPemFile(absl::string_view flag,
                                        const std::string& path);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_INPUT_FILE_H_
