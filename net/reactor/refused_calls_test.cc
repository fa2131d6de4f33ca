// Containers whose filters refuse system calls: the reactor is one that works
// there, or there is an error at once, never one that serves nobody.
#include "cordon/testing/refused_calls/refused_calls.h"

#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/udp/udp_socket.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

using ::cordon::testing::RefusedCall;
using ::cordon::testing::WithoutCalls;

constexpr absl::Duration kPatience = absl::Seconds(20);

absl::StatusOr<std::unique_ptr<Reactor>> Make(Backend backend) {
  ReactorOptions options;
  options.backend = backend;
  return MakeReactor(options);
}

// Many datagrams, of which several go and come in one turn.
Task<absl::Status> CarryMany(Reactor& reactor) {
  constexpr int kRounds = 3;
  constexpr uint8_t kAtOnce = 100;
  DatagramSocketOptions options;
  options.bind = Endpoint::LoopbackV4(0);
  options.gso = false;
  CO_ASSIGN_OR_RETURN(UdpSocket from, UdpSocket::Open(reactor, options));
  CO_ASSIGN_OR_RETURN(UdpSocket to, UdpSocket::Open(reactor, options));
  Path path(to.local_endpoint());
  for (int round = 0; round < kRounds; ++round) {
    for (uint8_t i = 0; i < kAtOnce; ++i) {
      const std::vector<uint8_t> bytes(size_t{1} + i, i);
      CO_RETURN_IF_ERROR(co_await from.Send(path, bytes));
    }
    for (uint8_t i = 0; i < kAtOnce; ++i) {
      CO_ASSIGN_OR_RETURN(const UdpSocket::Packet packet,
                          co_await WithTimeout(kPatience, to.Recv()));
      EXPECT_EQ(packet.payload.size(), size_t{1} + i);
      EXPECT_EQ(packet.payload.bytes()[0], i);
    }
  }
  EXPECT_EQ(from.statistics().send_errors, 0U);
  EXPECT_EQ(to.statistics().datagrams_received, uint64_t{kRounds} * kAtOnce);
  co_return absl::OkStatus();
}

// A peer that is not there is told, and the socket goes on.
Task<absl::Status> HearOfRefusal(Reactor& reactor) {
  Endpoint nobody;
  {
    DatagramSocketOptions options;
    options.bind = Endpoint::LoopbackV4(0);
    CO_ASSIGN_OR_RETURN(UdpSocket gone, UdpSocket::Open(reactor, options));
    nobody = gone.local_endpoint();
    CO_RETURN_IF_ERROR(co_await gone.Close());
  }
  DatagramSocketOptions options;
  options.connect = nobody;
  CO_ASSIGN_OR_RETURN(UdpSocket socket, UdpSocket::Open(reactor, options));
  Path path;
  const std::vector<uint8_t> bytes = {1};
  CO_RETURN_IF_ERROR(co_await socket.Send(path, bytes));
  absl::StatusOr<UdpSocket::Packet> packet =
      co_await WithTimeout(kPatience, socket.Recv());
  EXPECT_TRUE(absl::IsUnavailable(packet.status())) << packet.status();
  co_return absl::OkStatus();
}

void ExpectWorks(Backend choice, absl::string_view backend) {
  absl::StatusOr<std::unique_ptr<Reactor>> reactor = Make(choice);
  ASSERT_TRUE(reactor.ok()) << reactor.status();
  EXPECT_EQ((*reactor)->backend(), backend);
  EXPECT_EQ((*reactor)->Run(CarryMany(**reactor)), absl::OkStatus());
  EXPECT_EQ((*reactor)->Run(HearOfRefusal(**reactor)), absl::OkStatus());
}

void ExpectRefusal(Backend choice, absl::StatusCode code,
                   absl::string_view what) {
  const absl::Status status = Make(choice).status();
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), what)) << status;
}

TEST(RefusedCallsTest, ARingThatCannotBeEnteredIsNone) {
  for (const RefusedCall& call : {RefusedCall{SYS_io_uring_enter, EPERM},
                                  RefusedCall{SYS_io_uring_enter, EACCES},
                                  RefusedCall{SYS_io_uring_register, EPERM},
                                  RefusedCall{SYS_io_uring_setup, EPERM}}) {
    ASSERT_TRUE(WithoutCalls({call}, [] {
      ExpectRefusal(Backend::kIoUring, absl::StatusCode::kPermissionDenied,
                    "io_uring");
      ExpectWorks(Backend::kAuto, "epoll");
    }));
  }
  ASSERT_TRUE(WithoutCalls({{SYS_io_uring_enter, ENOSYS}}, [] {
    ExpectRefusal(Backend::kIoUring, absl::StatusCode::kUnimplemented,
                  "io_uring cannot be entered");
    ExpectWorks(Backend::kAuto, "epoll");
  }));
}

TEST(RefusedCallsTest, WithoutCallsForSeveralMessagesThereIsOneForEach) {
  const RefusedCall recvmmsg = {SYS_recvmmsg, ENOSYS};
  const RefusedCall sendmmsg = {SYS_sendmmsg, EPERM};
  const RefusedCall enter = {SYS_io_uring_enter, EPERM};
  for (const std::vector<RefusedCall>& calls :
       std::vector<std::vector<RefusedCall>>{
           {recvmmsg}, {sendmmsg}, {recvmmsg, sendmmsg}}) {
    ASSERT_TRUE(
        WithoutCalls(calls, [] { ExpectWorks(Backend::kEpoll, "epoll"); }));
  }
  ASSERT_TRUE(WithoutCalls({enter, recvmmsg, sendmmsg},
                           [] { ExpectWorks(Backend::kAuto, "epoll"); }));
}

TEST(RefusedCallsTest, WhereNothingWorksThereIsAnError) {
  ASSERT_TRUE(WithoutCalls(
      {{SYS_recvmmsg, EPERM},
       {SYS_recvmsg, EPERM},
       {SYS_io_uring_enter, EPERM}},
      [] {
        for (Backend choice : {Backend::kAuto, Backend::kEpoll}) {
          ExpectRefusal(choice, absl::StatusCode::kPermissionDenied, "recvmsg");
        }
      }));
  ASSERT_TRUE(WithoutCalls({{SYS_sendmmsg, ENOSYS}, {SYS_sendmsg, ENOSYS}}, [] {
    ExpectRefusal(Backend::kEpoll, absl::StatusCode::kUnimplemented, "sendmsg");
  }));
  std::vector<RefusedCall> waits = {{SYS_epoll_pwait, EPERM}};
#ifdef SYS_epoll_wait
  waits.push_back({SYS_epoll_wait, EPERM});
#endif
  ASSERT_TRUE(WithoutCalls(waits, [] {
    ExpectRefusal(Backend::kEpoll, absl::StatusCode::kPermissionDenied,
                  "epoll_wait");
  }));
}

}  // namespace
}  // namespace cordon::net
