#include "cordon/net/udp/train.h"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace cordon::net {
namespace {

template <typename T>
void AppendControl(msghdr& message, int level, int type, const T& value) {
  char* at = static_cast<char*>(message.msg_control) + message.msg_controllen;
  cmsghdr header = {};
  header.cmsg_level = level;
  header.cmsg_type = type;
  header.cmsg_len = CMSG_LEN(sizeof(T));
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(CMSG_DATA(reinterpret_cast<cmsghdr*>(at)), &value, sizeof(T));
  message.msg_controllen += CMSG_SPACE(sizeof(T));
}

}  // namespace

bool Train::Prepare(int family, bool connected) {
  message = {};
  vector = {arena.get() + sent, bytes_left()};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!connected) {
    message.msg_namelen = peer.ToSockaddr(&address, family);
    if (message.msg_namelen == 0) return false;
    message.msg_name = &address;
  }
  message.msg_control = control;
  if (segments > 1) {
    AppendControl(message, SOL_UDP, UDP_SEGMENT,
                  static_cast<uint16_t>(segment_bytes));
  }
  if (!local.address.is_none()) {
    if (family == AF_INET) {
      in_pktinfo info = {};
      std::memcpy(&info.ipi_spec_dst, local.address.address_bytes().data(), 4);
      AppendControl(message, IPPROTO_IP, IP_PKTINFO, info);
    } else {
      sockaddr_storage storage = {};
      local.address.ToSockaddr(&storage, AF_INET6);
      in6_pktinfo info = {};
      info.ipi6_addr = reinterpret_cast<sockaddr_in6*>(&storage)->sin6_addr;
      // Only a link-local address needs the interface to be known.
      if (local.address.is_v6() && local.address.address_bytes()[0] == 0xfe) {
        info.ipi6_ifindex = local.interface_index;
      }
      AppendControl(message, IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
  }
  if (message.msg_controllen == 0) message.msg_control = nullptr;
  return true;
}

void Train::PrepareSegment(size_t offset) {
  const size_t left = std::exchange(segments, 1);
  Prepare(message.msg_namelen == sizeof(sockaddr_in) ? AF_INET : AF_INET6,
          message.msg_name == nullptr);
  segments = left;
  vector = {arena.get() + offset, std::min(segment_bytes, bytes - offset)};
}

Train* TrainPool::Take() {
  if (free_.empty()) {
    if (trains_.size() >= max_trains_) return nullptr;
    trains_.push_back(std::make_unique<Train>());
    // Not initialised: untouched pages cost nothing.
    trains_.back()->arena.reset(new uint8_t[Train::kMaxBytes + 1]);
    free_.reserve(trains_.size());
    free_.push_back(trains_.back().get());
  }
  Train* train = free_.back();
  free_.pop_back();
  train->sent = 0;
  train->bytes = 0;
  train->segment_bytes = 0;
  train->segments = 0;
  train->open = true;
  train->single = false;
  return train;
}

void TrainPool::Return(Train* train) { free_.push_back(train); }

void TrainPool::BeginTurn() {
  datagrams_ = 0;
  size_t room = max_for_waiting_;
  for (size_t rest = (room + 2) / 3; room > rest && !refused_.empty(); --room) {
    refused_.pop_front()->OnTurn();
  }
  if (spent_.empty()) return;
  // Whoever came first has had the most of the last turn, perhaps all that
  // there was for its peer: it comes last in this one.
  SendQueue& first = *spent_.pop_front();
  for (; room > 1 && !spent_.empty(); --room) spent_.pop_front()->OnTurn();
  first.OnTurn();
}

}  // namespace cordon::net
