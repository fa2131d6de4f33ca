#include "cordon/testing/fuzz/memory_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "cordon/testing/fuzz/input.h"

namespace cordon::testing {

MemoryFile::MemoryFile(absl::string_view contents)
    : fd_(memfd_create("fuzz", MFD_CLOEXEC)),
      path_(absl::StrCat("/proc/self/fd/", fd_.get())) {
  const ssize_t written = write(fd_.get(), contents.data(), contents.size());
  Require(written == static_cast<ssize_t>(contents.size()),
          "a file in memory can be written");
}

}  // namespace cordon::testing
