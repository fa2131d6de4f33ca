// Mbed TLS as the other side of a session, by the simplest of programs:
//
//   mbedtls_peer client PORT CA CERT KEY MAX_FRAGMENT    (CERT may be -)
//   mbedtls_peer server PORT CA CERT KEY MAX_FRAGMENT    (PORT 0: any)
//   mbedtls_peer client PORT psk IDENTITY HEX MAX_FRAGMENT
//
// The client sends a line of its input and prints what comes back, and at the
// end of the input begins once more to resume the session, if it can. The
// server sends back what it gets, one client after the other. MAX_FRAGMENT is
// what it asks its peer for, in bytes, or 0.
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/timing.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace {

[[noreturn]] void Fail(const std::string& what, int error) {
  std::array<char, 200> text = {};
  mbedtls_strerror(error, text.data(), text.size());
  std::printf("%s: %s (-0x%04x)\n", what.c_str(), text.data(),
              static_cast<unsigned>(-error));
  std::fflush(stdout);
  std::_Exit(1);
}

void Check(const std::string& what, int error) {
  if (error != 0) Fail(what, error);
}

std::vector<unsigned char> FromHex(const std::string& hex) {
  std::vector<unsigned char> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<unsigned char>(
        std::strtoul(hex.substr(i, 2).c_str(), nullptr, 16)));
  }
  return bytes;
}

unsigned char FragmentCode(const std::string& bytes) {
  switch (std::strtol(bytes.c_str(), nullptr, 10)) {
    case 512:
      return MBEDTLS_SSL_MAX_FRAG_LEN_512;
    case 1024:
      return MBEDTLS_SSL_MAX_FRAG_LEN_1024;
    default:
      return MBEDTLS_SSL_MAX_FRAG_LEN_NONE;
  }
}

class Peer {
 public:
  Peer(bool server, char** argv) : port_(argv[2]) {
    mbedtls_net_init(&socket_);
    mbedtls_net_init(&listening_);
    mbedtls_ssl_init(&ssl_);
    mbedtls_ssl_config_init(&config_);
    mbedtls_ssl_session_init(&session_);
    mbedtls_x509_crt_init(&ca_);
    mbedtls_x509_crt_init(&own_);
    mbedtls_pk_init(&key_);
    mbedtls_entropy_init(&entropy_);
    mbedtls_ctr_drbg_init(&random_);
    mbedtls_ssl_cookie_init(&cookie_);
    Check("random", mbedtls_ctr_drbg_seed(&random_, mbedtls_entropy_func,
                                          &entropy_, nullptr, 0));
    Check("config",
          mbedtls_ssl_config_defaults(
              &config_, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
              MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT));
    mbedtls_ssl_conf_rng(&config_, mbedtls_ctr_drbg_random, &random_);
    mbedtls_ssl_conf_read_timeout(&config_, 60'000);
    mbedtls_ssl_conf_authmode(&config_, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_max_frag_len(&config_, FragmentCode(argv[6]));
    if (std::string(argv[3]) == "psk") {
      const std::string identity = argv[4];
      const std::vector<unsigned char> key = FromHex(argv[5]);
      Check("psk", mbedtls_ssl_conf_psk(
                       &config_, key.data(), key.size(),
                       reinterpret_cast<const unsigned char*>(identity.data()),
                       identity.size()));
    } else {
      Check("ca", mbedtls_x509_crt_parse_file(&ca_, argv[3]));
      mbedtls_ssl_conf_ca_chain(&config_, &ca_, nullptr);
      if (std::string(argv[4]) != "-") {
        Check("cert", mbedtls_x509_crt_parse_file(&own_, argv[4]));
        Check("key", mbedtls_pk_parse_keyfile(&key_, argv[5], nullptr));
        Check("own", mbedtls_ssl_conf_own_cert(&config_, &own_, &key_));
      }
    }
    if (server) {
      Check("cookie", mbedtls_ssl_cookie_setup(
                          &cookie_, mbedtls_ctr_drbg_random, &random_));
      mbedtls_ssl_conf_dtls_cookies(&config_, mbedtls_ssl_cookie_write,
                                    mbedtls_ssl_cookie_check, &cookie_);
    }
    Check("setup", mbedtls_ssl_setup(&ssl_, &config_));
    mbedtls_ssl_set_timer_cb(&ssl_, &timer_, mbedtls_timing_set_delay,
                             mbedtls_timing_get_delay);
    if (!server) {
      Check("name", mbedtls_ssl_set_hostname(&ssl_, "localhost"));
    }
    mbedtls_ssl_set_bio(&ssl_, &socket_, mbedtls_net_send, nullptr,
                        mbedtls_net_recv_timeout);
  }

  void RunClient() {
    Connect();
    for (std::string line; std::getline(std::cin, line);) {
      const int sent = mbedtls_ssl_write(
          &ssl_, reinterpret_cast<const unsigned char*>(line.data()),
          line.size());
      if (sent < 0) Fail("write", sent);
      const int received = mbedtls_ssl_read(&ssl_, buffer_.data(), kMaxBytes);
      if (received < 0) Fail("read", received);
      Say(std::string(reinterpret_cast<char*>(buffer_.data()),
                      static_cast<size_t>(received)));
    }
    Check("get session", mbedtls_ssl_get_session(&ssl_, &session_));
    Disconnect();
    Check("set session", mbedtls_ssl_set_session(&ssl_, &session_));
    Connect();
    mbedtls_ssl_session again;
    mbedtls_ssl_session_init(&again);
    Check("get session", mbedtls_ssl_get_session(&ssl_, &again));
    // Only a resumed session keeps its secret.
    Say(std::equal(std::begin(again.master), std::end(again.master),
                   std::begin(session_.master))
            ? "resumed"
            : "not resumed");
    mbedtls_ssl_session_free(&again);
    Disconnect();
  }

  [[noreturn]] void RunServer() {
    Check("bind", mbedtls_net_bind(&listening_, "127.0.0.1", port_.c_str(),
                                   MBEDTLS_NET_PROTO_UDP));
    sockaddr_in bound = {};
    socklen_t size = sizeof(bound);
    getsockname(listening_.fd, reinterpret_cast<sockaddr*>(&bound), &size);
    Say("listening on 127.0.0.1:" + std::to_string(ntohs(bound.sin_port)));
    while (true) ServeOne();
  }

 private:
  static constexpr size_t kMaxBytes = 16384;

  static void Say(const std::string& text) {
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
  }

  // A record that brings nothing new makes it return early.
  int Handshake() {
    int error = 0;
    do {
      error = mbedtls_ssl_handshake(&ssl_);
    } while (error == MBEDTLS_ERR_SSL_WANT_READ);
    return error;
  }
  void Connect() {
    Check("connect", mbedtls_net_connect(&socket_, "127.0.0.1", port_.c_str(),
                                         MBEDTLS_NET_PROTO_UDP));
    Check("handshake", Handshake());
    Say(std::string("connected ") + mbedtls_ssl_get_ciphersuite(&ssl_));
  }
  void Disconnect() {
    mbedtls_ssl_close_notify(&ssl_);
    mbedtls_net_free(&socket_);
    Check("reset", mbedtls_ssl_session_reset(&ssl_));
  }

  void ServeOne() {
    mbedtls_net_free(&socket_);
    Check("reset", mbedtls_ssl_session_reset(&ssl_));
    std::array<unsigned char, 16> address = {};
    size_t address_size = 0;
    Check("accept", mbedtls_net_accept(&listening_, &socket_, address.data(),
                                       address.size(), &address_size));
    Check("client id", mbedtls_ssl_set_client_transport_id(
                           &ssl_, address.data(), address_size));
    const int error = Handshake();
    if (error == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED) return;
    if (error != 0) {
      std::printf("handshake failed: -0x%04x\n", static_cast<unsigned>(-error));
      std::fflush(stdout);
      return;
    }
    Say(std::string("connected ") + mbedtls_ssl_get_ciphersuite(&ssl_));
    while (true) {
      const int received = mbedtls_ssl_read(&ssl_, buffer_.data(), kMaxBytes);
      if (received <= 0) break;
      mbedtls_ssl_write(&ssl_, buffer_.data(), static_cast<size_t>(received));
    }
    mbedtls_ssl_close_notify(&ssl_);
    Say("closed");
  }

  const std::string port_;
  mbedtls_net_context socket_;
  mbedtls_net_context listening_;
  mbedtls_ssl_context ssl_;
  mbedtls_ssl_config config_;
  mbedtls_ssl_session session_;
  mbedtls_x509_crt ca_;
  mbedtls_x509_crt own_;
  mbedtls_pk_context key_;
  mbedtls_entropy_context entropy_;
  mbedtls_ctr_drbg_context random_;
  mbedtls_ssl_cookie_ctx cookie_;
  mbedtls_timing_delay_context timer_ = {};
  std::array<unsigned char, kMaxBytes> buffer_ = {};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const bool server = std::string(argv[1]) == "server";
  static Peer peer(server, argv);
  if (server) peer.RunServer();
  peer.RunClient();
  std::fflush(stdout);
  std::_Exit(0);
}
