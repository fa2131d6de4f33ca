// What the echo servers on OpenSSL have in common.
#ifndef CORDON_TESTING_BENCH_PEERS_OPENSSL_SERVER_H_
#define CORDON_TESTING_BENCH_PEERS_OPENSSL_SERVER_H_

#include <openssl/ssl.h>

namespace cordon::bench {

// DTLS 1.2 with cookies and tickets, and without what costs memory or time for
// nothing. The reading BIO of each session must know the peer of what was read
// last (`BIO_dgram_get_peer`). Ends the program if the files are no certificate
// and key.
SSL_CTX* MakeContext(const char* certificate, const char* key);

}  // namespace cordon::bench

#endif  // CORDON_TESTING_BENCH_PEERS_OPENSSL_SERVER_H_
