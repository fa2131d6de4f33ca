// A file that is in memory only, for functions that read files.
#ifndef CORDON_TESTING_FUZZ_MEMORY_FILE_H_
#define CORDON_TESTING_FUZZ_MEMORY_FILE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::testing {

class MemoryFile {
 public:
  explicit MemoryFile(absl::string_view contents);
  const std::string& path() const { return path_; }

 private:
  net::UniqueFd fd_;
  std::string path_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FUZZ_MEMORY_FILE_H_
