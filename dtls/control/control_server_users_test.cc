// What other users of the machine may do on a Unix socket. Needs root, to be
// another user.
#include <grpcpp/create_channel_posix.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "cordon/dtls/control/access.h"
#include "cordon/dtls/control/control_server.h"
#include "cordon/net/base/unique_fd.h"
#include "cordon/testing/fake_control/fake_control.h"
#include "cordon/testing/process/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::cordon::testing::Change;
using ::cordon::testing::ConnectAs;
using ::cordon::testing::FakeControl;
using ::cordon::testing::Read;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uid_t kNobody = 65534;

class ControlServerUsersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int error = 0;
    (void)ConnectAs(kNobody, "/", &error);
    if (error == EPERM || error == EINVAL) {
      GTEST_SKIP() << "cannot become another user: " << strerrordesc_np(error);
    }
    // Lets other users pass to the socket.
    ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  }

  void Start(mode_t mode, const AccessRules& rules) {
    ControlServerOptions options;
    options.addresses = {"unix:" + path_};
    options.unix_mode = mode;
    options.access = *AccessControl::Create(rules);
    options.log_refused = [this](absl::string_view line) {
      absl::MutexLock lock(&mutex_);
      refused_.emplace_back(line);
    };
    service_ = std::make_unique<FakeControl>(options.access);
    absl::StatusOr<std::unique_ptr<ControlServer>> server =
        ControlServer::Start(std::move(options), {service_->service()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::shared_ptr<grpc::Channel> ChannelOf(uid_t user) const {
    int error = 0;
    net::UniqueFd fd = ConnectAs(user, path_, &error);
    EXPECT_TRUE(fd.valid()) << strerrordesc_np(error);
    return grpc::CreateInsecureChannelFromFd("somebody", fd.Release());
  }

  std::vector<std::string> refused() {
    absl::MutexLock lock(&mutex_);
    return refused_;
  }

  absl::Mutex mutex_;
  std::vector<std::string> refused_ ABSL_GUARDED_BY(mutex_);
  const testing::TemporaryFolder folder_{"/tmp"};
  const std::string path_ = folder_.path() + "/control";
  std::unique_ptr<FakeControl> service_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlServerUsersTest, ByDefaultTheFileKeepsOthersOut) {
  Start(0600, {.reader_users = {kNobody}});
  int error = 0;
  EXPECT_FALSE(ConnectAs(kNobody, path_, &error).valid());
  EXPECT_EQ(error, EACCES);
}

TEST_F(ControlServerUsersTest, AUserWhoIsNotNamedIsDisconnectedAtOnce) {
  Start(0666, {});
  int error = 0;
  const net::UniqueFd fd = ConnectAs(kNobody, path_, &error);
  ASSERT_TRUE(fd.valid()) << strerrordesc_np(error);
  char byte = 0;
  EXPECT_EQ(recv(fd.get(), &byte, 1, 0), 0);
  EXPECT_EQ(server_->statistics().connections_refused, 1u);
  EXPECT_THAT(
      refused(),
      ElementsAre(HasSubstr("refused a connection: uid:65534 may not use")));
  EXPECT_EQ(server_->statistics().connections, 0u);
}

TEST_F(ControlServerUsersTest, AUserWithManyConnectionsDoesNotKeepAdminsOut) {
  Start(0666, {.reader_users = {kNobody}});
  std::vector<net::UniqueFd> silent;
  for (int i = 0; i < 100; ++i) {
    int error = 0;
    silent.push_back(ConnectAs(kNobody, path_, &error));
    ASSERT_TRUE(silent.back().valid()) << strerrordesc_np(error);
  }
  const auto admin = ChannelOf(0);
  EXPECT_TRUE(Change(admin).ok());
  EXPECT_EQ(server_->statistics().connections, 33u);
  EXPECT_EQ(server_->statistics().connections_over_limit, 68u);
  ASSERT_FALSE(refused().empty());
  EXPECT_THAT(refused()[0], HasSubstr("refused a connection of uid:65534: "
                                      "uid:65534 has its share"));
}

TEST_F(ControlServerUsersTest, RootHasNoRoleIfItIsNotNamed) {
  Start(0666, {.admin_users = {kNobody}});
  int error = 0;
  const net::UniqueFd fd = ConnectAs(geteuid(), path_, &error);
  ASSERT_TRUE(fd.valid()) << strerrordesc_np(error);
  char byte = 0;
  EXPECT_EQ(recv(fd.get(), &byte, 1, 0), 0);
  EXPECT_TRUE(Change(ChannelOf(kNobody)).ok());
  EXPECT_THAT(service_->callers(), ElementsAre("uid:65534 admin"));
}

TEST_F(ControlServerUsersTest, AnotherUserHasTheRoleThatItIsGiven) {
  Start(0666, {.reader_users = {kNobody}});
  const auto nobody = ChannelOf(kNobody);
  EXPECT_TRUE(Read(nobody).ok());
  const grpc::Status status = Change(nobody);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(status.error_message(),
            "uid:65534 has the role reader; this needs the role admin");
  EXPECT_THAT(service_->callers(), ElementsAre("uid:65534 reader"));
}

// Whatever descriptors they get, and however their calls mix.
TEST_F(ControlServerUsersTest, ConnectionsOfSeveralUsersAreNotMixedUp) {
  Start(0666, {.reader_users = {kNobody}});
  std::vector<std::string> expected;
  const auto root = ChannelOf(0);
  for (int i = 0; i < 8; ++i) {
    const auto nobody = ChannelOf(kNobody);
    EXPECT_TRUE(Read(nobody).ok());
    expected.push_back("uid:65534 reader");
    const auto another_root = ChannelOf(0);
    EXPECT_TRUE(Change(root).ok());
    EXPECT_TRUE(Change(another_root).ok());
    expected.insert(expected.end(), 2, "uid:0 admin");
    EXPECT_FALSE(Change(nobody).ok());
  }
  EXPECT_EQ(service_->callers(), expected);
}

}  // namespace
}  // namespace cordon::dtls::control
