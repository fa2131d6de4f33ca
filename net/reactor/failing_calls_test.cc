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
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/wait_queue.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/udp_socket.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

using ::cordon::testing::Call;
using ::cordon::testing::CallFailure;
using ::cordon::testing::PartialSubmission;

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

// More than there is memory for at once, and each is lost.
Task<absl::Status> ManySendsFail(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  constexpr int kCount = 700;
  const CallFailure failure(Call::kSend, ENOBUFS, kCount);
  for (int i = 0; i < kCount; ++i) {
    Path path = pair.ToClient();
    CO_RETURN_IF_ERROR(co_await pair.server.Send(path, Bytes("lost")));
  }
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(5)));
  EXPECT_EQ(failure.happened(), kCount);
  EXPECT_EQ(pair.server.statistics().send_errors, uint64_t{kCount});
  EXPECT_EQ(pair.server.statistics().datagrams_sent, 0U);
  co_return co_await pair.Echo("and the next");
}

TEST_P(FailingCallsTest, WhatCannotBeSentIsCountedHoweverMuchItIs) {
  Run(ManySendsFail);
}

// And if the socket is full, none is.
Task<absl::Status> ManySendsWait(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  constexpr int kCount = 700;
  const CallFailure failure(Call::kSend, EAGAIN, 50);
  for (int i = 0; i < kCount; ++i) {
    Path path = pair.ToClient();
    CO_RETURN_IF_ERROR(co_await pair.server.Send(path, Bytes(absl::StrCat(i))));
  }
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(20)));
  EXPECT_EQ(pair.server.statistics().datagrams_sent, uint64_t{kCount});
  EXPECT_EQ(pair.server.statistics().send_errors, 0U);
  EXPECT_EQ(pair.server.statistics().send_over_quota, 0U);
  co_return absl::OkStatus();
}

TEST_P(FailingCallsTest, WhatAFullSocketDoesNotTakeIsSentLater) {
  Run(ManySendsWait);
}

Task<absl::Status> NoTrainsToOne(Reactor& reactor) {
  DatagramSocketOptions options;
  options.bind = Endpoint::AnyV4(0);
  CO_ASSIGN_OR_RETURN(UdpSocket server, UdpSocket::Open(reactor, options));
  options.bind = Endpoint::V4({127, 0, 0, 2}, 0);
  CO_ASSIGN_OR_RETURN(UdpSocket poor, UdpSocket::Open(reactor, options));
  options.bind = Endpoint::V4({127, 0, 0, 3}, 0);
  CO_ASSIGN_OR_RETURN(UdpSocket rich, UdpSocket::Open(reactor, options));
  constexpr int kTrain = 8;
  const CallFailure failure(Call::kSend, EIO, 1);
  uint32_t tried_again = 0;
  for (uint32_t sent = 0; sent < 2 * DatagramSocket::kTrainRetry;
       sent += kTrain) {
    for (UdpSocket* peer : {&poor, &rich}) {
      const uint64_t trains = server.statistics().trains_sent;
      Path path(peer->local_endpoint());
      for (int i = 0; i < kTrain; ++i) {
        CO_RETURN_IF_ERROR(co_await server.Send(path, Bytes("12345")));
      }
      for (int i = 0; i < kTrain; ++i) {
        CO_RETURN_IF_ERROR(
            (co_await WithTimeout(kPatience, peer->Recv())).status());
      }
      const uint64_t calls = server.statistics().trains_sent - trains;
      if (peer == &rich) {
        EXPECT_EQ(calls, 1U);
      } else if (calls == 1) {
        ++tried_again;
      }
    }
  }
  EXPECT_EQ(failure.happened(), 1);
  EXPECT_EQ(server.statistics().trains_split, 1U);
  EXPECT_EQ(server.statistics().send_errors, 0U);
  EXPECT_GT(tried_again, 100U);
  co_return absl::OkStatus();
}

TEST_P(FailingCallsTest, ADeviceWithoutTrainsEndsThoseOfItsPeersForAWhile) {
  Run(NoTrainsToOne);
}

// One socket has sent much, and the network takes nothing of it.
Task<absl::Status> OneIsCongested(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  CO_ASSIGN_OR_RETURN(Pair other, Pair::Open(reactor));
  DatagramSocketOptions options;
  options.bind = Endpoint::LoopbackV4(0);
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> full,
                      reactor.OpenSocket(options));
  {
    const CallFailure failure(Call::kSend, EAGAIN, kAlways);
    for (int i = 0; i < 512; ++i) {
      Path path = pair.ToClient();
      full->Send(path, Bytes("stuck"));
    }
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(2)));
    EXPECT_TRUE(full->congested());
    EXPECT_GE(full->statistics().send_over_quota,
              512 - DatagramSocket::kMaxTrains);
    EXPECT_EQ(full->statistics().send_errors, 0U);
  }
  co_return co_await other.Echo("there is room");
}

TEST_P(FailingCallsTest, AFullSocketLeavesMemoryToTheOthers) {
  Run(OneIsCongested);
}

class Hearing final : public DatagramReceiver {
 public:
  void OnDatagram(const Datagram&) override { ++calls; }
  void OnSocketError(const absl::Status&) override { ++calls; }
  void OnPathMtuChanged(size_t) override { ++calls; }
  int calls = 0;
};

// What it sends last meets the news that nobody was there.
Task<absl::Status> DestroyedWithNews(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  DatagramSocketOptions options;
  options.connect = pair.server.local_endpoint();
  for (int error : {ECONNREFUSED, EMSGSIZE}) {
    CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> socket,
                        reactor.OpenSocket(options));
    Hearing hearing;
    socket->StartReceiving(hearing);
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
    const CallFailure failure(Call::kSend, error, 1);
    Path path;
    EXPECT_TRUE(socket->Send(path, Bytes("the last")));
    socket.reset();
    EXPECT_EQ(failure.happened(), 1);
    EXPECT_EQ(hearing.calls, 0);
    // It was sent all the same.
    CO_RETURN_IF_ERROR(
        (co_await WithTimeout(kPatience, pair.server.Recv())).status());
  }
  co_return absl::OkStatus();
}

TEST_P(FailingCallsTest, ASocketThatIsDestroyedCallsNobody) {
  Run(DestroyedWithNews);
}

// The system never lets anybody receive again.
Task<absl::Status> ReceivesAreRefused(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  const CallFailure failure(Call::kReceive, EPERM, kAlways);
  CO_RETURN_IF_ERROR(co_await pair.client.Close());
  Path path(pair.server.local_endpoint());
  // Wakes those who wait for it.
  CO_RETURN_IF_ERROR(co_await pair.server.Send(path, Bytes("x")));
  const absl::Status refused =
      (co_await WithTimeout(kPatience, pair.server.Recv())).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_TRUE(
      absl::StrContains(refused.message(), "failed to receive 1000 times"))
      << refused;
  const int times = failure.happened();
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(20)));
  EXPECT_EQ(failure.happened(), times);
  EXPECT_EQ(co_await pair.server.Send(path, Bytes("x")), refused);
  co_return co_await pair.server.Close();
}

TEST_P(FailingCallsTest, ASocketThatMayNotReceiveEndsInAnError) {
  Run(ReceivesAreRefused);
}

Task<absl::Status> WaitsForEver(Reactor& reactor, absl::Status& receiver) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  CO_RETURN_IF_ERROR(co_await pair.Echo("before"));
  receiver = (co_await pair.server.Recv()).status();
  co_return co_await pair.server.Close();
}

Task<absl::Status> WaitsThenFails(Reactor& reactor, Call call, int error,
                                  absl::Status& receiver) {
  TaskScope scope;
  scope.Spawn(WaitsForEver(reactor, receiver));
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(5)));
  const CallFailure failure(call, error, kAlways);
  const absl::Status stopped = co_await SleepFor(absl::Minutes(5));
  EXPECT_TRUE(absl::IsCancelled(stopped)) << stopped;
  (void)co_await scope.Join();
  const int times = failure.happened();
  EXPECT_LE(times, 200) << error;
  co_return absl::OkStatus();
}

TEST_P(FailingCallsTest, AReactorThatMayNotWaitEndsInAnError) {
  const Call call =
      GetParam() == Backend::kIoUring ? Call::kRingEnter : Call::kEpollWait;
  struct Case {
    int error;
    absl::StatusCode code;
  };
  for (const Case& c : {Case{EPERM, absl::StatusCode::kPermissionDenied},
                        Case{ENOSYS, absl::StatusCode::kUnimplemented},
                        // This one may pass.
                        Case{ENOMEM, absl::StatusCode::kResourceExhausted}}) {
    absl::StatusOr<std::unique_ptr<Reactor>> reactor = Make(GetParam());
    ASSERT_TRUE(reactor.ok()) << reactor.status();
    absl::Status receiver;
    const absl::Status status =
        (*reactor)->Run(WaitsThenFails(**reactor, call, c.error, receiver));
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "refuses")) << status;
    EXPECT_EQ(receiver, status);
    DatagramSocketOptions options;
    options.bind = Endpoint::LoopbackV4(0);
    EXPECT_EQ((*reactor)->OpenSocket(options).status(), status);
    // It may be tried again, with the same result.
    EXPECT_EQ((*reactor)->Run(EchoOnce(**reactor)), status);
  }
}

Task<absl::Status> WaitsAgain(Reactor& reactor, Call call) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  for (int error : {ENOMEM, EINTR}) {
    const CallFailure failure(call, error, 5);
    CO_RETURN_IF_ERROR(co_await pair.Echo(absl::StrCat(error)));
    EXPECT_EQ(failure.happened(), 5);
  }
  co_return absl::OkStatus();
}

TEST_P(FailingCallsTest, ALackOfMemoryThatPassesIsWaitedFor) {
  const Call call =
      GetParam() == Backend::kIoUring ? Call::kRingEnter : Call::kEpollWait;
  absl::StatusOr<std::unique_ptr<Reactor>> reactor = Make(GetParam());
  ASSERT_TRUE(reactor.ok()) << reactor.status();
  EXPECT_EQ((*reactor)->Run(WaitsAgain(**reactor, call)), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(Reactors, FailingCallsTest,
                         ::testing::Values(Backend::kIoUring, Backend::kEpoll),
                         [](const auto& param) {
                           return AbslUnparseFlag(param.param);
                         });

// Until the reactor has looked at the network once.
Task<absl::Status> NextTurn(Reactor& reactor) {
  Event turn;
  reactor.Post([&turn] { turn.Set(); });
  co_return co_await turn.Wait();
}

// What the kernel has not taken keeps its memory until it has.
Task<absl::Status> TakenInPart(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  CO_RETURN_IF_ERROR(co_await pair.Echo("it works"));
  constexpr int kCount = 200;
  const PartialSubmission partial(3, 30);
  for (int i = 0; i < kCount; ++i) {
    Path path = pair.ToClient();
    CO_RETURN_IF_ERROR(co_await pair.server.Send(path, Bytes(absl::StrCat(i))));
    if (i % 10 == 9)
      CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
  }
  for (int i = 0; i < kCount; ++i) {
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                        co_await WithTimeout(kPatience, pair.client.Recv()));
    const absl::Span<const uint8_t> bytes = packet.payload.bytes();
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()), absl::StrCat(i));
  }
  EXPECT_GT(partial.happened(), 0);
  EXPECT_GT(pair.server.statistics().sends_postponed, 0U);
  EXPECT_EQ(pair.server.statistics().datagrams_sent, uint64_t{kCount} + 1);
  co_return absl::OkStatus();
}

// Nor is it sent by another socket that has got the same descriptor.
Task<absl::Status> EndsWhileTakenInPart(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  CO_RETURN_IF_ERROR(co_await pair.Echo("it works"));
  const Endpoint to = pair.server.local_endpoint();
  for (bool destroyed : {false, true}) {
    DatagramSocketOptions options;
    options.connect = to;
    CO_ASSIGN_OR_RETURN(UdpSocket opened, UdpSocket::Open(reactor, options));
    auto socket = std::make_unique<UdpSocket>(std::move(opened));
    const Endpoint from = socket->local_endpoint();
    const PartialSubmission partial(1, 4);
    for (int i = 0; i < 8; ++i) {
      Path path;
      CO_RETURN_IF_ERROR(co_await socket->Send(path, Bytes(absl::StrCat(i))));
    }
    CO_RETURN_IF_ERROR(co_await NextTurn(reactor));
    if (!destroyed) CO_RETURN_IF_ERROR(co_await socket->Close());
    socket.reset();
    CO_ASSIGN_OR_RETURN(UdpSocket next, UdpSocket::Open(reactor, options));
    for (int i = 0; i < 8; ++i) {
      CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                          co_await WithTimeout(kPatience, pair.server.Recv()));
      EXPECT_EQ(packet.path.peer, from);
    }
    EXPECT_GT(partial.happened(), 0);
  }
  co_return absl::OkStatus();
}

TEST(FailingRingTest, ASubmissionThatWasTakenInPartChangesNothing) {
  for (Task<absl::Status> (*play)(Reactor&) :
       {TakenInPart, EndsWhileTakenInPart}) {
    absl::StatusOr<std::unique_ptr<Reactor>> reactor = Make(Backend::kIoUring);
    ASSERT_TRUE(reactor.ok()) << reactor.status();
    EXPECT_EQ((*reactor)->Run(play(**reactor)), absl::OkStatus());
  }
}

Task<absl::Status> NobodyIsWatched(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(Pair pair, Pair::Open(reactor));
  {
    const CallFailure failure(Call::kEpollControl, ENOSPC, 1);
    const absl::Status refused = Pair::Open(reactor).status();
    EXPECT_TRUE(absl::StrContains(refused.message(), "epoll_ctl")) << refused;
    EXPECT_EQ(failure.happened(), 1);
  }
  CO_RETURN_IF_ERROR(co_await pair.Echo("those that are there"));
  DatagramSocketOptions options;
  options.bind = Endpoint::LoopbackV4(0);
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> socket,
                      reactor.OpenSocket(options));
  class Told final : public DatagramReceiver {
   public:
    void OnDatagram(const Datagram&) override {}
    void OnSocketFailed(const absl::Status& status) override { told = status; }
    absl::Status told;
  } told;
  const CallFailure failure(Call::kEpollControl, EPERM, 1);
  socket->StartReceiving(told);
  EXPECT_EQ(failure.happened(), 1);
  EXPECT_TRUE(told.told.ok());
  CO_RETURN_IF_ERROR(co_await NextTurn(reactor));
  EXPECT_TRUE(absl::IsPermissionDenied(told.told)) << told.told;
  EXPECT_EQ(socket->status(), told.told);
  CO_RETURN_IF_ERROR(co_await socket->Close());
  co_return co_await pair.Echo("those that are there");
}

TEST(FailingEpollTest, ASocketThatCannotBeWatchedIsAnError) {
  absl::StatusOr<std::unique_ptr<Reactor>> reactor = Make(Backend::kEpoll);
  ASSERT_TRUE(reactor.ok()) << reactor.status();
  EXPECT_EQ((*reactor)->Run(NobodyIsWatched(**reactor)), absl::OkStatus());
}

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
