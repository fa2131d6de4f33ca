// Programs as children of a test: start, talk, stop, never forget.
//
//   Process server({"openssl", "s_server", ...});
//   ASSERT_TRUE(server.WaitForOutput("ACCEPT"));
//   server.Write("hello\n");
//   server.Signal(SIGTERM);
//   EXPECT_EQ(server.Wait(), 0);
#ifndef CORDON_TESTING_PROCESS_PROCESS_H_
#define CORDON_TESTING_PROCESS_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::testing {

// How long a test waits for another program; machines can be slow.
inline constexpr absl::Duration kPatience = absl::Seconds(60);

// Standard output and standard error arrive together. Killed when destroyed.
class Process {
 public:
  explicit Process(std::vector<std::string> command);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  void Write(absl::string_view text);
  void CloseInput() { input_.Reset(); }
  void Signal(int signal);
  pid_t pid() const { return pid_; }
  // True when its output has ended, as far as that was read.
  bool ended() const { return !output_fd_.valid(); }

  // Reads until `text` has appeared since the last match, or the program has
  // ended, or `kPatience` is over. True if it has appeared.
  bool WaitForOutput(absl::string_view text);
  // Reads what is there, so that the program does not wait for us.
  void ReadAvailable();
  // Reads to the end and returns the exit code; minus the signal's number if a
  // signal ended it; -1000 if it did not end.
  int Wait();

  // Everything that was read so far, without the line by which a program of
  // ours says that the machine let it have no io_uring: with many tests at once
  // the memory that a user may lock can run out.
  const std::string& output() const { return output_; }

 private:
  // Reads what is there or comes until `deadline`; false at the end.
  bool ReadSome(absl::Time deadline);
  void DropReactorLine();

  pid_t pid_ = -1;
  bool reaped_ = false;
  net::UniqueFd input_;
  net::UniqueFd output_fd_;
  std::string output_;
  size_t matched_ = 0;
};

// A folder that is removed with everything in it.
class TemporaryFolder {
 public:
  // Below $TEST_TMPDIR.
  TemporaryFolder();
  // Below `base`. Paths of Unix sockets have 107 bytes at most, so those belong
  // below "/tmp".
  explicit TemporaryFolder(const std::string& base);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  // Writes a file and returns its path.
  std::string Write(const std::string& name, const std::string& content) const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The path of a program that the `data` of this test or program names, as
// "tools/client".
std::string Runfile(const std::string& path);

// A UDP port of 127.0.0.1 that was free a moment ago, for programs that cannot
// choose one themselves.
int FreeUdpPort();

}  // namespace cordon::testing

#endif  // CORDON_TESTING_PROCESS_PROCESS_H_
