// OpenSSL on one socket for all peers, with recvmmsg and sendmmsg: records go
// through a BIO in memory, which keeps the boundaries of datagrams.
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include "cordon/testing/bench/peers/batch_socket.h"
#include "cordon/testing/bench/peers/openssl_server.h"

namespace {

using namespace cordon::bench;  // NOLINT(google-build-using-namespace)

constexpr long kMtu = 1252;  // 1280 without the headers of IPv4 and UDP
constexpr long kHeaders = 28;

struct Peer {
  SSL* ssl = nullptr;
  sockaddr_in address = {};
  BatchSocket* socket = nullptr;
  // The datagram that is to be read next.
  const uint8_t* datagram = nullptr;
  size_t size = 0;
  bool handshaking = true;
};

int Write(BIO* bio, const char* data, int size) {
  const auto* peer = static_cast<const Peer*>(BIO_get_data(bio));
  peer->socket->Queue(peer->address, data, static_cast<size_t>(size));
  return size;
}

int Read(BIO* bio, char* data, int size) {
  auto* peer = static_cast<Peer*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (peer->datagram == nullptr) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const size_t count = std::min(static_cast<size_t>(size), peer->size);
  std::memcpy(data, peer->datagram, count);
  peer->datagram = nullptr;
  return static_cast<int>(count);
}

long Control(BIO* bio, int command, long, void* argument) {
  switch (command) {
    case BIO_CTRL_DGRAM_GET_PEER: {
      const sockaddr_in& peer =
          static_cast<const Peer*>(BIO_get_data(bio))->address;
      BIO_ADDR_rawmake(static_cast<BIO_ADDR*>(argument), AF_INET,
                       &peer.sin_addr, sizeof(peer.sin_addr), peer.sin_port);
      return sizeof(peer);
    }
    case BIO_CTRL_FLUSH:
      return 1;
    case BIO_CTRL_DGRAM_QUERY_MTU:
    case BIO_CTRL_DGRAM_GET_FALLBACK_MTU:
      return kMtu;
    case BIO_CTRL_DGRAM_GET_MTU_OVERHEAD:
      return kHeaders;
    default:
      return 0;
  }
}

BIO_METHOD* MakeMethod() {
  BIO_METHOD* method =
      BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagrams");
  BIO_meth_set_write(method, Write);
  BIO_meth_set_read(method, Read);
  BIO_meth_set_ctrl(method, Control);
  BIO_meth_set_create(method, [](BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  });
  return method;
}

class Server {
 public:
  Server(SSL_CTX* context, int fd) : context_(context), socket_(fd) {}

  [[noreturn]] void Run() {
    while (true) {
      const size_t count =
          socket_.Receive(handshaking_ == 0 ? -1 : Ticker::kMs);
      for (size_t i = 0; i < count; ++i) {
        Take(socket_.peer(i), socket_.data(i), socket_.size(i));
      }
      if (handshaking_ > 0 && ticker_.Due()) HandleTimeouts();
      socket_.Flush();
    }
  }

 private:
  void Take(const sockaddr_in& from, const uint8_t* datagram, size_t size) {
    const auto found = peers_.find(KeyOf(from));
    if (found == peers_.end()) return Listen(from, datagram, size);
    Peer& peer = *found->second;
    peer.datagram = datagram;
    peer.size = size;
    Serve(peer);
  }

  void Listen(const sockaddr_in& from, const uint8_t* datagram, size_t size) {
    constexpr uint8_t kHandshake = 22;
    if (size == 0 || datagram[0] != kHandshake) return;
    if (next_ == nullptr) {
      next_ = std::make_unique<Peer>();
      next_->socket = &socket_;
      next_->ssl = SSL_new(context_);
      BIO* bio = BIO_new(method_);
      BIO_set_data(bio, next_.get());
      SSL_set_bio(next_->ssl, bio, bio);
      SSL_set_options(next_->ssl, SSL_OP_COOKIE_EXCHANGE);
      SSL_set_mtu(next_->ssl, kMtu);
    }
    next_->address = from;
    next_->datagram = datagram;
    next_->size = size;
    const bool good = DTLSv1_listen(next_->ssl, from_) > 0;
    ERR_clear_error();
    next_->datagram = nullptr;
    if (!good) return;
    Peer& peer = *next_;
    peers_.emplace(KeyOf(from), std::move(next_));
    ++handshaking_;
    Serve(peer);
  }

  void Serve(Peer& peer) {
    if (peer.handshaking) {
      const int result = SSL_accept(peer.ssl);
      if (result <= 0) {
        if (SSL_get_error(peer.ssl, result) != SSL_ERROR_WANT_READ) {
          Forget(peer);
        }
        return;
      }
      peer.handshaking = false;
      --handshaking_;
    }
    while (true) {
      const int size = SSL_read(peer.ssl, message_.data(), kMaxDatagram);
      if (size <= 0) {
        if (SSL_get_error(peer.ssl, size) != SSL_ERROR_WANT_READ) Forget(peer);
        return;
      }
      SSL_write(peer.ssl, message_.data(), size);
    }
  }

  void HandleTimeouts() {
    std::vector<Peer*> waiting;
    for (const auto& entry : peers_) {
      if (entry.second->handshaking) waiting.push_back(entry.second.get());
    }
    for (Peer* peer : waiting) {
      if (DTLSv1_handle_timeout(peer->ssl) < 0) Forget(*peer);
    }
  }

  void Forget(Peer& peer) {
    ERR_clear_error();
    if (peer.handshaking) --handshaking_;
    SSL_shutdown(peer.ssl);
    SSL_free(peer.ssl);
    peers_.erase(KeyOf(peer.address));
  }

  SSL_CTX* const context_;
  BatchSocket socket_;
  BIO_METHOD* const method_ = MakeMethod();
  BIO_ADDR* const from_ = BIO_ADDR_new();
  std::unordered_map<uint64_t, std::unique_ptr<Peer>> peers_;
  std::unique_ptr<Peer> next_;
  size_t handshaking_ = 0;
  Ticker ticker_;
  std::array<unsigned char, kMaxDatagram> message_ = {};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) Die("give a certificate and a key");
  const int fd = BindLoopback(0, false);
  static Server server(MakeContext(argv[1], argv[2]), fd);
  Announce(fd);
  server.Run();
}
