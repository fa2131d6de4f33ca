#include "cordon/testing/bench/peers/openssl_server.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <cstdint>

#include "cordon/testing/bench/peers/batch_socket.h"

namespace cordon::bench {
namespace {

using Secret = std::array<unsigned char, 32>;

const Secret& CookieSecret() {
  static const Secret secret = [] {
    Secret made = {};
    if (RAND_bytes(made.data(), made.size()) != 1) Die("random numbers");
    return made;
  }();
  return secret;
}

int MakeCookie(SSL* ssl, unsigned char* cookie, unsigned* size) {
  static BIO_ADDR* const peer = BIO_ADDR_new();
  if (BIO_dgram_get_peer(SSL_get_rbio(ssl), peer) <= 0) return 0;
  struct {
    std::array<uint8_t, 16> address = {};
    uint16_t port = 0;
  } key;
  size_t address_size = key.address.size();
  if (BIO_ADDR_rawaddress(peer, key.address.data(), &address_size) == 0) {
    return 0;
  }
  key.port = BIO_ADDR_rawport(peer);
  const Secret& secret = CookieSecret();
  return HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
              reinterpret_cast<const unsigned char*>(&key), sizeof(key), cookie,
              size) != nullptr;
}

int CheckCookie(SSL* ssl, const unsigned char* cookie, unsigned size) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> good = {};
  unsigned good_size = 0;
  return MakeCookie(ssl, good.data(), &good_size) != 0 && size == good_size &&
         CRYPTO_memcmp(cookie, good.data(), good_size) == 0;
}

}  // namespace

SSL_CTX* MakeContext(const char* certificate, const char* key) {
  SSL_CTX* context = SSL_CTX_new(DTLS_server_method());
  if (context == nullptr) Die("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION);
  if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1) {
    Die(certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
    Die(key);
  }
  // Sessions are resumed by tickets alone.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_cookie_generate_cb(context, MakeCookie);
  SSL_CTX_set_cookie_verify_cb(context, CheckCookie);
  return context;
}

}  // namespace cordon::bench
