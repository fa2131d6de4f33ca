// The rules by which datagrams are joined into trains.
#include "cordon/net/udp/train.h"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "cordon/net/udp/datagram_socket.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

// Collects instead of sending.
class TestSocket final : public DatagramSocket {
 public:
  TestSocket(TrainPool& pool, bool gso) : DatagramSocket(pool, gso) {}
  ~TestSocket() override = default;
  void StartReceiving(DatagramReceiver&) override {}
  void StopReceiving() override {}
  Task<absl::Status> Close() override { co_return absl::OkStatus(); }
  void Block(bool blocked) { SetCongested(blocked); }

  // The sizes of the datagrams of each train that is queued.
  std::vector<std::vector<size_t>> Flush() {
    std::vector<std::vector<size_t>> trains;
    for (Train* train : queued()) {
      std::vector<size_t> sizes;
      for (size_t at = 0; at < train->bytes; at += train->segment_bytes) {
        sizes.push_back(std::min(train->segment_bytes, train->bytes - at));
      }
      EXPECT_EQ(sizes.size(), train->segments);
      trains.push_back(sizes);
      trains_.Return(train);
    }
    queued().clear();
    CloseTrains();
    return trains;
  }

 protected:
  void OnQueued() override { ++flushes_wanted; }
  void FlushNow() override { flushed = Flush(); }

 public:
  int flushes_wanted = 0;
  std::vector<std::vector<size_t>> flushed;
};

using Trains = std::vector<std::vector<size_t>>;

class TrainTest : public ::testing::Test {
 protected:
  void Send(Path& path, size_t size) {
    EXPECT_TRUE(socket_.Send(path, std::vector<uint8_t>(size, 1)));
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

TEST_F(TrainTest, FlushesWhenTheMemoryIsUsedUp) {
  std::vector<Path> paths(5);
  for (uint16_t i = 0; i < 5; ++i) {
    paths[i].peer = Endpoint::LoopbackV4(i + 1);
    Send(paths[i], 100);
  }
  EXPECT_EQ(socket_.flushed.size(), 4U);
  EXPECT_EQ(socket_.Flush(), (Trains{{100}}));
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
  train->peer = Endpoint::LoopbackV6(1);
  EXPECT_FALSE(train->Prepare(AF_INET, false));
  pool_.Return(train);
}

}  // namespace
}  // namespace cordon::net
