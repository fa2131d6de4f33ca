// The rules by which datagrams are joined into trains.
#include "cordon/net/udp/train.h"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/send_queue.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

// Collects instead of sending.
class TestSocket final : public DatagramSocket {
 public:
  TestSocket(TrainPool& pool, bool gso) : DatagramSocket(pool, gso) {}
  ~TestSocket() override = default;
  void StartReceiving(DatagramReceiver& receiver) override {
    receiver_ = &receiver;
  }
  void StopReceiving() override { receiver_ = nullptr; }
  Task<absl::Status> Close() override { co_return absl::OkStatus(); }

  void Block(bool blocked) { SetCongested(blocked); }
  void Refuse(const absl::Status& status) { Fail(status); }
  void FailToReceive() { CountReceiveError(EIO); }
  void Receive() { OnReceived(); }
  using DatagramSocket::EndTrains;

  // The sizes of the datagrams of each train that is queued.
  std::vector<std::vector<size_t>> Flush() {
    std::vector<std::vector<size_t>> trains;
    peers.clear();
    std::vector<Train*> taken;
    TakeTrains(taken);
    for (Train* train : taken) {
      std::vector<size_t> sizes;
      for (size_t at = 0; at < train->bytes; at += train->segment_bytes) {
        sizes.push_back(std::min(train->segment_bytes, train->bytes - at));
      }
      EXPECT_EQ(sizes.size(), train->segments);
      trains.push_back(sizes);
      peers.push_back(train->peer);
      text.assign(train->data(), train->data() + train->bytes);
      Return(*train);
    }
    return trains;
  }
  // As if the network took nothing.
  void FlushInVain() {
    std::vector<Train*> taken;
    TakeTrains(taken);
    for (Train* train : taken) Keep(*train);
  }

  int flushes_wanted = 0;
  // Of the last flush, and the last train of it.
  std::vector<Endpoint> peers;
  std::string text;

 protected:
  void OnQueued() override { ++flushes_wanted; }
};

using Trains = std::vector<std::vector<size_t>>;

class TrainTest : public ::testing::Test {
 protected:
  void Send(Path& path, size_t size) { Send(socket_, path, size); }
  static void Send(TestSocket& socket, Path& path, size_t size) {
    EXPECT_TRUE(socket.Send(path, std::vector<uint8_t>(size, 1)));
  }
  TrainPool pool_{4};
  TestSocket socket_{pool_, true};
  Path a_{Endpoint::LoopbackV4(1)};
  Path b_{Endpoint::LoopbackV4(2)};
};

TEST_F(TrainTest, EqualSizesToOnePeerAreOneTrain) {
  for (int i = 0; i < 5; ++i) Send(a_, 100);
  EXPECT_EQ(socket_.flushes_wanted, 1);
  EXPECT_EQ(socket_.Flush(), (Trains{{100, 100, 100, 100, 100}}));
}

TEST_F(TrainTest, AShorterOneEndsTheTrain) {
  Send(a_, 100);
  Send(a_, 60);
  Send(a_, 60);
  EXPECT_EQ(socket_.Flush(), (Trains{{100, 60}, {60}}));
}

TEST_F(TrainTest, ALongerOneBeginsANewTrainWithItsBytes) {
  Send(a_, 100);
  absl::Span<uint8_t> room = socket_.Reserve(a_, 200);
  ASSERT_EQ(room.size(), 200U);
  std::memset(room.data(), 7, 200);
  socket_.Commit(a_, 200);
  EXPECT_EQ(socket_.Flush(), (Trains{{100}, {200}}));
}

TEST_F(TrainTest, PeersThatAlternateHaveTrainsOfTheirOwn) {
  for (int i = 0; i < 3; ++i) {
    Send(a_, 100);
    Send(b_, 100);
  }
  EXPECT_EQ(socket_.Flush(), (Trains{{100, 100, 100}, {100, 100, 100}}));
}

TEST_F(TrainTest, ATrainHasAtMostItsSegmentsAndBytes) {
  for (size_t i = 0; i < Train::kMaxSegments + 1; ++i) Send(a_, 10);
  Trains trains = socket_.Flush();
  ASSERT_EQ(trains.size(), 2U);
  EXPECT_EQ(trains[0].size(), Train::kMaxSegments);
  for (int i = 0; i < 50; ++i) Send(a_, 1400);
  trains = socket_.Flush();
  ASSERT_EQ(trains.size(), 2U);
  EXPECT_LE(trains[0].size() * 1400, Train::kMaxBytes);
}

TEST_F(TrainTest, DatagramsLargerThanAPacketStandAlone) {
  Send(a_, 1473);
  Send(a_, 1473);
  EXPECT_EQ(socket_.Flush(), (Trains{{1473}, {1473}}));
}

TEST_F(TrainTest, NothingIsJoinedWithoutSegmentationOffload) {
  TestSocket plain(pool_, false);
  Path path = a_;
  EXPECT_TRUE(plain.Send(path, std::vector<uint8_t>(10, 1)));
  EXPECT_TRUE(plain.Send(path, std::vector<uint8_t>(10, 1)));
  EXPECT_EQ(plain.Flush(), (Trains{{10}, {10}}));
}

TEST_F(TrainTest, ATrainDoesNotGrowAfterItWasHandedOver) {
  Send(a_, 100);
  EXPECT_EQ(socket_.Flush(), (Trains{{100}}));
  Send(a_, 100);
  EXPECT_EQ(socket_.Flush(), (Trains{{100}}));
  EXPECT_EQ(pool_.in_use(), 0U);
}

TEST_F(TrainTest, WhatFindsNoMemoryIsDroppedAndHarmsNothing) {
  std::vector<Path> paths(5);
  for (uint16_t i = 0; i < 4; ++i) {
    paths[i].peer = Endpoint::LoopbackV4(i + 1);
    Send(paths[i], 100);
  }
  paths[4].peer = Endpoint::LoopbackV4(5);
  EXPECT_FALSE(socket_.Send(paths[4], std::vector<uint8_t>(100, 2)));
  EXPECT_EQ(socket_.statistics().send_dropped, 1U);
  EXPECT_EQ(socket_.Flush(), (Trains{{100}, {100}, {100}, {100}}));
  Send(paths[4], 100);
  EXPECT_EQ(socket_.Flush(), (Trains{{100}}));
}

// Were there no memory for it when its size is known, it would have to stay
// where it is.
TEST_F(TrainTest, RoomThatMayTurnOutTooSmallHasMemoryInReserve) {
  TrainPool pool(2);
  TestSocket socket(pool, true);
  TestSocket rival(pool, true);
  ASSERT_TRUE(socket.Send(a_, std::vector<uint8_t>(100, 1)));
  absl::Span<uint8_t> room = socket.Reserve(a_, 300);
  ASSERT_EQ(room.size(), 300U);
  std::memset(room.data(), 7, 300);
  Path other(Endpoint::LoopbackV4(9));
  EXPECT_FALSE(rival.Send(other, std::vector<uint8_t>(10, 1)));
  socket.Commit(a_, 300);
  EXPECT_EQ(socket.Flush(), (Trains{{100}, {300}}));
  EXPECT_EQ(socket.text, std::string(300, 7));
  // Where there is none it is known at once.
  ASSERT_TRUE(socket.Send(b_, std::vector<uint8_t>(10, 1)));
  ASSERT_TRUE(socket.Send(a_, std::vector<uint8_t>(100, 1)));
  EXPECT_TRUE(socket.Reserve(a_, 300).empty());
  // And what is not needed is given back.
  EXPECT_EQ(socket.Flush(), (Trains{{10}, {100}}));
  ASSERT_TRUE(socket.Send(a_, std::vector<uint8_t>(100, 1)));
  ASSERT_FALSE(socket.Reserve(a_, 300).empty());
  socket.Commit(a_, 90);
  EXPECT_EQ(pool.in_use(), 1U);
  EXPECT_EQ(socket.Flush(), (Trains{{100, 90}}));
}

TEST_F(TrainTest, AnEmptyDatagramIsNotSent) {
  EXPECT_FALSE(socket_.Send(a_, {}));
  EXPECT_EQ(pool_.in_use(), 0U);
}

// A path may be kept over several sockets, and used with them in turns.
TEST_F(TrainTest, APathJoinsNoTrainOfAnotherSocket) {
  {
    TestSocket before(pool_, true);
    ASSERT_TRUE(before.Send(a_, std::vector<uint8_t>(100, 1)));
    EXPECT_EQ(before.Flush(), (Trains{{100}}));
  }
  TestSocket other(pool_, true);
  Send(b_, 100);
  EXPECT_TRUE(other.Send(b_, std::vector<uint8_t>(100, 1)));
  Send(a_, 100);
  EXPECT_EQ(other.Flush(), (Trains{{100}}));
  EXPECT_EQ(socket_.Flush(), (Trains{{100}, {100}}));
  EXPECT_EQ(socket_.peers, (std::vector<Endpoint>{b_.peer, a_.peer}));
}

TEST_F(TrainTest, APathMayBeCopiedAndGivenAnotherPeer) {
  Send(a_, 100);
  Path copy = a_;
  Send(copy, 100);
  copy.peer = Endpoint::LoopbackV4(7);
  Send(copy, 100);
  copy.local = {Endpoint::LoopbackV4(0), 1};
  Send(copy, 100);
  EXPECT_EQ(socket_.Flush(), (Trains{{100, 100}, {100}, {100}}));
  EXPECT_EQ(socket_.peers,
            (std::vector<Endpoint>{a_.peer, copy.peer, copy.peer}));
}

// Only those who can wait are asked to.
TEST_F(TrainTest, WhoCanWaitLeavesRoomForOthers) {
  TrainPool pool(8);
  TestSocket socket(pool, true);
  std::vector<Path> paths(8);
  for (uint16_t i = 0; i < 8; ++i) {
    paths[i].peer = Endpoint::LoopbackV4(i + 1);
    EXPECT_EQ(socket.MaySend(paths[i], 100), i < 6) << i;
    // A train that is there may be joined.
    if (i > 0) {
      EXPECT_TRUE(socket.MaySend(paths[i - 1], 100));
    }
    ASSERT_TRUE(socket.Send(paths[i], std::vector<uint8_t>(100, 1)));
  }
  socket.Flush();
  EXPECT_TRUE(socket.MaySend(paths[7], 100));
}

TEST_F(TrainTest, ASocketAPeerAndATurnHaveTheirShare) {
  TrainPool pool(1000);
  TestSocket socket(pool, true);
  TestSocket other(pool, true);
  std::vector<Path> paths(DatagramSocket::kMaxTrains + 1);
  for (size_t i = 0; i < paths.size(); ++i) {
    paths[i].peer = Endpoint::LoopbackV4(static_cast<uint16_t>(i + 1));
    ASSERT_EQ(socket.MaySend(paths[i], 1), i < DatagramSocket::kMaxTrains);
    ASSERT_TRUE(socket.Send(paths[i], std::vector<uint8_t>(1, 1)));
  }
  EXPECT_TRUE(other.MaySend(paths[0], 1));
  socket.Flush();
  pool.BeginTurn();
  for (size_t i = 0; i < DatagramSocket::kDatagramsPerTurn; ++i) {
    ASSERT_TRUE(socket.MaySend(a_, 1));
    Send(socket, a_, 1);
  }
  EXPECT_FALSE(socket.MaySend(a_, 1));
  EXPECT_TRUE(socket.MaySend(b_, 1));
  socket.Flush();
  EXPECT_TRUE(socket.MaySend(a_, 1));
  size_t sent = DatagramSocket::kDatagramsPerTurn;
  for (; sent < TrainPool::kDatagramsPerTurn; ++sent) Send(other, b_, 1);
  EXPECT_FALSE(socket.MaySend(a_, 1));
  EXPECT_FALSE(other.MaySend(paths[0], 1));
  pool.BeginTurn();
  EXPECT_TRUE(socket.MaySend(a_, 1));
}

TEST_F(TrainTest, FullSocketsKeepNoMoreThanTheirQuota) {
  TrainPool pool(512);
  TestSocket full(pool, true);
  TestSocket too(pool, true);
  TestSocket last(pool, true);
  constexpr size_t kMany = 160;
  for (TestSocket* socket : {&full, &too, &last}) {
    for (size_t i = 0; i < kMany; ++i) {
      Path path(Endpoint::LoopbackV4(static_cast<uint16_t>(i + 1)));
      ASSERT_TRUE(socket->Send(path, std::vector<uint8_t>(1, 1)));
    }
    socket->FlushInVain();
  }
  EXPECT_EQ(full.statistics().send_over_quota,
            kMany - DatagramSocket::kMaxTrains);
  EXPECT_EQ(too.statistics().send_over_quota,
            kMany - DatagramSocket::kMaxTrains);
  EXPECT_EQ(last.statistics().send_over_quota, kMany);
  EXPECT_EQ(pool.in_use(), 2 * DatagramSocket::kMaxTrains);
  EXPECT_EQ(full.Flush().size(), DatagramSocket::kMaxTrains);
  EXPECT_TRUE(last.Send(a_, std::vector<uint8_t>(1, 1)));
  last.FlushInVain();
  EXPECT_EQ(last.statistics().send_over_quota, kMany);
}

TEST_F(TrainTest, APeerWithoutTrainsIsAloneAndTriedAgain) {
  Path other(Endpoint::V4({127, 0, 0, 2}, 1));
  socket_.EndTrains(a_.peer);
  for (uint32_t left = DatagramSocket::kTrainRetry; left > 1;) {
    const size_t some = std::min<uint32_t>(left - 1, 2);
    for (size_t i = 0; i < some; ++i) Send(a_, 10);
    Send(other, 10);
    Send(other, 10);
    Trains expected(some, {10});
    expected.push_back({10, 10});
    ASSERT_EQ(socket_.Flush(), expected) << left;
    left -= static_cast<uint32_t>(some);
  }
  Send(a_, 10);
  Send(a_, 10);
  EXPECT_EQ(socket_.Flush(), (Trains{{10, 10}}));
  // It is not remembered of everybody.
  for (size_t i = 0; i <= DatagramSocket::kMaxPeersWithoutTrains; ++i) {
    socket_.EndTrains(Endpoint::V4(
        {10, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)}, 1));
  }
  Send(other, 10);
  Send(other, 10);
  EXPECT_EQ(socket_.Flush(), (Trains{{10, 10}}));
}

class Told final : public DatagramReceiver {
 public:
  void OnDatagram(const Datagram&) override {}
  void OnSocketFailed(const absl::Status& status) override {
    told.push_back(status);
  }
  std::vector<absl::Status> told;
};

TEST_F(TrainTest, ASocketThatHasFailedSendsNothingAndSaysSoOnce) {
  Told told;
  socket_.StartReceiving(told);
  const absl::Status why = absl::PermissionDeniedError("not here");
  socket_.Refuse(why);
  socket_.Refuse(absl::InternalError("again"));
  EXPECT_EQ(told.told, std::vector<absl::Status>{why});
  EXPECT_EQ(socket_.status(), why);
  EXPECT_FALSE(socket_.Send(a_, std::vector<uint8_t>(1, 1)));
}

TEST_F(TrainTest, ASocketThatOnlyFailsToReceiveIsGivenUp) {
  for (int round = 0; round < 2; ++round) {
    for (int i = 1; i < DatagramSocket::kMaxReceiveFailures; ++i) {
      socket_.FailToReceive();
    }
    EXPECT_TRUE(socket_.status().ok());
    socket_.Receive();
  }
  for (int i = 0; i < DatagramSocket::kMaxReceiveFailures; ++i) {
    socket_.FailToReceive();
  }
  EXPECT_FALSE(socket_.status().ok());
  EXPECT_EQ(socket_.statistics().receive_errors,
            3U * DatagramSocket::kMaxReceiveFailures - 2);
}

// Who got nothing comes first, and who had its share not last of all.
TEST_F(TrainTest, ThoseWhoWaitAreWokenInTurn) {
  constexpr size_t kTrains = 8;
  TrainPool pool(kTrains);
  std::vector<std::unique_ptr<SendQueue>> refused;
  std::vector<std::unique_ptr<SendQueue>> spent;
  for (size_t i = 0; i < 20; ++i) {
    refused.push_back(std::make_unique<SendQueue>());
    spent.push_back(std::make_unique<SendQueue>());
    pool.AwaitTurn(*spent.back());
    pool.AwaitRoom(*refused.back());
  }
  const auto waiting = [](const auto& queues) {
    return std::count_if(queues.begin(), queues.end(),
                         [](const auto& queue) { return queue->linked(); });
  };
  pool.BeginTurn();
  EXPECT_EQ(waiting(refused), 16);
  EXPECT_EQ(waiting(spent), 18);
  EXPECT_FALSE(refused[0]->linked());
  EXPECT_FALSE(spent[0]->linked());
  // A queue may be destroyed while it waits.
  refused.clear();
  pool.BeginTurn();
  EXPECT_EQ(waiting(spent), 12);
  EXPECT_TRUE(pool.awaited());
  spent.clear();
  EXPECT_FALSE(pool.awaited());
}

TEST_F(TrainTest, ACongestedSocketTakesNothing) {
  socket_.Block(true);
  EXPECT_TRUE(socket_.Reserve(a_, 10).empty());
  EXPECT_EQ(socket_.statistics().send_dropped, 1U);
  socket_.Block(false);
  Send(a_, 10);
}

TEST_F(TrainTest, PreparesAMessageForTheKernel) {
  Send(a_, 100);
  Send(a_, 40);
  Train* train = pool_.Take();
  train->peer = Endpoint::LoopbackV4(1);
  train->local = {Endpoint::LoopbackV4(0), 1};
  train->bytes = 140;
  train->segment_bytes = 100;
  train->segments = 2;
  ASSERT_TRUE(train->Prepare(AF_INET, false));
  EXPECT_EQ(train->message.msg_namelen, sizeof(sockaddr_in));
  int segments = 0;
  int info = 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&train->message); c != nullptr;
       c = CMSG_NXTHDR(&train->message, c)) {
    segments += c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT;
    info += c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO;
  }
  EXPECT_EQ(segments, 1);
  EXPECT_EQ(info, 1);
  train->PrepareSegment(100);
  EXPECT_EQ(train->message.msg_iov->iov_len, 40U);
  EXPECT_EQ(train->segments, 2U);
  train->peer = Endpoint::LoopbackV6(1);
  EXPECT_FALSE(train->Prepare(AF_INET, false));
  pool_.Return(train);
}

}  // namespace
}  // namespace cordon::net
