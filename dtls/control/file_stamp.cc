#include "cordon/dtls/control/file_stamp.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <utility>

namespace cordon::dtls::control {
namespace {

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// Whether it is a folder.
bool Stamp(const std::string& path, FileStamp& stamp) {
  struct stat file = {};
  if (stat(path.c_str(), &file) != 0) return false;
  stamp.device = file.st_dev;
  stamp.inode = file.st_ino;
  stamp.size = file.st_size;
  stamp.modified = Nanoseconds(file.st_mtim);
  stamp.changed = Nanoseconds(file.st_ctim);
  return S_ISDIR(file.st_mode);
}

}  // namespace

std::vector<FileStamp> StampsOf(const std::string& path) {
  std::vector<FileStamp> stamps(1);
  if (!Stamp(path, stamps[0])) return stamps;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path, error), end;
       !error && entry != end; entry.increment(error)) {
    FileStamp stamp;
    stamp.name = entry->path().filename().string();
    Stamp(entry->path().string(), stamp);
    stamps.push_back(std::move(stamp));
  }
  std::sort(
      stamps.begin() + 1, stamps.end(),
      [](const FileStamp& a, const FileStamp& b) { return a.name < b.name; });
  return stamps;
}

std::vector<FileStamp> StampsOf(const std::vector<std::string>& paths) {
  std::vector<FileStamp> stamps;
  for (const std::string& path : paths) {
    std::vector<FileStamp> more = StampsOf(path);
    std::move(more.begin(), more.end(), std::back_inserter(stamps));
  }
  return stamps;
}

}  // namespace cordon::dtls::control
