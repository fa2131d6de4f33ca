// What becomes of what the kernel says, however odd.
#include "cordon/net/udp/kernel_socket.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/udp/datagram_socket.h"
#include "cordon/net/udp/train.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

class Recorder final : public DatagramReceiver {
 public:
  void OnDatagram(const Datagram& datagram) override {
    sizes.push_back(datagram.bytes.size());
    bytes.insert(bytes.end(), datagram.bytes.begin(), datagram.bytes.end());
  }
  void OnSocketError(const absl::Status& status) override {
    errors.push_back(status);
  }
  void OnPathMtuChanged(size_t mtu) override { mtus.push_back(mtu); }

  std::vector<size_t> sizes;
  std::vector<uint8_t> bytes;
  std::vector<absl::Status> errors;
  std::vector<size_t> mtus;
};

class DeliverMessageTest : public ::testing::Test {
 protected:
  // As if the kernel had received `size` bytes, joined from datagrams of
  // `segment` bytes.
  void Deliver(size_t size, int segment, int flags = 0) {
    std::vector<uint8_t> payload(size);
    for (size_t i = 0; i < size; ++i) payload[i] = static_cast<uint8_t>(i * 7);
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
    msghdr message = {};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    message.msg_flags = flags;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_GRO;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &segment, sizeof(segment));
    recorder_ = {};
    DatagramReceiver* const receiver = &recorder_;
    DeliverMessage(message, absl::MakeSpan(payload), Endpoint::LoopbackV4(1),
                   receiver, statistics_);
    if (!recorder_.bytes.empty()) {
      EXPECT_EQ(recorder_.bytes, payload);
    }
  }

  Recorder recorder_;
  DatagramSocketStatistics statistics_;
};

// ACCEPTANCE: HD6
TEST_F(DeliverMessageTest, TrainsOfAllSizesAreTakenApart) {
  for (size_t segment : {1, 2, 13, 100, 1200, 1472, 9000, 65507}) {
    for (size_t size : {1, 2, 99, 100, 101, 1199, 1200, 1201, 7681, 65507}) {
      if (size / segment > 2000) continue;
      Deliver(size, static_cast<int>(segment));
      const size_t whole = size / segment;
      const size_t rest = size % segment;
      ASSERT_EQ(recorder_.sizes.size(), whole + (rest > 0 ? 1 : 0));
      for (size_t i = 0; i < whole; ++i) {
        EXPECT_EQ(recorder_.sizes[i], segment);
      }
      if (rest > 0) {
        EXPECT_EQ(recorder_.sizes.back(), rest);
      }
    }
  }
  Deliver(size_t{64} * 1000, 1000);
  EXPECT_EQ(recorder_.sizes, std::vector<size_t>(64, 1000));
}

TEST_F(DeliverMessageTest, ASegmentSizeThatMakesNoSenseIsIgnored) {
  for (int segment : {0, -1, -65507}) {
    Deliver(300, segment);
    EXPECT_EQ(recorder_.sizes, std::vector<size_t>{300});
  }
}

// ACCEPTANCE: HD6
TEST_F(DeliverMessageTest, WhatIsCutOrEmptyIsCountedAndDropped) {
  Deliver(300, 100, MSG_TRUNC);
  EXPECT_TRUE(recorder_.sizes.empty());
  Deliver(300, 100, MSG_CTRUNC);
  EXPECT_TRUE(recorder_.sizes.empty());
  Deliver(0, 100);
  EXPECT_TRUE(recorder_.sizes.empty());
  EXPECT_EQ(statistics_.truncated_datagrams, 2U);
  EXPECT_EQ(statistics_.empty_datagrams, 1U);
  EXPECT_EQ(statistics_.datagrams_received, 0U);
}

// Stops with the first datagram.
class OnlyOne final : public DatagramReceiver {
 public:
  explicit OnlyOne(DatagramReceiver** slot) : slot_(slot) { *slot_ = this; }
  void OnDatagram(const Datagram&) override {
    ++count;
    *slot_ = nullptr;
  }
  int count = 0;

 private:
  DatagramReceiver** const slot_;
};

TEST_F(DeliverMessageTest, AReceiverThatHasStoppedGetsNoRestOfATrain) {
  std::vector<uint8_t> payload(300);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
  msghdr message = {};
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_UDP;
  header->cmsg_type = UDP_GRO;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int segment = 100;
  std::memcpy(CMSG_DATA(header), &segment, sizeof(segment));
  DatagramReceiver* receiver = nullptr;
  const OnlyOne one(&receiver);
  DeliverMessage(message, absl::MakeSpan(payload), Endpoint::LoopbackV4(1),
                 receiver, statistics_);
  EXPECT_EQ(one.count, 1);
  EXPECT_EQ(statistics_.datagrams_received, 1U);
}

class SendErrorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    DatagramSocketOptions options;
    options.bind = Endpoint::LoopbackV4(0);
    there_ = *OpenKernelSocket(options);
    options.connect = there_.local;
    here_ = *OpenKernelSocket(options);
    options.connect = {};
    shared_ = *OpenKernelSocket(options);
  }
  // A train of `segments` datagrams of 10 bytes was refused with `error`.
  bool Recover(KernelSocket& from, bool connected, int error, size_t segments) {
    const Endpoint peer = connected ? there_.local : Endpoint();
    Train& train = *trains_.Take();
    train.peer = there_.local;
    std::memset(train.data(), 1, 10 * segments);
    train.bytes = 10 * segments;
    train.segment_bytes = 10;
    train.segments = segments;
    EXPECT_TRUE(train.Prepare(AF_INET, connected));
    const bool recovered = RecoverFromSendError(train, error, from, peer,
                                                &recorder_, &gso_, statistics_);
    trains_.Return(&train);
    return recovered;
  }
  size_t Arrived() {
    size_t count = 0;
    std::array<char, 100> buffer;
    while (recv(there_.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) ==
           10) {
      ++count;
    }
    return count;
  }

  TrainPool trains_{4};
  KernelSocket there_;
  KernelSocket here_;
  KernelSocket shared_;
  Recorder recorder_;
  bool gso_ = true;
  DatagramSocketStatistics statistics_;
};

TEST_F(SendErrorTest, AFullSocketIsWaitedFor) {
  EXPECT_FALSE(Recover(shared_, false, EAGAIN, 3));
  EXPECT_EQ(Arrived(), 0U);
  EXPECT_EQ(statistics_.send_errors, 0U);
}

// ACCEPTANCE: HD5
TEST_F(SendErrorTest, AnErrorOfBeforeDoesNotTakeTheDatagramsOfNow) {
  EXPECT_TRUE(Recover(here_, true, ECONNREFUSED, 3));
  EXPECT_EQ(Arrived(), 3U);
  ASSERT_EQ(recorder_.errors.size(), 1U);
  EXPECT_TRUE(absl::IsUnavailable(recorder_.errors[0]));
  EXPECT_TRUE(Recover(here_, true, EMSGSIZE, 1));
  EXPECT_EQ(Arrived(), 1U);
  EXPECT_EQ(recorder_.errors.size(), 1U);
  EXPECT_EQ(recorder_.mtus.size(), 1U);
  EXPECT_TRUE(gso_);
  EXPECT_EQ(statistics_.send_errors, 0U);
}

// A path that carries less than a train's segments is one peer's; the others'
// trains go on.
// ACCEPTANCE: HD5
TEST_F(SendErrorTest, ANarrowPathOfOnePeerEndsNobodysTrains) {
  for (int error : {EMSGSIZE, EINVAL}) {
    EXPECT_TRUE(Recover(shared_, false, error, 5));
    EXPECT_EQ(Arrived(), 5U);
    EXPECT_TRUE(gso_);
  }
  EXPECT_TRUE(recorder_.errors.empty());
  EXPECT_TRUE(recorder_.mtus.empty());
  EXPECT_EQ(statistics_.trains_split, 2U);
  // A device that cannot do it will not next time either.
  EXPECT_TRUE(Recover(shared_, false, EIO, 5));
  EXPECT_EQ(Arrived(), 5U);
  EXPECT_FALSE(gso_);
  EXPECT_EQ(statistics_.trains_split, 3U);
}

// Part of a train that is sent singly may find the socket full.
TEST_F(SendErrorTest, ATrainThatWasSentInPartGoesOnWithTheRest) {
  Train& train = *trains_.Take();
  train.peer = there_.local;
  for (uint8_t i = 0; i < 5; ++i) std::memset(train.data() + 10 * i, i, 10);
  train.bytes = 45;
  train.segment_bytes = 10;
  train.sent = 20;
  train.segments = 3;
  ASSERT_TRUE(train.Prepare(AF_INET, false));
  EXPECT_EQ(train.vector.iov_base, train.data() + 20);
  EXPECT_EQ(train.vector.iov_len, 25U);
  EXPECT_TRUE(RecoverFromSendError(train, EIO, shared_, Endpoint(), nullptr,
                                   &gso_, statistics_));
  trains_.Return(&train);
  std::array<uint8_t, 100> buffer;
  for (const ssize_t size : {10, 10, 5}) {
    EXPECT_EQ(recv(there_.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT),
              size);
  }
  EXPECT_EQ(buffer[0], 4);
  EXPECT_EQ(statistics_.datagrams_sent, 3U);
  EXPECT_EQ(statistics_.send_errors, 0U);
}

TEST_F(SendErrorTest, WhatIsQueuedAtTheEndIsSentOrCounted) {
  Train& train = *trains_.Take();
  train.peer = there_.local;
  std::memset(train.data(), 1, 20);
  train.bytes = 20;
  train.segment_bytes = 10;
  train.segments = 2;
  SendAtOnce(train, shared_, Endpoint(), statistics_);
  EXPECT_EQ(Arrived(), 2U);
  EXPECT_EQ(statistics_.datagrams_sent, 2U);
  train.peer = Endpoint::LoopbackV6(1);
  SendAtOnce(train, shared_, Endpoint(), statistics_);
  EXPECT_EQ(statistics_.send_errors, 2U);
  trains_.Return(&train);
}

TEST_F(SendErrorTest, WhatIsNoNewsOfThePeerIsNotToldAsSuch) {
  ReportSocketError(ENOMEM, here_, there_.local, recorder_);
  ReportSocketError(EPERM, here_, there_.local, recorder_);
  EXPECT_TRUE(recorder_.errors.empty());
}

TEST_F(SendErrorTest, WhatCannotBeSentIsCounted) {
  for (int error : {ENOBUFS, ENOMEM, EPERM, ENETUNREACH, EHOSTUNREACH}) {
    statistics_ = {};
    EXPECT_TRUE(Recover(shared_, false, error, 4));
    EXPECT_EQ(statistics_.send_errors, 4U);
    EXPECT_EQ(Arrived(), 0U);
  }
  EXPECT_TRUE(gso_);
  EXPECT_TRUE(recorder_.errors.empty());
}

}  // namespace
}  // namespace cordon::net
