// Which file stands at a path, so that a change is noticed.
#ifndef CORDON_DTLS_CONTROL_FILE_STAMP_H_
#define CORDON_DTLS_CONTROL_FILE_STAMP_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace cordon::dtls::control {

// Links are followed. A file that is not there has a stamp, too.
struct FileStamp {
  // Below the path that was asked for, if that is a folder.
  std::string name = {};
  dev_t device = 0;
  ino_t inode = 0;
  int64_t size = -1;
  int64_t modified = 0;  // nanoseconds
  // Of the content, the owner or the mode: a file that is written with its old
  // size and given its old time shows by this.
  int64_t changed = 0;

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

// That of the file at `path`; of a folder also those of what is in it, by name.
std::vector<FileStamp> StampsOf(const std::string& path);
// Those of several paths.
std::vector<FileStamp> StampsOf(const std::vector<std::string>& paths);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_FILE_STAMP_H_
