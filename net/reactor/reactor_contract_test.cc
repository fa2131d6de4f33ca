// What every reactor promises, whatever it is built on.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/when_all.h"
#include "cordon/net/udp/udp_socket.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

struct Kind {
  std::string name;
  std::unique_ptr<Reactor> (*make)();
};

template <Backend kBackend>
std::unique_ptr<Reactor> MakeKernelReactor() {
  absl::StatusOr<std::unique_ptr<Reactor>> reactor =
      MakeReactor({.backend = kBackend});
  if (!reactor.ok()) {
    ADD_FAILURE() << reactor.status();
    return nullptr;
  }
  return *std::move(reactor);
}

std::unique_ptr<Reactor> MakeSimulatedReactor() {
  return std::make_unique<testing::SimReactor>();
}

class ReactorContractTest : public ::testing::TestWithParam<Kind> {
 protected:
  ReactorContractTest() : reactor_(GetParam().make()) {}
  bool simulated() const { return reactor_->backend() == "simulated"; }

  std::unique_ptr<Reactor> reactor_;
};

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
std::string Text(const PooledBytes& bytes) {
  return {bytes.data(), bytes.data() + bytes.size()};
}

constexpr absl::Duration kPatience = absl::Seconds(20);

Task<absl::Status> EchoMany(UdpSocket& socket, int count) {
  for (int i = 0; i < count; ++i) {
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet, co_await socket.Recv());
    CO_RETURN_IF_ERROR(
        co_await socket.Send(packet.path, packet.payload.bytes()));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Echo(Reactor& reactor, Endpoint bind, Endpoint to) {
  CO_ASSIGN_OR_RETURN(UdpSocket server,
                      UdpSocket::Open(reactor, {.bind = bind}));
  to = to.WithPort(server.local_endpoint().port());
  CO_ASSIGN_OR_RETURN(UdpSocket client,
                      UdpSocket::Open(reactor, {.connect = to}));
  TaskScope scope;
  scope.Spawn(EchoMany(server, 3));
  for (const std::string& text :
       {std::string("a"), std::string(1200, 'b'), std::string(20000, 'c')}) {
    Path path;
    CO_RETURN_IF_ERROR(co_await client.Send(path, Bytes(text)));
    // A connected client only hears its peer, so this also shows that the
    // reply left from the address that the question went to.
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet reply,
                        co_await WithTimeout(kPatience, client.Recv()));
    if (Text(reply.payload) != text) co_return absl::DataLossError("changed");
  }
  CO_RETURN_IF_ERROR(co_await scope.Join());
  CO_RETURN_IF_ERROR(co_await client.Close());
  co_return co_await server.Close();
}

TEST_P(ReactorContractTest, EchoesOverIpv4) {
  EXPECT_EQ(reactor_->Run(Echo(*reactor_, Endpoint::LoopbackV4(0),
                               Endpoint::LoopbackV4(0))),
            absl::OkStatus());
}

TEST_P(ReactorContractTest, EchoesOverIpv6) {
  EXPECT_EQ(reactor_->Run(Echo(*reactor_, Endpoint::LoopbackV6(0),
                               Endpoint::LoopbackV6(0))),
            absl::OkStatus());
}

TEST_P(ReactorContractTest, ServesIpv4OnADualStackSocket) {
  EXPECT_EQ(reactor_->Run(
                Echo(*reactor_, Endpoint::AnyV6(0), Endpoint::LoopbackV4(0))),
            absl::OkStatus());
}

TEST_P(ReactorContractTest, RepliesFromTheAddressThatWasAsked) {
  // Not the address that the kernel would choose by itself.
  EXPECT_EQ(reactor_->Run(Echo(*reactor_, Endpoint::AnyV4(0),
                               Endpoint::V4({127, 0, 0, 9}, 0))),
            absl::OkStatus());
  EXPECT_EQ(reactor_->Run(Echo(*reactor_, Endpoint::AnyV6(0),
                               Endpoint::V4({127, 0, 0, 9}, 0))),
            absl::OkStatus());
}

Task<absl::Status> Burst(Reactor& reactor, size_t count, size_t bytes) {
  CO_ASSIGN_OR_RETURN(UdpSocket server,
                      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0),
                                                .receive_buffer = 8 << 20}));
  CO_ASSIGN_OR_RETURN(
      UdpSocket client,
      UdpSocket::Open(reactor, {.connect = server.local_endpoint()}));
  Path path;
  for (size_t round = 0; round < count; round += 50) {
    for (size_t i = round; i < round + 50 && i < count; ++i) {
      std::string text = absl::StrCat(i, ":");
      text.resize(bytes, 'x');
      CO_RETURN_IF_ERROR(co_await client.Send(path, Bytes(text)));
    }
  }
  for (size_t i = 0; i < count; ++i) {
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                        co_await WithTimeout(kPatience, server.Recv()));
    const std::string expected = absl::StrCat(i, ":");
    if (Text(packet.payload).substr(0, expected.size()) != expected ||
        packet.payload.size() != bytes) {
      co_return absl::DataLossError(absl::StrCat("datagram ", i));
    }
  }
  co_return absl::OkStatus();
}

// More than the ring has buffers; all in order, nothing stuck.
// ACCEPTANCE: HD6
TEST_P(ReactorContractTest, DeliversABurstLargerThanItsBuffers) {
  EXPECT_EQ(reactor_->Run(Burst(*reactor_, 900, 100)), absl::OkStatus());
}

Task<absl::Status> MixedSizes(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(
      UdpSocket server,
      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  CO_ASSIGN_OR_RETURN(
      UdpSocket client,
      UdpSocket::Open(reactor, {.connect = server.local_endpoint()}));
  Path path;
  const std::vector<size_t> sizes = {100, 100,  50, 100,   100, 200,  200, 1,
                                     1,   1472, 40, 65507, 3,   1500, 1500};
  for (size_t size : sizes) {
    CO_RETURN_IF_ERROR(
        co_await client.Send(path, Bytes(std::string(size, 'm'))));
  }
  for (size_t size : sizes) {
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet,
                        co_await WithTimeout(kPatience, server.Recv()));
    EXPECT_EQ(packet.payload.size(), size);
  }
  co_return absl::OkStatus();
}

// ACCEPTANCE: HD6
TEST_P(ReactorContractTest, KeepsTheBoundariesOfDatagramsOfAllSizes) {
  EXPECT_EQ(reactor_->Run(MixedSizes(*reactor_)), absl::OkStatus());
}

Task<absl::Status> RefusesTooLarge(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(
      UdpSocket socket,
      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  Path path;
  path.peer = socket.local_endpoint();
  co_return co_await socket.Send(path, Bytes(std::string(65508, 'x')));
}

TEST_P(ReactorContractTest, RefusesADatagramThatIsTooLarge) {
  EXPECT_TRUE(
      absl::IsInvalidArgument(reactor_->Run(RefusesTooLarge(*reactor_))));
}

Task<absl::Status> ManySockets(Reactor& reactor, size_t count) {
  CO_ASSIGN_OR_RETURN(
      UdpSocket server,
      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  TaskScope scope;
  scope.Spawn(EchoMany(server, static_cast<int>(count)));
  std::vector<UdpSocket> clients;
  for (size_t i = 0; i < count; ++i) {
    CO_ASSIGN_OR_RETURN(
        UdpSocket client,
        UdpSocket::Open(reactor, {.connect = server.local_endpoint()}));
    clients.push_back(std::move(client));
    Path path;
    CO_RETURN_IF_ERROR(
        co_await clients.back().Send(path, Bytes(absl::StrCat(i))));
  }
  for (size_t i = 0; i < count; ++i) {
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet reply,
                        co_await WithTimeout(kPatience, clients[i].Recv()));
    EXPECT_EQ(Text(reply.payload), absl::StrCat(i));
  }
  co_return co_await scope.Join();
}

TEST_P(ReactorContractTest, KeepsPeersApart) {
  EXPECT_EQ(reactor_->Run(ManySockets(*reactor_, 200)), absl::OkStatus());
}

// The network says of one peer, again and again, that nobody is there.
Task<absl::Status> OnePeerIsGone(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(
      UdpSocket server,
      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  CO_ASSIGN_OR_RETURN(
      UdpSocket client,
      UdpSocket::Open(reactor, {.connect = server.local_endpoint()}));
  CO_ASSIGN_OR_RETURN(
      UdpSocket gone,
      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  Path to_gone;
  to_gone.peer = gone.local_endpoint();
  CO_RETURN_IF_ERROR(co_await gone.Close());
  Path to_client;
  to_client.peer = client.local_endpoint();
  Path path;
  for (int i = 0; i < 50; ++i) {
    // May fail, for itself alone.
    (void)co_await server.Send(to_gone, Bytes("anybody?"));
    const std::string text = absl::StrCat(i);
    CO_RETURN_IF_ERROR(co_await server.Send(to_client, Bytes(text)));
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet down,
                        co_await WithTimeout(kPatience, client.Recv()));
    EXPECT_EQ(Text(down.payload), text);
    CO_RETURN_IF_ERROR(co_await client.Send(path, Bytes(text)));
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet up,
                        co_await WithTimeout(kPatience, server.Recv()));
    EXPECT_EQ(Text(up.payload), text);
  }
  co_return co_await server.Close();
}

TEST_P(ReactorContractTest, APeerThatIsGoneHarmsNoOther) {
  EXPECT_EQ(reactor_->Run(OnePeerIsGone(*reactor_)), absl::OkStatus());
}

Task<absl::Status> Rebind(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(
      UdpSocket first,
      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  const Endpoint at = first.local_endpoint();
  absl::StatusOr<UdpSocket> busy = UdpSocket::Open(reactor, {.bind = at});
  EXPECT_TRUE(absl::IsUnavailable(busy.status())) << busy.status();
  (void)co_await SleepFor(absl::Milliseconds(5));
  CO_RETURN_IF_ERROR(co_await first.Close());
  CO_RETURN_IF_ERROR(co_await first.Close());
  CO_ASSIGN_OR_RETURN(UdpSocket second, UdpSocket::Open(reactor, {.bind = at}));
  co_return co_await second.Close();
}

TEST_P(ReactorContractTest, APortIsFreeOnceItsSocketIsClosed) {
  EXPECT_EQ(reactor_->Run(Rebind(*reactor_)), absl::OkStatus());
}

Task<absl::Status> RecvForever(Reactor& reactor, Endpoint* at) {
  CO_ASSIGN_OR_RETURN(
      UdpSocket socket,
      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  *at = socket.local_endpoint();
  co_return (co_await socket.Recv()).status();
}

Task<absl::Status> DestroyInFlight(Reactor& reactor) {
  for (int i = 0; i < 20; ++i) {
    Endpoint at;
    CO_ASSIGN_OR_RETURN(
        UdpSocket sender,
        UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
    {
      TaskScope scope;
      scope.Spawn(RecvForever(reactor, &at));
      (void)co_await SleepFor(absl::Milliseconds(2));
      Path path;
      path.peer = at;
      CO_RETURN_IF_ERROR(co_await sender.Send(path, Bytes("too late")));
      if (i % 2 == 0) co_await Yield();
    }
    // Gone, with its socket, while a datagram was on its way.
    (void)co_await SleepFor(absl::Milliseconds(2));
  }
  co_return absl::OkStatus();
}

TEST_P(ReactorContractTest, ATaskMayBeDestroyedWhileTheKernelWorksForIt) {
  EXPECT_EQ(reactor_->Run(DestroyInFlight(*reactor_)), absl::OkStatus());
}

Task<absl::Status> StopRecv(Reactor& reactor) {
  CO_ASSIGN_OR_RETURN(
      UdpSocket socket,
      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  for (int i = 0; i < 5; ++i) {
    const absl::Status stopped =
        (co_await WithTimeout(absl::Milliseconds(1), socket.Recv())).status();
    EXPECT_TRUE(absl::IsDeadlineExceeded(stopped)) << stopped;
    Path path(socket.local_endpoint());
    CO_RETURN_IF_ERROR(co_await socket.Send(path, Bytes("kept")));
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(20)));
    // It came while nobody waited.
    CO_ASSIGN_OR_RETURN(UdpSocket::Packet packet, co_await socket.Recv());
    EXPECT_EQ(Text(packet.payload), "kept");
  }
  co_return co_await socket.Close();
}

TEST_P(ReactorContractTest, AStoppedReceiveLosesNothing) {
  EXPECT_EQ(reactor_->Run(StopRecv(*reactor_)), absl::OkStatus());
}

TEST_P(ReactorContractTest, RunsTimersInOrder) {
  std::vector<int> order;
  auto sleeper = [](std::vector<int>& out, int ms) -> Task<void> {
    (void)co_await SleepFor(absl::Milliseconds(ms));
    out.push_back(ms);
  };
  auto all = [&](Reactor& reactor) -> Task<absl::Status> {
    TaskScope scope;
    for (int ms : {30, 10, 20, 40}) scope.Spawn(sleeper(order, ms));
    const absl::Time start = reactor.Now();
    CO_RETURN_IF_ERROR(co_await scope.Join());
    EXPECT_GE(reactor.Now() - start, absl::Milliseconds(40));
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor_->Run(all(*reactor_)), absl::OkStatus());
  EXPECT_EQ(order, (std::vector<int>{10, 20, 30, 40}));
}

TEST_P(ReactorContractTest, RunsWhatOtherThreadsPost) {
  if (simulated()) {
    int ran = 0;
    reactor_->Post([&ran] { ++ran; });
    auto sleep = []() -> Task<absl::Status> {
      co_return co_await SleepFor(absl::Seconds(1));
    };
    EXPECT_TRUE(reactor_->Run(sleep()).ok());
    EXPECT_EQ(ran, 1);
    return;
  }
  constexpr int kPosts = 1000;
  Event done;
  int ran = 0;
  std::thread other([&] {
    for (int i = 0; i < kPosts; ++i) {
      reactor_->Post([&] {
        if (++ran == kPosts) done.Set();
      });
    }
  });
  EXPECT_TRUE(reactor_->Run(done.Wait()).ok());
  other.join();
  EXPECT_EQ(ran, kPosts);
}

Task<void> RecvInto(UdpSocket& socket, absl::Status* status) {
  *status = (co_await socket.Recv()).status();
}

// Two sockets have datagrams; each round takes one of them.
Task<absl::Status> TakeByAny(Reactor& reactor) {
  constexpr int kEach = 5;
  CO_ASSIGN_OR_RETURN(
      UdpSocket a, UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  CO_ASSIGN_OR_RETURN(
      UdpSocket b, UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0)}));
  Path to_a(a.local_endpoint());
  Path to_b(b.local_endpoint());
  for (int i = 0; i < kEach; ++i) {
    CO_RETURN_IF_ERROR(co_await b.Send(to_a, Bytes("for a")));
    CO_RETURN_IF_ERROR(co_await a.Send(to_b, Bytes("for b")));
  }
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(20)));
  // Nor does one take any that begins when stop was requested.
  TaskScope stopped;
  stopped.RequestStop();
  absl::Status status;
  stopped.Spawn(RecvInto(a, &status));
  CO_RETURN_IF_ERROR(co_await stopped.Join());
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  std::array<int, 2> taken = {};
  for (int i = 0; i < 2 * kEach; ++i) {
    auto any = co_await WhenAny(a.Recv(), b.Recv());
    absl::StatusOr<UdpSocket::Packet>& packet =
        any.index == 0 ? std::get<0>(any.results) : std::get<1>(any.results);
    CO_RETURN_IF_ERROR(packet.status());
    EXPECT_EQ(Text(packet->payload), any.index == 0 ? "for a" : "for b");
    ++taken.at(any.index);
  }
  EXPECT_EQ(taken, (std::array<int, 2>{kEach, kEach}));
  co_return absl::OkStatus();
}

TEST_P(ReactorContractTest, WhenAnyOfTwoSocketsLosesNothing) {
  EXPECT_EQ(reactor_->Run(TakeByAny(*reactor_)), absl::OkStatus());
}

// Work that takes so long.
void Burn(Reactor& reactor, absl::Duration duration) {
  if (auto* simulated = dynamic_cast<testing::SimReactor*>(&reactor)) {
    simulated->clock().Advance(duration);
    return;
  }
  const absl::Time end = reactor.ReadClock() + duration;
  while (reactor.ReadClock() < end) {
  }
}

Task<absl::Status> WaitAfterALongTurn(Reactor& reactor) {
  Event never;
  for (bool sleep : {false, true}) {
    Burn(reactor, absl::Milliseconds(60));
    const absl::Time begin = reactor.ReadClock();
    if (sleep) {
      CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(40)));
    } else {
      const absl::Status status =
          co_await WithTimeout(absl::Milliseconds(40), never.Wait());
      EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    }
    EXPECT_GE(reactor.ReadClock() - begin, absl::Milliseconds(40));
  }
  co_return absl::OkStatus();
}

TEST_P(ReactorContractTest, DurationsCountFromTheCallAfterALongTurn) {
  EXPECT_EQ(reactor_->Run(WaitAfterALongTurn(*reactor_)), absl::OkStatus());
}

// Takes long over each datagram.
class SlowReceiver final : public DatagramReceiver {
 public:
  explicit SlowReceiver(Reactor& reactor) : reactor_(reactor) {}

  void OnDatagram(const Datagram&) override {
    Burn(reactor_, absl::Milliseconds(1));
    const uint64_t turn = reactor_.statistics().turns;
    in_this_turn_ = turn == turn_ ? in_this_turn_ + 1 : 1;
    turn_ = turn;
    most_in_a_turn_ = std::max(most_in_a_turn_, in_this_turn_);
    if (++received_ == wanted_) done_.Set();
  }
  Task<absl::Status> Await(size_t count) {
    wanted_ = count;
    co_return co_await WithTimeout(kPatience, done_.Wait());
  }
  size_t received() const { return received_; }
  size_t most_in_a_turn() const { return most_in_a_turn_; }

 private:
  Reactor& reactor_;
  uint64_t turn_ = 0;
  size_t in_this_turn_ = 0;
  size_t most_in_a_turn_ = 0;
  size_t received_ = 0;
  size_t wanted_ = 0;
  Event done_;
};

Task<void> NoteAfter(absl::Duration duration, const SlowReceiver& receiver,
                     size_t* received) {
  (void)co_await SleepFor(duration);
  *received = receiver.received();
}

Task<absl::Status> ReceiveSlowly(Reactor& reactor) {
  constexpr size_t kDatagrams = 150;
  // More than the messages of one recvmmsg are never delivered at once.
  constexpr size_t kMostAtOnce = 64;
  SlowReceiver receiver(reactor);
  CO_ASSIGN_OR_RETURN(std::unique_ptr<DatagramSocket> socket,
                      reactor.OpenSocket({.bind = Endpoint::LoopbackV4(0)}));
  socket->StartReceiving(receiver);
  CO_ASSIGN_OR_RETURN(UdpSocket sender,
                      UdpSocket::Open(reactor, {.bind = Endpoint::LoopbackV4(0),
                                                .gso = false}));
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
  TaskScope scope;
  size_t received_at_timer = kDatagrams;
  scope.Spawn(NoteAfter(absl::Milliseconds(3), receiver, &received_at_timer));
  Path path(socket->local_endpoint());
  for (size_t i = 0; i < kDatagrams; ++i) {
    CO_RETURN_IF_ERROR(co_await sender.Send(path, Bytes("slow")));
  }
  CO_RETURN_IF_ERROR(co_await receiver.Await(kDatagrams));
  CO_RETURN_IF_ERROR(co_await scope.Join());
  EXPECT_LE(receiver.most_in_a_turn(), kMostAtOnce);
  EXPECT_LT(received_at_timer, kDatagrams);
  co_return co_await socket->Close();
}

TEST_P(ReactorContractTest, TimersHaveTheirTurnWhileMuchIsReceived) {
  EXPECT_EQ(reactor_->Run(ReceiveSlowly(*reactor_)), absl::OkStatus());
}

// What is posted runs, or is destroyed; and whoever posts too late is told.
TEST_P(ReactorContractTest, WhatIsPostedToOneThatHasEndedIsRefused) {
  auto alive = std::make_shared<int>();
  int ran = 0;
  const auto post = [&] { return reactor_->Post([&ran, alive] { ++ran; }); };
  EXPECT_FALSE(reactor_->ended());
  EXPECT_TRUE(post());
  auto task = [&]() -> Task<absl::Status> {
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
    EXPECT_EQ(ran, 1);
    // Too late to run.
    EXPECT_TRUE(post());
    co_return absl::OkStatus();
  };
  for (int run = 1; run <= 2; ++run) {
    EXPECT_EQ(reactor_->Run(task()), absl::OkStatus());
    EXPECT_TRUE(reactor_->ended());
    EXPECT_EQ(ran, 1);
    EXPECT_EQ(alive.use_count(), 1);
    absl::AnyInvocable<void()> refused = [&ran, alive] { ++ran; };
    EXPECT_FALSE(reactor_->Post(std::move(refused)));
    // It is still the caller's.
    EXPECT_EQ(alive.use_count(), 2);
  }
}

TEST_P(ReactorContractTest, OthersPostWhileItEnds) {
  if (simulated()) GTEST_SKIP() << "it has no threads";
  struct Counted {
    explicit Counted(std::atomic<int>* c) : counter(c) {}
    ~Counted() { ++*counter; }
    std::atomic<int>* counter;
  };
  std::atomic<int> taken = 0;
  std::atomic<int> destroyed = 0;
  std::atomic<int> refused = 0;
  std::thread other([&] {
    while (refused == 0) {
      auto counted = std::make_unique<Counted>(&destroyed);
      absl::AnyInvocable<void()> function = [c = std::move(counted)] {};
      if (reactor_->Post(std::move(function))) {
        ++taken;
      } else {
        ++refused;
      }
    }
  });
  auto task = [&]() -> Task<absl::Status> {
    while (taken < 100) co_await Yield();
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor_->Run(task()), absl::OkStatus());
  other.join();
  EXPECT_EQ(destroyed, taken + refused);
}

TEST_P(ReactorContractTest, ObserversHearOfEachRun) {
  struct Observer final : RunObserver {
    void OnRunBegins() override { log += "b"; }
    bool OnRunEnding() override {
      log += "e";
      return true;
    }
    void OnRunEnded() override { log += "E"; }
    std::string log;
  };
  auto task = [&]() -> Task<absl::Status> {
    EXPECT_TRUE(reactor_->running());
    co_return absl::OkStatus();
  };
  Observer stays;
  {
    Observer goes;
    reactor_->AddObserver(goes);
    reactor_->AddObserver(stays);
    EXPECT_EQ(reactor_->Run(task()), absl::OkStatus());
    EXPECT_EQ(goes.log, "beE");
  }
  EXPECT_FALSE(reactor_->running());
  EXPECT_EQ(reactor_->Run(task()), absl::OkStatus());
  EXPECT_EQ(stays.log, "beEbeE");
}

// --- Sockets that share a port -----------------------------------------------

class Counter final : public DatagramReceiver {
 public:
  void OnDatagram(const Datagram&) override { ++count; }
  int count = 0;
};

// What was sent before arrives, and nothing that is sent after.
Task<absl::Status> RetireOne(Reactor& reactor, Endpoint at) {
  constexpr int kPeers = 32;
  std::array<std::unique_ptr<DatagramSocket>, 2> sockets;
  std::array<Counter, 2> counters;
  for (size_t i = 0; i < 2; ++i) {
    CO_ASSIGN_OR_RETURN(sockets[i],
                        reactor.OpenSocket({.bind = at, .reuse_port = true}));
    at = sockets[i]->local_endpoint();
    sockets[i]->StartReceiving(counters[i]);
  }
  const Endpoint to = at.is_any()
                          ? (at.is_v4() ? Endpoint::LoopbackV4(at.port())
                                        : Endpoint::LoopbackV6(at.port()))
                          : at;
  std::vector<UdpSocket> peers;
  for (int i = 0; i < kPeers; ++i) {
    CO_ASSIGN_OR_RETURN(UdpSocket peer,
                        UdpSocket::Open(reactor, {.connect = to}));
    peers.push_back(std::move(peer));
  }
  const auto all_send = [&]() -> Task<absl::Status> {
    for (UdpSocket& peer : peers) {
      Path path;
      CO_RETURN_IF_ERROR(co_await peer.Send(path, Bytes("text")));
    }
    co_return absl::OkStatus();
  };
  CO_RETURN_IF_ERROR(co_await all_send());
  while (counters[0].count + counters[1].count < kPeers) {
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
  }
  const int spread = counters[0].count;
  EXPECT_GT(spread, 0);
  EXPECT_LT(spread, kPeers);
  // These come before, and are read after; but in a simulation, where nothing
  // waits in a socket.
  const bool simulated = reactor.backend() == "simulated";
  if (!simulated) sockets[0]->StopReceiving();
  CO_RETURN_IF_ERROR(co_await all_send());
  while (counters[1].count < 2 * (kPeers - spread)) {
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
  }
  CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(10)));
  CO_RETURN_IF_ERROR(sockets[0]->Retire());
  if (!simulated) {
    EXPECT_EQ(counters[0].count, spread);
    sockets[0]->StartReceiving(counters[0]);
  }
  while (counters[0].count + counters[1].count < 2 * kPeers) {
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
  }
  EXPECT_EQ(counters[0].count, 2 * spread);
  CO_RETURN_IF_ERROR(co_await all_send());
  while (counters[0].count + counters[1].count < 3 * kPeers) {
    CO_RETURN_IF_ERROR(co_await SleepFor(absl::Milliseconds(1)));
  }
  EXPECT_EQ(counters[0].count, 2 * spread);
  // It can still send, to anybody.
  Path path(peers[0].local_endpoint());
  EXPECT_TRUE(sockets[0]->Send(path, Bytes("bye")));
  CO_ASSIGN_OR_RETURN(UdpSocket::Packet last,
                      co_await WithTimeout(kPatience, peers[0].Recv()));
  EXPECT_EQ(Text(last.payload), "bye");
  for (auto& socket : sockets) CO_RETURN_IF_ERROR(co_await socket->Close());
  co_return absl::OkStatus();
}

TEST_P(ReactorContractTest, ASocketThatIsRetiredGetsNothingNewAndLosesNothing) {
  if (simulated()) {
    static_cast<testing::SimReactor&>(*reactor_).SpreadPeers(
        [](const Endpoint& peer, size_t) -> size_t { return peer.port(); });
  }
  for (const Endpoint& at : {Endpoint::LoopbackV4(0), Endpoint::AnyV4(0),
                             Endpoint::LoopbackV6(0), Endpoint::AnyV6(0)}) {
    EXPECT_EQ(reactor_->Run(RetireOne(*reactor_, at)), absl::OkStatus()) << at;
  }
}

TEST_P(ReactorContractTest, RequestStopStopsTheTaskThatRuns) {
  reactor_->RequestStop();
  auto sleep = []() -> Task<absl::Status> {
    co_return co_await SleepFor(absl::Hours(1));
  };
  EXPECT_TRUE(absl::IsCancelled(reactor_->Run(sleep())));
}

INSTANTIATE_TEST_SUITE_P(
    Reactors, ReactorContractTest,
    ::testing::Values(Kind{"IoUring", MakeKernelReactor<Backend::kIoUring>},
                      Kind{"Epoll", MakeKernelReactor<Backend::kEpoll>},
                      Kind{"Simulated", MakeSimulatedReactor}),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace cordon::net
