#include "cordon/dtls/control/policy_file.h"

#include <fcntl.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cordon/dtls/control/policy_proto.h"
#include "cordon/dtls/control/time_proto.h"
#include "cordon/net/base/errno_status.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;

// Keeps the first thing that is wrong.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!text_.empty()) return;
    text_ =
        absl::StrCat("line ", line + 1, ", column ", column + 1, ": ", message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

template <typename Message>
absl::Status ParseText(const std::string& text, Message* message) {
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFromString(text, message)) return absl::OkStatus();
  return absl::InvalidArgumentError(error.text());
}

struct Contents {
  std::string text;
  absl::Time modified;
};

absl::StatusOr<Contents> ReadFile(const std::string& path) {
  const net::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return absl::NotFoundError(path);
  if (!fd.valid()) return net::ErrnoStatus(errno, absl::StrCat("open ", path));
  struct stat about = {};
  if (fstat(fd.get(), &about) != 0) {
    return net::ErrnoStatus(errno, absl::StrCat("stat ", path));
  }
  Contents contents = {.text = {},
                       .modified = absl::TimeFromTimespec(about.st_mtim)};
  char buffer[1 << 14];
  while (true) {
    const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
    if (n < 0) return net::ErrnoStatus(errno, absl::StrCat("read ", path));
    if (n == 0) return contents;
    contents.text.append(buffer, static_cast<size_t>(n));
  }
}

// All or nothing, even when the machine stops in the middle.
absl::Status ReplaceFile(const std::string& path, const std::string& text) {
  const std::string next = path + ".new";
  // What an earlier process, or another user, has left there is not written to.
  struct stat left = {};
  if (lstat(next.c_str(), &left) == 0 && S_ISREG(left.st_mode)) {
    unlink(next.c_str());
  }
  net::UniqueFd fd(
      open(next.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return net::ErrnoStatus(errno, absl::StrCat("open ", next));
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(fd.get(), text.data() + done, text.size() - done);
    if (n < 0) return net::ErrnoStatus(errno, absl::StrCat("write ", next));
    done += static_cast<size_t>(n);
  }
  if (fsync(fd.get()) != 0 || rename(next.c_str(), path.c_str()) != 0) {
    return net::ErrnoStatus(errno, absl::StrCat("replace ", path));
  }
  const size_t slash = path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const net::UniqueFd directory(
      open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // The text is on the disk. That the name is, too, can only be asked for: some
  // file systems cannot do it.
  if (directory.valid()) (void)fsync(directory.get());
  return absl::OkStatus();
}

// `text` without the comments that it begins with.
absl::string_view FirstField(absl::string_view text) {
  while (true) {
    text = absl::StripLeadingAsciiWhitespace(text);
    if (!absl::StartsWith(text, "#")) return text;
    text.remove_prefix(std::min(text.find('\n'), text.size()));
  }
}

// What the file says, the lowest version first.
absl::StatusOr<std::vector<v1::PolicyVersion>> ParseStored(
    const Contents& contents) {
  const std::string& text = contents.text;
  // Which of the two it is shows by its first field.
  if (!absl::StartsWith(FirstField(text), "policies")) {
    absl::StatusOr<v1::Policy> policy = ParsePolicy(text);
    if (!policy.ok()) return policy.status();
    v1::PolicyVersion version;
    version.set_version(1);
    version.set_author("file");
    *version.mutable_time() = ToTimestamp(contents.modified);
    *version.mutable_policy() = *std::move(policy);
    return std::vector<v1::PolicyVersion>{std::move(version)};
  }
  v1::StoredPolicies stored;
  if (absl::Status status = ParseText(text, &stored); !status.ok()) {
    return status;
  }
  std::vector<v1::PolicyVersion> versions(stored.policies().begin(),
                                          stored.policies().end());
  std::sort(versions.begin(), versions.end(),
            [](const v1::PolicyVersion& a, const v1::PolicyVersion& b) {
              return a.version() < b.version();
            });
  return versions;
}

absl::Status Restore(const v1::PolicyVersion& kept, PolicyStore& store) {
  absl::StatusOr<Policy> policy = FromProto(kept.policy());
  if (!policy.ok()) return policy.status();
  PolicyVersion version;
  version.version = kept.version();
  version.listener = kept.listener();
  version.author = kept.author();
  version.comment = kept.comment();
  version.rolled_back_to = kept.rolled_back_to();
  version.time = FromProto(kept.time());
  return store.Restore(std::move(version), *policy);
}

}  // namespace

absl::StatusOr<v1::Policy> ParsePolicy(const std::string& text) {
  v1::Policy policy;
  if (absl::StartsWith(absl::StripLeadingAsciiWhitespace(text), "{")) {
    const auto status =
        google::protobuf::util::JsonStringToMessage(text, &policy);
    if (!status.ok()) {
      return absl::InvalidArgumentError(status.message().ToString());
    }
    return policy;
  }
  if (absl::Status status = ParseText(text, &policy); !status.ok()) {
    return status;
  }
  return policy;
}

absl::Status KeepPoliciesInFile(const std::string& path, PolicyStore& store) {
  auto kept = std::make_shared<std::map<std::string, v1::PolicyVersion>>();
  absl::StatusOr<Contents> contents = ReadFile(path);
  if (!contents.ok() && !absl::IsNotFound(contents.status())) {
    return contents.status();
  }
  if (contents.ok()) {
    absl::StatusOr<std::vector<v1::PolicyVersion>> versions =
        ParseStored(*contents);
    absl::Status status = versions.status();
    for (size_t i = 0; status.ok() && i < versions->size(); ++i) {
      status = Restore((*versions)[i], store);
      (*kept)[(*versions)[i].listener()] = (*versions)[i];
    }
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the policy file ", path, ": ", status.message()));
    }
  }
  store.SetJournal([path, kept](const PolicyVersion& version) {
    std::map<std::string, v1::PolicyVersion> next = *kept;
    next[version.listener] = ToProto(version);
    v1::StoredPolicies stored;
    for (const auto& [listener, policy] : next) *stored.add_policies() = policy;
    std::string all;
    google::protobuf::TextFormat::PrintToString(stored, &all);
    if (absl::Status status = ReplaceFile(path, all); !status.ok()) {
      return absl::Status(
          status.code(),
          absl::StrCat("the policy cannot be kept: ", status.message()));
    }
    *kept = std::move(next);
    return absl::OkStatus();
  });
  return absl::OkStatus();
}

}  // namespace cordon::dtls::control
