// System calls that fail: the caller is told, or the datagram is counted, and
// whoever is there is served as before.
#include "cordon/testing/failing_calls/failing_calls.h"

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/udp_socket.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

using ::cordon::testing::Call;
using ::cordon::testing::CallFailure;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr int kAlways = 1'000'000;

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

absl::StatusOr<std::unique_ptr<Reactor>> Make(Backend backend) {
  ReactorOptions options;
  options.backend = backend;
  return MakeReactor(options);
}

class FailingCallsTest : public ::testing::TestWithParam<Backend> {
 protected:
  static void Run(Task<absl::Status> (*play)(Reactor&)) {
    absl::StatusOr<std::unique_ptr<Reactor>> reactor = Make(GetParam());
    ASSERT_TRUE(reactor.ok()) << reactor.status();
    EXPECT_EQ((*reactor)->Run(play(**reactor)), absl::OkStatus());
  }
};

// Sends `text` and takes it at the other end.
Task<absl::Status> Carry(UdpSocket& from, Path path, UdpSocket& to,
                         std::string text) {
  CO_RETURN_IF_ERROR(co_await from.Send(path, Bytes(text)));
  CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                      co_await WithTimeout(kPatience, to.Recv()));
  const absl::Span<const uint8_t> bytes = packet.payload.bytes();
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), text);
  co_return absl::OkStatus();
}

// A shared socket and a client's.
struct Pair {
  UdpSocket server;
  UdpSocket client;

  static absl::StatusOr<Pair> Open(Reactor& reactor, bool notices = false) {
    DatagramSocketOptions options;
    options.bind = Endpoint::LoopbackV4(0);
    options.peer_notices = notices;
    CORDON_ASSIGN_OR_RETURN(UdpSocket server,
                            UdpSocket::Open(reactor, options));
    options.peer_notices = false;
    options.connect = server.local_endpoint();
    CORDON_ASSIGN_OR_RETURN(UdpSocket client,
                            UdpSocket::Open(reactor, options));
    return Pair{std::move(server), std::move(client)};
  }
  Path ToClient() const { return Path(client.local_endpoint()); }

  // Both ways.
  Task<absl::Status> Echo(std::string text) {
    CO_RETURN_IF_ERROR(co_await Carry(client, Path(), server, text));
    co_return co_await Carry(server, ToClient(), client, text);
  }
};

Task<absl::Status> EchoOnce(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  co_return co_await pair.Echo("it works");
}

Task<absl::Status> NoSocket(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  for (int error : {EMFILE, ENFILE, ENOMEM, ENOBUFS}) {
    const CallFailure failure(Call::kSocket, error, 1);
    const absl::Status refused = Pair::Open(reactor).status();
    EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
    EXPECT_TRUE(absl::StrContains(refused.message(), "cannot open")) << refused;
    CO_RETURN_IF_ERROR(co_await pair.Echo("those that are there"));
    CO_RETURN_IF_ERROR(co_await EchoOnce(reactor));
  }
  co_return absl::OkStatus();
}

TEST_P(FailingCallsTest, ASocketThatCannotBeOpenedIsAnErrorOfItsOwn) {
  Run(NoSocket);
}

// What cannot be sent is lost, as datagrams are, and counted.
Task<absl::Status> SendsFail(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  uint64_t lost = 0;
  for (int error : {ENOBUFS, ENOMEM, EPERM, EACCES, ENETUNREACH, EHOSTUNREACH,
                    ENETDOWN, EINVAL, EIO}) {
    for (int count = 1; count <= 3; ++count) {
      const CallFailure failure(Call::kSend, error, count);
      for (int i = 0; i < count; ++i) {
        Path path = pair.ToClient();
        CO_RETURN_IF_ERROR(co_await pair.server.Send(path, Bytes("lost")));
        CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
      }
      lost += static_cast<uint64_t>(count);
      EXPECT_EQ(failure.happened(), count) << error;
      EXPECT_EQ(pair.server.statistics().send_errors, lost) << error;
      CO_RETURN_IF_ERROR(co_await pair.Echo(absl::StrCat(error)));
    }
  }
  co_return absl::OkStatus();
}

TEST_P(FailingCallsTest, WhatCannotBeSentIsCountedAndTheNextIsSent) {
  Run(SendsFail);
}

Task<absl::Status> SendsWait(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  for (int count = 1; count <= 5; ++count) {
    const CallFailure failure(Call::kSend, EAGAIN, count);
    CO_RETURN_IF_ERROR(co_await pair.Echo(absl::StrCat("later ", count)));
    EXPECT_EQ(failure.happened(), count);
  }
  EXPECT_EQ(pair.server.statistics().send_errors, 0U);
  EXPECT_EQ(pair.client.statistics().send_errors, 0U);
  co_return absl::OkStatus();
}

TEST_P(FailingCallsTest, AFullSocketIsWaitedFor) { Run(SendsWait); }

// One fails because of what was said of another peer, and the next may as well.
Task<absl::Status> OthersNotices(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor, /*notices=*/true));
  for (int error : {ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EMSGSIZE}) {
    for (int count = 1; count <= 3; ++count) {
      const CallFailure failure(Call::kSend, error, count);
      CO_RETURN_IF_ERROR(co_await Carry(pair.server, pair.ToClient(),
                                        pair.client, absl::StrCat(error)));
      EXPECT_EQ(failure.happened(), count);
    }
  }
  EXPECT_EQ(pair.server.statistics().send_errors, 0U);
  // It is not tried for ever.
  const CallFailure failure(Call::kSend, EHOSTUNREACH, kAlways);
  Path path = pair.ToClient();
  CO_RETURN_IF_ERROR(co_await pair.server.Send(path, Bytes("lost")));
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
  EXPECT_EQ(pair.server.statistics().send_errors, 1U);
  EXPECT_LT(failure.happened(), 10);
  co_return absl::OkStatus();
}

// ACCEPTANCE: HD5
TEST_P(FailingCallsTest, TheErrorOfAnothersDatagramLosesNone) {
  Run(OthersNotices);
}

Task<absl::Status> ReceivesFail(Reactor& reactor) {
  for (int error : {ENOMEM, ENOBUFS, EINTR, EAGAIN, ECONNREFUSED, EFAULT}) {
    const CallFailure failure(Call::kReceive, error, 5);
    CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
    for (int i = 0; i < 5; ++i) {
      CO_RETURN_IF_ERROR(co_await Carry(pair.client, Path(), pair.server,
                                        absl::StrCat(error, "/", i)));
    }
    EXPECT_EQ(failure.happened(), 5);
  }
  co_return absl::OkStatus();
}

TEST_P(FailingCallsTest, AReceiveThatFailsIsMadeAgain) { Run(ReceivesFail); }

INSTANTIATE_TEST_SUITE_P(Reactors, FailingCallsTest,
                         ::testing::Values(Backend::kIoUring, Backend::kEpoll),
                         [](const auto& param) {
                           return AbslUnparseFlag(param.param);
                         });

void ExpectWorks(absl::StatusOr<std::unique_ptr<Reactor>> reactor,
                 absl::string_view backend) {
  ASSERT_TRUE(reactor.ok()) << reactor.status();
  EXPECT_EQ((*reactor)->backend(), backend);
  EXPECT_EQ((*reactor)->Run(EchoOnce(**reactor)), absl::OkStatus());
}

TEST(FailingStartTest, WithoutIoUringThereIsEpoll) {
  struct Case {
    Call call;
    int error;
    absl::StatusCode code;
  };
  for (const Case& c :
       {Case{Call::kRingSetup, ENOSYS, absl::StatusCode::kUnimplemented},
        Case{Call::kRingSetup, EPERM, absl::StatusCode::kPermissionDenied},
        Case{Call::kRingSetup, ENOMEM, absl::StatusCode::kResourceExhausted},
        Case{Call::kRingSetup, EMFILE, absl::StatusCode::kResourceExhausted},
        Case{Call::kBufferRingSetup, EINVAL,
             absl::StatusCode::kInvalidArgument},
        Case{Call::kBufferRingSetup, ENOMEM,
             absl::StatusCode::kResourceExhausted},
        Case{Call::kMap, ENOMEM, absl::StatusCode::kResourceExhausted}}) {
    const CallFailure failure(c.call, c.error, kAlways);
    EXPECT_EQ(Make(Backend::kIoUring).status().code(), c.code) << c.error;
    EXPECT_GT(failure.happened(), 0);
    ExpectWorks(Make(Backend::kAuto), "epoll");
  }
}

// A ring of full size may take the last memory that may be locked.
TEST(FailingStartTest, ASmallerRingIsBetterThanNone) {
  for (Call call : {Call::kRingSetup, Call::kBufferRingSetup}) {
    for (int count = 1; count <= 4; ++count) {
      const CallFailure failure(call, ENOMEM, count);
      ExpectWorks(Make(Backend::kIoUring), "io_uring");
      EXPECT_EQ(failure.happened(), count);
    }
  }
}

TEST(FailingStartTest, WithoutDescriptorsThereIsAnError) {
  {
    const CallFailure failure(Call::kEventFd, EMFILE, kAlways);
    for (Backend backend :
         {Backend::kIoUring, Backend::kEpoll, Backend::kAuto}) {
      const absl::Status status = Make(backend).status();
      EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
      EXPECT_TRUE(absl::StrContains(status.message(), "eventfd")) << status;
    }
  }
  const CallFailure failure(Call::kEpollCreate, ENFILE, 1);
  const absl::Status status = Make(Backend::kEpoll).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  ExpectWorks(Make(Backend::kEpoll), "epoll");
  ExpectWorks(Make(Backend::kAuto), "io_uring");
}

}  // namespace
}  // namespace cordon::net
