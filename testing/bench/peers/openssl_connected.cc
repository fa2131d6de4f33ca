// OpenSSL in its usual form: DTLSv1_listen, then a connected socket for each
// peer, all of them in one epoll.
#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <unordered_set>

#include "cordon/testing/bench/peers/batch_socket.h"
#include "cordon/testing/bench/peers/openssl_server.h"

namespace {

using namespace cordon::bench;  // NOLINT(google-build-using-namespace)

constexpr long kMtu = 1252;  // 1280 without the headers of IPv4 and UDP

struct Peer {
  SSL* ssl = nullptr;
  int fd = -1;
  bool handshaking = true;
};

class Server {
 public:
  Server(SSL_CTX* context, int listener)
      : context_(context), listener_(listener), epoll_(epoll_create1(0)) {
    socklen_t size = sizeof(local_);
    getsockname(listener, reinterpret_cast<sockaddr*>(&local_), &size);
    Watch(listener, nullptr);
  }

  [[noreturn]] void Run() {
    std::array<epoll_event, kBatch> events = {};
    while (true) {
      const int count = epoll_wait(epoll_, events.data(), kBatch,
                                   handshaking_.empty() ? -1 : Ticker::kMs);
      for (int i = 0; i < count; ++i) {
        auto* peer = static_cast<Peer*>(events[i].data.ptr);
        if (peer == nullptr) {
          Listen();
        } else {
          Serve(peer);
        }
      }
      if (!handshaking_.empty() && ticker_.Due()) HandleTimeouts();
    }
  }

 private:
  void Watch(int fd, Peer* peer) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.ptr = peer;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) Die("epoll_ctl");
  }

  // Answers hellos; those with a good cookie get a socket.
  void Listen() {
    for (size_t i = 0; i < kBatch; ++i) {
      if (next_ == nullptr) {
        next_ = std::make_unique<Peer>();
        next_->ssl = SSL_new(context_);
        SSL_set_bio(next_->ssl, BIO_new_dgram(listener_, BIO_NOCLOSE), nullptr);
        BIO* bio = SSL_get_rbio(next_->ssl);
        BIO_up_ref(bio);
        SSL_set0_wbio(next_->ssl, bio);
        SSL_set_options(next_->ssl, SSL_OP_COOKIE_EXCHANGE);
        SSL_set_mtu(next_->ssl, kMtu);
      }
      // Answers all that has come, until there is a good cookie.
      if (DTLSv1_listen(next_->ssl, from_) <= 0) break;
      Accept();
    }
    ERR_clear_error();
  }

  void Accept() {
    Peer* peer = next_.release();
    peer->fd = BindLoopback(ntohs(local_.sin_port), true);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = BIO_ADDR_rawport(from_);
    size_t size = sizeof(address.sin_addr);
    BIO_ADDR_rawaddress(from_, &address.sin_addr, &size);
    if (connect(peer->fd, reinterpret_cast<sockaddr*>(&address),
                sizeof(address)) != 0) {
      Die("connect");
    }
    BIO* bio = SSL_get_rbio(peer->ssl);
    BIO_set_fd(bio, peer->fd, BIO_NOCLOSE);
    BIO_ctrl_set_connected(bio, from_);
    Watch(peer->fd, peer);
    handshaking_.insert(peer);
    Serve(peer);
  }

  void Serve(Peer* peer) {
    if (peer->handshaking) {
      const int result = SSL_accept(peer->ssl);
      if (result <= 0) {
        if (SSL_get_error(peer->ssl, result) != SSL_ERROR_WANT_READ) {
          Forget(peer);
        }
        return;
      }
      peer->handshaking = false;
      handshaking_.erase(peer);
    }
    while (true) {
      const int size = SSL_read(peer->ssl, message_.data(), kMaxDatagram);
      if (size <= 0) {
        if (SSL_get_error(peer->ssl, size) != SSL_ERROR_WANT_READ) {
          Forget(peer);
        }
        return;
      }
      SSL_write(peer->ssl, message_.data(), size);
    }
  }

  void HandleTimeouts() {
    const std::unordered_set<Peer*> peers = handshaking_;
    for (Peer* peer : peers) {
      if (DTLSv1_handle_timeout(peer->ssl) < 0) Forget(peer);
    }
  }

  void Forget(Peer* peer) {
    ERR_clear_error();
    handshaking_.erase(peer);
    SSL_shutdown(peer->ssl);
    SSL_free(peer->ssl);
    close(peer->fd);
    delete peer;
  }

  SSL_CTX* const context_;
  const int listener_;
  const int epoll_;
  BIO_ADDR* const from_ = BIO_ADDR_new();
  sockaddr_in local_ = {};
  Ticker ticker_;
  std::unique_ptr<Peer> next_;
  std::unordered_set<Peer*> handshaking_;
  std::array<unsigned char, kMaxDatagram> message_ = {};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) Die("give a certificate and a key");
  const int listener = BindLoopback(0, true);
  Server server(MakeContext(argv[1], argv[2]), listener);
  Announce(listener);
  server.Run();
}
