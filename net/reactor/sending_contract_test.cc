// What sockets promise to those who send, and to those who wait for them, on
// every reactor.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/udp_socket.h"
#include "cordon/testing/life/reactors.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

using ::cordon::testing::ReactorKind;
using ::cordon::testing::ReactorKinds;

constexpr absl::Duration kPatience = absl::Seconds(20);

class SendingContractTest : public ::testing::TestWithParam<ReactorKind> {
 protected:
  template <typename... Arguments>
  void Run(Task<absl::Status> (*play)(Reactor&, Arguments...),
           Arguments... arguments) {
    const std::unique_ptr<Reactor> reactor = GetParam().make();
    ASSERT_NE(reactor, nullptr);
    EXPECT_EQ(reactor->Run(play(*reactor, arguments...)), absl::OkStatus());
  }
};

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
std::string Text(const PooledBytes& bytes) {
  return {bytes.data(), bytes.data() + bytes.size()};
}

absl::StatusOr<UdpSocket> OpenSocket(Reactor& reactor) {
  DatagramSocketOptions options;
  options.bind = Endpoint::LoopbackV4(0);
  return UdpSocket::Open(reactor, options);
}

// Sends without end.
Task<absl::Status> Flood(UdpSocket& socket, Path& path, size_t size,
                         const bool& enough, uint64_t& sent) {
  const std::string text(size, 'x');
  while (!enough) {
    CO_RETURN_IF_ERROR(co_await socket.Send(path, Bytes(text)));
    ++sent;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> FloodAndTimers(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(UdpSocket socket, OpenSocket(reactor));
  CO_ASSIGN_OR_RETURN(UdpSocket sink, OpenSocket(reactor));
  Path path(sink.local_endpoint());
  bool enough = false;
  uint64_t sent = 0;
  int posted = 0;
  TaskScope scope;
  scope.Spawn(Flood(socket, path, 1200, enough, sent));
  for (int i = 0; i < 5; ++i) {
    reactor.Post([&posted] { ++posted; });
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
  }
  EXPECT_EQ(posted, 5);
  EXPECT_GT(sent, DatagramSocket::kDatagramsPerTurn);
  enough = true;
  co_return co_await scope.Join();
}

TEST_P(SendingContractTest, ASenderWithoutEndStarvesNoTimerAndNoPost) {
  Run(FloodAndTimers);
}

// A stop request is no exception.
Task<absl::Status> FloodUntilStopped(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(UdpSocket socket, OpenSocket(reactor));
  CO_ASSIGN_OR_RETURN(UdpSocket sink, OpenSocket(reactor));
  Path path(sink.local_endpoint());
  const bool enough = false;
  uint64_t sent = 0;
  const absl::Status stopped = co_await WithTimeout(
      absl::Milliseconds(2), Flood(socket, path, 100, enough, sent));
  EXPECT_TRUE(absl::IsDeadlineExceeded(stopped)) << stopped;
  co_return absl::OkStatus();
}

TEST_P(SendingContractTest, ASenderWithoutEndCanBeStopped) {
  Run(FloodUntilStopped);
}

// Whether they share a socket, a path, or neither.
Task<absl::Status> ManyFloods(Reactor& reactor, bool one_path,
                              bool one_socket) {
  constexpr size_t kSenders = 10;
  CO_ASSIGN_OR_RETURN(UdpSocket sink, OpenSocket(reactor));
  std::vector<UdpSocket> sockets;
  std::vector<Path> paths(one_path ? 1 : kSenders, Path(sink.local_endpoint()));
  for (size_t i = 0; i < (one_socket ? 1 : kSenders); ++i) {
    CO_ASSIGN_OR_RETURN(UdpSocket socket, OpenSocket(reactor));
    sockets.push_back(std::move(socket));
  }
  bool enough = false;
  std::vector<uint64_t> sent(kSenders);
  TaskScope scope;
  for (size_t i = 0; i < kSenders; ++i) {
    scope.Spawn(Flood(sockets[i % sockets.size()], paths[i % paths.size()], 10,
                      enough, sent[i]));
  }
  uint64_t all = 0;
  for (int i = 0; i < 1000 && all < 20'000; ++i) {
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
    all = 0;
    for (uint64_t one : sent) all += one;
  }
  enough = true;
  CO_RETURN_IF_ERROR(co_await scope.Join());
  for (uint64_t one : sent) EXPECT_GT(one, all / kSenders / 3);
  co_return absl::OkStatus();
}

TEST_P(SendingContractTest, SendersWithoutEndGetEqualShares) {
  Run(ManyFloods, false, false);
  Run(ManyFloods, false, true);
  Run(ManyFloods, true, true);
}

// Many who send one datagram each, and more than there is memory for at once.
Task<absl::Status> SendNumber(UdpSocket& socket, Endpoint to, size_t number) {
  Path path(to);
  co_return co_await socket.Send(path, Bytes(absl::StrCat(number)));
}

Task<absl::Status> MoreThanThereAreTrains(Reactor& reactor) {
  constexpr size_t kCount = 1500;
  DatagramSocketOptions options;
  options.bind = Endpoint::LoopbackV4(0);
  CO_ASSIGN_OR_RETURN(UdpSocket socket, UdpSocket::Open(reactor, options));
  uint64_t received = 0;
  {
    TaskScope scope;
    for (size_t i = 0; i < kCount; ++i) {
      scope.Spawn(SendNumber(socket, socket.local_endpoint(), i));
    }
    CO_RETURN_IF_ERROR(co_await scope.Join());
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(20)));
  }
  received = socket.statistics().datagrams_received;
  EXPECT_EQ(socket.statistics().datagrams_sent, kCount);
  EXPECT_EQ(socket.statistics().send_dropped, 0U);
  EXPECT_EQ(socket.statistics().send_errors, 0U);
  EXPECT_GT(received, 0U);
  co_return absl::OkStatus();
}

TEST_P(SendingContractTest, SendersThatFindNoMemoryWaitAndLoseNothing) {
  Run(MoreThanThereAreTrains);
}

// Those who cannot wait, as handshakes, find memory whatever others do: nothing
// more is begun within a turn when it runs short.
Task<absl::Status> SendWithoutWaiting(DatagramSocket& socket, Endpoint to) {
  Path path(to);
  EXPECT_TRUE(socket.Send(path, Bytes("a hello")));
  co_return absl::OkStatus();
}

class AnswersThrice final : public DatagramReceiver {
 public:
  explicit AnswersThrice(DatagramSocket& socket) : socket_(socket) {}
  void OnDatagram(const Datagram& datagram) override {
    for (int i = 0; i < 3; ++i) {
      Path path(datagram.peer);
      socket_.Send(path, datagram.bytes);
    }
  }

 private:
  DatagramSocket& socket_;
};

Task<absl::Status> ManyAtOnce(Reactor& reactor) {
  constexpr size_t kCount = 1200;
  DatagramSocketOptions options;
  options.bind = Endpoint::LoopbackV4(0);
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> asks,
                      reactor.OpenSocket(options));
  options.receive_buffer = 8 << 20;
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> answers,
                      reactor.OpenSocket(options));
  AnswersThrice receiver(*answers);
  answers->StartReceiving(receiver);
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(2)));
  TaskScope scope;
  for (size_t i = 0; i < kCount; ++i) {
    scope.Spawn(SendWithoutWaiting(*asks, answers->local_endpoint()));
  }
  CO_RETURN_IF_ERROR(co_await scope.Join());
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(50)));
  EXPECT_EQ(asks->statistics().send_dropped, 0U);
  EXPECT_EQ(answers->statistics().send_dropped, 0U);
  EXPECT_EQ(
      asks->statistics().datagrams_sent + asks->statistics().send_over_quota,
      kCount);
  EXPECT_GT(answers->statistics().datagrams_received, kCount / 4);
  // A real network may be slower than that.
  EXPECT_EQ(answers->statistics().datagrams_sent +
                answers->statistics().send_over_quota,
            3 * answers->statistics().datagrams_received);
  EXPECT_EQ(answers->statistics().send_errors, 0U);
  CO_RETURN_IF_ERROR(co_await asks->Close());
  co_return co_await answers->Close();
}

TEST_P(SendingContractTest, ThoseWhoCannotWaitFindMemory) { Run(ManyAtOnce); }

// "from b" by the second of two sockets that share a path, and so on.
Task<absl::Status> KeptPath(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(UdpSocket first, OpenSocket(reactor));
  CO_ASSIGN_OR_RETURN(UdpSocket second, OpenSocket(reactor));
  Path to_first(first.local_endpoint());
  Path to_second(second.local_endpoint());
  // Over sockets that come and go.
  for (int i = 0; i < 4; ++i) {
    CO_ASSIGN_OR_RETURN(UdpSocket socket, OpenSocket(reactor));
    const std::string text = absl::StrCat("try ", i);
    CO_RETURN_IF_ERROR(co_await socket.Send(to_first, Bytes(text)));
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                        co_await WithTimeout(kPatience, first.Recv()));
    EXPECT_EQ(Text(packet.payload), text);
    EXPECT_EQ(packet.path.peer, socket.local_endpoint());
    CO_RETURN_IF_ERROR(co_await socket.Close());
  }
  // And beside another's path on a new one.
  CO_ASSIGN_OR_RETURN(UdpSocket a, OpenSocket(reactor));
  CO_ASSIGN_OR_RETURN(UdpSocket b, OpenSocket(reactor));
  CO_RETURN_IF_ERROR(co_await a.Send(to_second, Bytes("for 222")));
  CO_RETURN_IF_ERROR(co_await a.Send(to_first, Bytes("SECRET1")));
  CO_RETURN_IF_ERROR(co_await b.Send(to_first, Bytes("from b!")));
  CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                      co_await WithTimeout(kPatience, second.Recv()));
  EXPECT_EQ(Text(packet.payload), "for 222");
  std::vector<std::string> got;
  for (int i = 0; i < 2; ++i) {
    CO_ASSIGN_OR_RETURN(packet, co_await WithTimeout(kPatience, first.Recv()));
    got.push_back(Text(packet.payload));
    EXPECT_EQ(packet.path.peer, got.back() == "SECRET1" ? a.local_endpoint()
                                                        : b.local_endpoint());
  }
  EXPECT_NE(got[0], got[1]);
  EXPECT_EQ(second.statistics().datagrams_received, 1U);
  co_return absl::OkStatus();
}

TEST_P(SendingContractTest, APathServesManySocketsAndLeadsToItsPeerOnly) {
  Run(KeptPath);
}

Task<absl::Status> Impossible(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(UdpSocket socket, OpenSocket(reactor));
  Path path(socket.local_endpoint());
  Path nobody;
  Path other_family(Endpoint::LoopbackV6(9));
  EXPECT_TRUE(absl::IsInvalidArgument(co_await socket.Send(path, {})));
  EXPECT_TRUE(
      absl::IsInvalidArgument(co_await socket.Send(nobody, Bytes("x"))));
  EXPECT_TRUE(
      absl::IsInvalidArgument(co_await socket.Send(other_family, Bytes("x"))));
  EXPECT_EQ(socket.statistics().datagrams_sent, 0U);
  co_return absl::OkStatus();
}

TEST_P(SendingContractTest, WhatCannotBeSentIsAnError) { Run(Impossible); }

Task<absl::Status> LargeDatagrams(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(UdpSocket socket, OpenSocket(reactor));
  CO_ASSIGN_OR_RETURN(UdpSocket sender, OpenSocket(reactor));
  Path path(socket.local_endpoint());
  constexpr size_t kSize = 60'000;
  constexpr size_t kFit = UdpSocket::kMaxQueuedBytes / kSize;
  for (size_t i = 0; i < kFit + 10; ++i) {
    CO_RETURN_IF_ERROR(
        co_await sender.Send(path, Bytes(std::string(kSize, 'x'))));
    // One at a time, for the kernel's own queue.
    while (socket.statistics().datagrams_received <= i) {
      CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
    }
  }
  EXPECT_GE(socket.queue_drops(), 10U);
  EXPECT_LT(socket.queue_drops(), 20U);
  const size_t kept = kFit + 10 - socket.queue_drops();
  for (size_t i = 0; i < kept; ++i) {
    CO_RETURN_IF_ERROR((co_await socket.Recv()).status());
  }
  // There is room again.
  CO_RETURN_IF_ERROR(co_await sender.Send(path, Bytes("small")));
  CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                      co_await WithTimeout(kPatience, socket.Recv()));
  EXPECT_EQ(Text(packet.payload), "small");
  co_return absl::OkStatus();
}

TEST_P(SendingContractTest, WhatNobodyTakesIsBoundedInBytes) {
  Run(LargeDatagrams);
}

// More often than a socket may fail to receive: this is the network's news.
Task<absl::Status> GoneForLong(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(UdpSocket server, OpenSocket(reactor));
  DatagramSocketOptions options;
  options.bind = server.local_endpoint();
  CO_RETURN_IF_ERROR(co_await server.Close());
  DatagramSocketOptions client_options;
  client_options.connect = options.bind;
  CO_ASSIGN_OR_RETURN(UdpSocket client,
                      UdpSocket::Open(reactor, client_options));
  Path path;
  const bool real = reactor.backend() != "simulated";
  for (int i = 0; real && i <= DatagramSocket::kMaxReceiveFailures; ++i) {
    CO_RETURN_IF_ERROR(co_await client.Send(path, Bytes("anybody?")));
    const absl::Status news = (co_await client.Recv()).status();
    if (!absl::IsUnavailable(news)) co_return news;
  }
  CO_ASSIGN_OR_RETURN(server, UdpSocket::Open(reactor, options));
  CO_RETURN_IF_ERROR(co_await client.Send(path, Bytes("anybody?")));
  co_return (co_await WithTimeout(kPatience, server.Recv())).status();
}

TEST_P(SendingContractTest, APeerMayBeGoneForLong) { Run(GoneForLong); }

class StopsWithTheFirst final : public DatagramReceiver {
 public:
  explicit StopsWithTheFirst(DatagramSocket& socket) : socket_(socket) {}
  void OnDatagram(const Datagram&) override {
    ++count;
    socket_.StopReceiving();
  }
  int count = 0;

 private:
  DatagramSocket& socket_;
};

Task<absl::Status> StopInATrain(Reactor& reactor) {
  DatagramSocketOptions options;
  options.bind = Endpoint::LoopbackV4(0);
  options.gro = true;
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> socket,
                      reactor.OpenSocket(options));
  StopsWithTheFirst receiver(*socket);
  socket->StartReceiving(receiver);
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(5)));
  CO_ASSIGN_OR_RETURN(UdpSocket sender, OpenSocket(reactor));
  Path path(socket->local_endpoint());
  for (int i = 0; i < 10; ++i) {
    CO_RETURN_IF_ERROR(co_await sender.Send(path, Bytes("0123456789")));
  }
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(20)));
  EXPECT_EQ(receiver.count, 1);
  co_return co_await socket->Close();
}

TEST_P(SendingContractTest, AfterStopReceivingNothingIsDelivered) {
  Run(StopInATrain);
}

class Recorder final : public DatagramReceiver {
 public:
  void OnDatagram(const Datagram&) override { ++calls; }
  void OnSocketError(const absl::Status&) override { ++calls; }
  void OnPathMtuChanged(size_t) override { ++calls; }
  void OnPeerNotice(const PeerNotice&) override {
    ++calls;
    victim.reset();
  }
  int calls = 0;
  // Destroyed when the network says something.
  std::unique_ptr<DatagramSocket> victim;
};

// The second datagram meets the news that nobody was there for the first.
Task<absl::Status> DestroyWithNews(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(UdpSocket gone, OpenSocket(reactor));
  DatagramSocketOptions options;
  options.connect = gone.local_endpoint();
  CO_RETURN_IF_ERROR(co_await gone.Close());
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> socket,
                      reactor.OpenSocket(options));
  Recorder recorder;
  socket->StartReceiving(recorder);
  for (int i = 0; i < 5; ++i) {
    Path path;
    EXPECT_TRUE(socket->Send(path, Bytes("anybody?")));
  }
  socket.reset();
  EXPECT_EQ(recorder.calls, 0);
  co_return co_await SleepFor(absl::Milliseconds(5));
}

TEST_P(SendingContractTest, ASocketThatIsDestroyedCallsNobody) {
  Run(DestroyWithNews);
}

// Each hears that its peer is gone, and destroys the other.
Task<absl::Status> DestroyTheOther(Reactor& reactor) {
  for (int round = 0; round < 5; ++round) {
    CO_ASSIGN_OR_RETURN(UdpSocket gone, OpenSocket(reactor));
    const Endpoint nobody = gone.local_endpoint();
    CO_RETURN_IF_ERROR(co_await gone.Close());
    DatagramSocketOptions options;
    options.bind = Endpoint::LoopbackV4(0);
    options.peer_notices = true;
    Recorder first;
    Recorder second;
    CO_ASSIGN_OR_RETURN(first.victim, reactor.OpenSocket(options));
    CO_ASSIGN_OR_RETURN(second.victim, reactor.OpenSocket(options));
    DatagramSocket& of_first = *second.victim;
    DatagramSocket& of_second = *first.victim;
    of_first.StartReceiving(first);
    of_second.StartReceiving(second);
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
    for (DatagramSocket* socket : {&of_first, &of_second}) {
      Path path(nobody);
      EXPECT_TRUE(socket->Send(path, Bytes("anybody?")));
      EXPECT_TRUE(socket->Send(path, Bytes("nobody?")));
    }
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(5)));
    if (reactor.backend() != "simulated") {
      EXPECT_GE(first.calls + second.calls, 1);
    }
  }
  co_return absl::OkStatus();
}

TEST_P(SendingContractTest, AReceiverMayDestroyAnotherSocket) {
  Run(DestroyTheOther);
}

// A child that keeps all descriptors for as long as it lives.
class Child {
 public:
  Child() {
    if (pipe(ends_) != 0) return;
    pid_ = fork();
    if (pid_ != 0) return;
    close(ends_[1]);
    char byte = 0;
    _exit(read(ends_[0], &byte, 1) == 0 ? 0 : 1);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    close(ends_[0]);
    close(ends_[1]);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
  }

  bool lives() const { return pid_ > 0; }

 private:
  int ends_[2] = {-1, -1};
  pid_t pid_ = -1;
};

Task<absl::Status> Fork(Reactor& reactor) {
  std::unique_ptr<UdpSocket> socket;
  CO_ASSIGN_OR_RETURN(UdpSocket opened, OpenSocket(reactor));
  socket = std::make_unique<UdpSocket>(std::move(opened));
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(5)));
  const Child child;
  EXPECT_TRUE(child.lives());
  const Endpoint at = socket->local_endpoint();
  socket.reset();
  // In the place of the old one there may be this.
  CO_ASSIGN_OR_RETURN(UdpSocket sender, OpenSocket(reactor));
  const uint64_t events = reactor.statistics().completions;
  for (int i = 0; i < 5; ++i) {
    Path path(at);
    CO_RETURN_IF_ERROR(co_await sender.Send(path, Bytes("boo")));
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(2)));
  }
  EXPECT_EQ(sender.statistics().datagrams_received, 0U);
  // Epoll has forgotten it.
  if (reactor.backend() == "epoll") {
    EXPECT_EQ(reactor.statistics().completions, events);
  }
  co_return absl::OkStatus();
}

TEST_P(SendingContractTest, AProcessThatWasForkedDoesNotKeepASocketAlive) {
  Run(Fork);
}

INSTANTIATE_TEST_SUITE_P(Reactors, SendingContractTest,
                         ::testing::ValuesIn(ReactorKinds()),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace cordon::net
