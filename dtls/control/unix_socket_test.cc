#include "cordon/dtls/control/unix_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cordon/testing/process/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class UnixSocketTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name = "control") const {
    return folder_.path() + "/" + name;
  }

  // The file's mode; nothing if there is no file.
  static std::optional<mode_t> ModeOf(const std::string& path) {
    struct stat file = {};
    if (lstat(path.c_str(), &file) != 0) return std::nullopt;
    return file.st_mode & 07777;
  }

  static net::UniqueFd Connect(const std::string& path) {
    net::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) != 0) {
      return {};
    }
    return fd;
  }

  // A socket file that nobody listens on.
  static void LeaveStaleSocket(const std::string& path) {
    net::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    ASSERT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                   sizeof(address)),
              0);
  }

  const testing::TemporaryFolder folder_{"/tmp"};
  const std::string lock_ = Path(".control.lock");
};

class Umask {
 public:
  explicit Umask(mode_t mask) : before_(umask(mask)) {}
  ~Umask() { umask(before_); }

 private:
  const mode_t before_;
};

TEST_F(UnixSocketTest, HasTheModeThatIsAskedForWhateverTheUmask) {
  for (const mode_t mask : {0000, 0022, 0077, 0777}) {
    const Umask umask(mask);
    for (const mode_t mode : {0600, 0660, 0666}) {
      absl::StatusOr<UnixListener> listener = ListenOnUnixSocket(Path(), mode);
      ASSERT_TRUE(listener.ok()) << listener.status();
      EXPECT_EQ(ModeOf(Path()), mode) << "umask " << mask;
    }
  }
}

// With the most generous umask, bind() itself must not give more than asked.
TEST_F(UnixSocketTest, BindGivesTheSocketsOwnMode) {
  const Umask umask(0);
  net::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(fchmod(fd.get(), 0600), 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, Path().c_str());
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)),
            0);
  EXPECT_EQ(ModeOf(Path()), 0600);
}

TEST_F(UnixSocketTest, LeavesTheUmaskAlone) {
  const Umask mine(0027);
  ASSERT_TRUE(ListenOnUnixSocket(Path(), 0600).ok());
  EXPECT_EQ(umask(0027), 0027);
}

TEST_F(UnixSocketTest, RemovesItsFileInTheEnd) {
  {
    const absl::StatusOr<UnixListener> listener =
        ListenOnUnixSocket(Path(), 0600);
    ASSERT_TRUE(listener.ok());
    EXPECT_EQ(listener->file.path(), Path());
    EXPECT_TRUE(Connect(Path()).valid());
  }
  EXPECT_EQ(ModeOf(Path()), std::nullopt);
}

TEST_F(UnixSocketTest, LeavesAFileThatIsNotItsOwn) {
  {
    const absl::StatusOr<UnixListener> listener =
        ListenOnUnixSocket(Path(), 0600);
    ASSERT_TRUE(listener.ok());
    ASSERT_EQ(unlink(Path().c_str()), 0);
    LeaveStaleSocket(Path());
  }
  EXPECT_NE(ModeOf(Path()), std::nullopt);
}

TEST_F(UnixSocketTest, ReplacesASocketThatNobodyListensOn) {
  LeaveStaleSocket(Path());
  const absl::StatusOr<UnixListener> listener =
      ListenOnUnixSocket(Path(), 0600);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(ModeOf(Path()), 0600);
  EXPECT_TRUE(Connect(Path()).valid());
}

TEST_F(UnixSocketTest, RefusesASocketThatIsInUse) {
  const absl::StatusOr<UnixListener> first = ListenOnUnixSocket(Path(), 0600);
  ASSERT_TRUE(first.ok());
  const absl::StatusOr<UnixListener> second = ListenOnUnixSocket(Path(), 0600);
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("another process listens on " + Path()));
  EXPECT_TRUE(Connect(Path()).valid());
}

TEST_F(UnixSocketTest, RefusesOtherFiles) {
  const std::string file = folder_.Write("file", "precious");
  ASSERT_EQ(symlink(file.c_str(), Path("link").c_str()), 0);
  for (const std::string& path : {file, Path("link"), folder_.path()}) {
    const absl::StatusOr<UnixListener> listener =
        ListenOnUnixSocket(path, 0600);
    EXPECT_TRUE(absl::IsAlreadyExists(listener.status())) << listener.status();
    EXPECT_THAT(std::string(listener.status().message()),
                HasSubstr(path + " is there already and is no socket"));
    EXPECT_NE(ModeOf(path), std::nullopt);
  }
}

// Any user that may read the folder can lock it.
TEST_F(UnixSocketTest, ALockOnTheFolderDoesNotHinder) {
  const net::UniqueFd folder(
      open(folder_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(flock(folder.get(), LOCK_EX | LOCK_NB), 0);
  {
    const absl::StatusOr<UnixListener> listener =
        ListenOnUnixSocket(Path(), 0600);
    ASSERT_TRUE(listener.ok()) << listener.status();
    EXPECT_TRUE(Connect(Path()).valid());
  }
  EXPECT_EQ(ModeOf(Path()), std::nullopt);
}

TEST_F(UnixSocketTest, TheLockIsThereOnlyForAMoment) {
  const absl::StatusOr<UnixListener> listener =
      ListenOnUnixSocket(Path(), 0600);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(ModeOf(lock_), std::nullopt);
}

TEST_F(UnixSocketTest, ALockThatWasLeftBehindDoesNotHinder) {
  for (const mode_t mode : {0600, 0000}) {
    folder_.Write(".control.lock", "");
    ASSERT_EQ(chmod(lock_.c_str(), mode), 0);
    // Without rights of root it could not be opened.
    if (access(lock_.c_str(), R_OK | W_OK) != 0) return;
    EXPECT_TRUE(ListenOnUnixSocket(Path(), 0600).ok());
    EXPECT_EQ(ModeOf(lock_), std::nullopt);
  }
}

TEST_F(UnixSocketTest, WhoHoldsTheLockIsWaitedForByTheOperator) {
  folder_.Write(".control.lock", "");
  ASSERT_EQ(chmod(lock_.c_str(), 0600), 0);
  const net::UniqueFd held(open(lock_.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(held.get(), LOCK_EX | LOCK_NB), 0);
  const absl::Status status = ListenOnUnixSocket(Path(), 0600).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("try again"));
  EXPECT_EQ(ModeOf(Path()), std::nullopt);
}

TEST_F(UnixSocketTest, ALockThatOthersCouldHoldIsNotTaken) {
  const std::string precious = folder_.Write("precious", "");
  ASSERT_EQ(chmod(precious.c_str(), 0600), 0);
  ASSERT_EQ(symlink(precious.c_str(), lock_.c_str()), 0);
  EXPECT_FALSE(ListenOnUnixSocket(Path(), 0600).ok());
  EXPECT_EQ(ModeOf(precious), 0600);
  ASSERT_EQ(unlink(lock_.c_str()), 0);
  folder_.Write(".control.lock", "");
  for (const mode_t mode : {0604, 0640, 0620}) {
    ASSERT_EQ(chmod(lock_.c_str(), mode), 0);
    const absl::Status status = ListenOnUnixSocket(Path(), 0600).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("can be opened by other users: remove it"));
  }
  ASSERT_EQ(unlink(lock_.c_str()), 0);
  ASSERT_EQ(mkfifo(lock_.c_str(), 0600), 0);
  EXPECT_FALSE(ListenOnUnixSocket(Path(), 0600).ok());
}

TEST_F(UnixSocketTest, RefusesPathsThatCannotBe) {
  const absl::Status empty = ListenOnUnixSocket("", 0600).status();
  EXPECT_TRUE(absl::IsInvalidArgument(empty)) << empty;
  const absl::Status zero =
      ListenOnUnixSocket(absl::string_view("/tmp/a\0b", 8), 0600).status();
  EXPECT_TRUE(absl::IsInvalidArgument(zero)) << zero;
  const absl::Status missing =
      ListenOnUnixSocket(Path("no/such/folder"), 0600).status();
  EXPECT_THAT(std::string(missing.message()),
              HasSubstr("cannot open " + Path("no/such")));
}

TEST_F(UnixSocketTest, SaysHowLongAPathMayBe) {
  const std::string longest =
      Path(std::string(107 - folder_.path().size() - 1, 'x'));
  ASSERT_EQ(longest.size(), 107u);
  EXPECT_TRUE(ListenOnUnixSocket(longest, 0600).ok());
  const absl::Status status = ListenOnUnixSocket(longest + "x", 0600).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("has 108 bytes, at most 107 are possible"));
}

TEST_F(UnixSocketTest, KnowsWhoConnected) {
  const absl::StatusOr<UnixListener> listener =
      ListenOnUnixSocket(Path(), 0600);
  ASSERT_TRUE(listener.ok());
  const net::UniqueFd client = Connect(Path());
  ASSERT_TRUE(client.valid());
  const net::UniqueFd server(accept(listener->socket.get(), nullptr, nullptr));
  const absl::StatusOr<uid_t> user = PeerUser(server.get());
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(*user, getuid());
  EXPECT_THAT(std::string(PeerUser(-1).status().message()),
              Not(::testing::IsEmpty()));
}

}  // namespace
}  // namespace cordon::dtls::control
