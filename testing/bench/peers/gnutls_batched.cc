// GnuTLS on one socket for all peers, with recvmmsg and sendmmsg.
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include "cordon/testing/bench/peers/batch_socket.h"

namespace {

using namespace cordon::bench;  // NOLINT(google-build-using-namespace)

constexpr unsigned kMtu = 1252;  // 1280 without the headers of IPv4 and UDP

struct Peer {
  gnutls_session_t session = nullptr;
  sockaddr_in address = {};
  BatchSocket* socket = nullptr;
  // The datagram that is to be read next.
  const uint8_t* datagram = nullptr;
  size_t size = 0;
  bool handshaking = true;
};

ssize_t Push(gnutls_transport_ptr_t to, const void* data, size_t size) {
  const auto* peer = static_cast<const Peer*>(to);
  peer->socket->Queue(peer->address, data, size);
  return static_cast<ssize_t>(size);
}

ssize_t Pull(gnutls_transport_ptr_t from, void* data, size_t size) {
  auto* peer = static_cast<Peer*>(from);
  if (peer->datagram == nullptr) {
    gnutls_transport_set_errno(peer->session, EAGAIN);
    return -1;
  }
  const size_t count = std::min(size, peer->size);
  std::memcpy(data, peer->datagram, count);
  peer->datagram = nullptr;
  return static_cast<ssize_t>(count);
}

int PullTimeout(gnutls_transport_ptr_t from, unsigned) {
  return static_cast<const Peer*>(from)->datagram != nullptr ? 1 : 0;
}

class Server {
 public:
  Server(const char* certificate, const char* key, int fd) : socket_(fd) {
    gnutls_certificate_allocate_credentials(&credentials_);
    if (gnutls_certificate_set_x509_key_file(credentials_, certificate, key,
                                             GNUTLS_X509_FMT_PEM) < 0) {
      Die(certificate);
    }
    gnutls_key_generate(&cookie_key_, GNUTLS_COOKIE_KEY_SIZE);
    gnutls_session_ticket_key_generate(&ticket_key_);
    gnutls_priority_init(&priorities_, "NORMAL:-VERS-ALL:+VERS-DTLS1.2",
                         nullptr);
  }

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
  void Take(const sockaddr_in& from, uint8_t* datagram, size_t size) {
    const auto found = peers_.find(KeyOf(from));
    if (found == peers_.end()) return Listen(from, datagram, size);
    Peer& peer = *found->second;
    peer.datagram = datagram;
    peer.size = size;
    Serve(peer);
  }

  void Listen(const sockaddr_in& from, uint8_t* datagram, size_t size) {
    constexpr uint8_t kHandshake = 22;
    if (size == 0 || datagram[0] != kHandshake) return;
    uint64_t key = KeyOf(from);
    gnutls_dtls_prestate_st prestate = {};
    if (gnutls_dtls_cookie_verify(&cookie_key_, &key, sizeof(key), datagram,
                                  size, &prestate) < 0) {
      Peer stranger;
      stranger.address = from;
      stranger.socket = &socket_;
      gnutls_dtls_cookie_send(&cookie_key_, &key, sizeof(key), &prestate,
                              &stranger, Push);
      return;
    }
    auto peer = std::make_unique<Peer>();
    peer->address = from;
    peer->socket = &socket_;
    gnutls_init(&peer->session,
                GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK);
    gnutls_priority_set(peer->session, priorities_);
    gnutls_credentials_set(peer->session, GNUTLS_CRD_CERTIFICATE, credentials_);
    gnutls_session_ticket_enable_server(peer->session, &ticket_key_);
    gnutls_dtls_prestate_set(peer->session, &prestate);
    gnutls_dtls_set_mtu(peer->session, kMtu);
    gnutls_transport_set_ptr(peer->session, peer.get());
    gnutls_transport_set_push_function(peer->session, Push);
    gnutls_transport_set_pull_function(peer->session, Pull);
    gnutls_transport_set_pull_timeout_function(peer->session, PullTimeout);
    Peer& added = *peer;
    peers_.emplace(key, std::move(peer));
    ++handshaking_;
    added.datagram = datagram;
    added.size = size;
    Serve(added);
  }

  static bool IsOver(ssize_t result) {
    return result == 0 ||
           (result < 0 && gnutls_error_is_fatal(static_cast<int>(result)) != 0);
  }

  void Serve(Peer& peer) {
    if (peer.handshaking) {
      const int result = gnutls_handshake(peer.session);
      if (result != GNUTLS_E_SUCCESS) {
        if (gnutls_error_is_fatal(result) != 0) Forget(peer);
        return;
      }
      peer.handshaking = false;
      --handshaking_;
      // The limit was for handshake messages.
      gnutls_dtls_set_mtu(peer.session, kMaxDatagram);
    }
    while (true) {
      const ssize_t size =
          gnutls_record_recv(peer.session, message_.data(), message_.size());
      if (size > 0) {
        gnutls_record_send(peer.session, message_.data(),
                           static_cast<size_t>(size));
      } else if (IsOver(size)) {
        Forget(peer);
        return;
      } else if (size == GNUTLS_E_AGAIN) {
        return;
      }
    }
  }

  void HandleTimeouts() {
    std::vector<Peer*> waiting;
    for (const auto& entry : peers_) {
      if (entry.second->handshaking) waiting.push_back(entry.second.get());
    }
    for (Peer* peer : waiting) Serve(*peer);
  }

  void Forget(Peer& peer) {
    if (peer.handshaking) --handshaking_;
    gnutls_bye(peer.session, GNUTLS_SHUT_WR);
    gnutls_deinit(peer.session);
    peers_.erase(KeyOf(peer.address));
  }

  BatchSocket socket_;
  gnutls_certificate_credentials_t credentials_ = nullptr;
  gnutls_priority_t priorities_ = nullptr;
  gnutls_datum_t cookie_key_ = {};
  gnutls_datum_t ticket_key_ = {};
  std::unordered_map<uint64_t, std::unique_ptr<Peer>> peers_;
  size_t handshaking_ = 0;
  Ticker ticker_;
  std::array<uint8_t, kMaxDatagram> message_ = {};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) Die("give a certificate and a key");
  const int fd = BindLoopback(0, false);
  static Server server(argv[1], argv[2], fd);
  Announce(fd);
  server.Run();
}
