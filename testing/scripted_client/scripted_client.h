// A client of DTLS 1.2 that says what it is told, whatever the protocol wants:
// messages left out, repeated or in another order. Its numbers, its transcript
// and its keys always fit what it has said, so that nothing but the order is
// wrong. No loss, no repetition: for engines that are driven by hand.
//
//   ScriptedClient client(options);
//   Deliver({client.Hello()});
//   client.Read(server.Take());
//   Deliver(client.Say({Saying::kClientKeyExchange, ...}));
#ifndef CORDON_TESTING_SCRIPTED_CLIENT_SCRIPTED_CLIENT_H_
#define CORDON_TESTING_SCRIPTED_CLIENT_SCRIPTED_CLIENT_H_

#include <openssl/base.h>

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "cordon/dtls/credentials.h"

namespace cordon::testing {

enum class Saying : uint8_t {
  kCertificate,
  kClientKeyExchange,
  kCertificateVerify,
  kChangeCipherSpec,
  kFinished,
};

class ScriptedClient {
 public:
  using Bytes = std::vector<uint8_t>;

  struct Options {
    // Of an ECDSA P-256 key; none: `kCertificate` is empty.
    dtls::Certificate certificate = {};
    // Signs instead of the certificate's key.
    dtls::Certificate signer = {};
    // Whole extensions, after our own.
    Bytes extensions = {};
    // All zero: a random one.
    std::array<uint8_t, 32> random = {};
    bool zero_random = false;
    // The Finished is encrypted even if no ChangeCipherSpec was said.
    bool always_encrypts_finished = false;
    // The verify data is of another transcript.
    bool wrong_finished = false;
  };

  explicit ScriptedClient(Options options);
  ScriptedClient(const ScriptedClient&) = delete;
  ScriptedClient& operator=(const ScriptedClient&) = delete;
  ~ScriptedClient();

  // The ClientHello, as one datagram.
  Bytes Hello();
  // The server's flight, up to ServerHelloDone. False if that was not there.
  bool Read(const std::vector<Bytes>& datagrams);
  // One datagram for each.
  std::vector<Bytes> Say(absl::Span<const Saying> script);
  // Application data in epoch 1.
  Bytes Seal(const std::string& text);

  // The types of the extensions in the ServerHello.
  const std::set<uint16_t>& server_extensions() const {
    return server_extensions_;
  }

 private:
  Bytes Message(uint8_t type, const Bytes& body);
  Bytes Record(uint8_t type, uint8_t epoch, const Bytes& payload);
  Bytes CertificateBody() const;
  Bytes KeyExchangeBody();
  Bytes CertificateVerifyBody() const;
  Bytes FinishedBody() const;
  void DeriveKeys();
  Bytes Prf(const Bytes& secret, const std::string& label, const Bytes& seed,
            size_t size) const;
  Bytes TranscriptHash() const;
  void ReadServerHello(const Bytes& body);
  void ReadKeyExchange(const Bytes& body);

  Options options_;
  std::array<uint8_t, 32> private_key_;
  std::array<uint8_t, 32> public_key_;
  Bytes server_random_;
  Bytes server_key_;
  std::set<uint16_t> server_extensions_;
  // All handshake messages so far.
  Bytes transcript_;
  // What a library that was never given a secret has.
  Bytes master_secret_ = Bytes(48, 0);
  Bytes write_key_;
  Bytes write_iv_;
  uint16_t next_message_ = 0;
  uint8_t epoch_ = 0;
  std::array<uint64_t, 2> next_record_ = {};
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SCRIPTED_CLIENT_SCRIPTED_CLIENT_H_
