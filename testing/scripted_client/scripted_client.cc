#include "cordon/testing/scripted_client/scripted_client.h"

#include <openssl/aead.h>
#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/curve25519.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace cordon::testing {
namespace {

using Bytes = ScriptedClient::Bytes;

constexpr uint8_t kChangeCipherSpecRecord = 20;
constexpr uint8_t kHandshakeRecord = 22;
constexpr uint8_t kDataRecord = 23;

constexpr uint8_t kClientHello = 1;
constexpr uint8_t kServerHello = 2;
constexpr uint8_t kCertificate = 11;
constexpr uint8_t kServerKeyExchange = 12;
constexpr uint8_t kServerHelloDone = 14;
constexpr uint8_t kCertificateVerify = 15;
constexpr uint8_t kClientKeyExchange = 16;
constexpr uint8_t kFinished = 20;

constexpr uint16_t kX25519 = 29;
constexpr uint16_t kEcdsaP256Sha256 = 0x0403;
constexpr size_t kKeyBytes = 16;
constexpr size_t kIvBytes = 4;
constexpr size_t kVerifyDataBytes = 12;

// Wrong uses of this class end the test program.
void Check(bool good) {
  if (!good) std::abort();
}

void Append(Bytes& to, const Bytes& bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}
void AppendNumber(Bytes& to, uint64_t number, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) {
    to.push_back(static_cast<uint8_t>(number >> (8 * i)));
  }
}
// Preceded by its length of `length_bytes` bytes.
void AppendVector(Bytes& to, const Bytes& bytes, int length_bytes) {
  AppendNumber(to, bytes.size(), length_bytes);
  Append(to, bytes);
}

bssl::UniquePtr<BIO> MemoryOf(const std::string& text) {
  return bssl::UniquePtr<BIO>(
      BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

}  // namespace

ScriptedClient::ScriptedClient(Options options) : options_(std::move(options)) {
  X25519_keypair(public_key_.data(), private_key_.data());
  if (!options_.zero_random) {
    RAND_bytes(options_.random.data(), options_.random.size());
  }
}

ScriptedClient::~ScriptedClient() = default;

Bytes ScriptedClient::Message(uint8_t type, const Bytes& body) {
  Bytes message = {type};
  AppendNumber(message, body.size(), 3);
  AppendNumber(message, next_message_++, 2);
  AppendNumber(message, 0, 3);
  AppendVector(message, body, 3);
  Append(transcript_, message);
  return message;
}

Bytes ScriptedClient::Record(uint8_t type, uint8_t epoch,
                             const Bytes& payload) {
  Bytes number = {0, epoch};
  AppendNumber(number, next_record_[epoch]++, 6);
  Bytes record = {type, 0xfe, 0xfd};
  Append(record, number);
  if (epoch == 0) {
    AppendVector(record, payload, 2);
    return record;
  }
  Bytes nonce = write_iv_;
  Append(nonce, number);
  Bytes aad = number;
  Append(aad, {type, 0xfe, 0xfd});
  AppendNumber(aad, payload.size(), 2);
  bssl::ScopedEVP_AEAD_CTX aead;
  const EVP_AEAD* const gcm = EVP_aead_aes_128_gcm();
  Check(EVP_AEAD_CTX_init(aead.get(), gcm, write_key_.data(), kKeyBytes,
                          EVP_AEAD_DEFAULT_TAG_LENGTH, nullptr) == 1);
  Bytes sealed(payload.size() + EVP_AEAD_max_overhead(gcm));
  size_t size = 0;
  Check(EVP_AEAD_CTX_seal(aead.get(), sealed.data(), &size, sealed.size(),
                          nonce.data(), nonce.size(), payload.data(),
                          payload.size(), aad.data(), aad.size()) == 1);
  sealed.resize(size);
  Bytes body = number;
  Append(body, sealed);
  AppendVector(record, body, 2);
  return record;
}

Bytes ScriptedClient::Hello() {
  Bytes body = {0xfe, 0xfd};
  body.insert(body.end(), options_.random.begin(), options_.random.end());
  // No session id, no cookie, ECDHE-ECDSA-AES128-GCM-SHA256, no compression.
  Append(body, {0, 0, 0, 2, 0xc0, 0x2b, 1, 0});
  Bytes extensions;
  // supported_groups, ec_point_formats, signature_algorithms,
  // renegotiation_info.
  Append(extensions, {0, 10, 0, 6, 0, 4, 0, kX25519, 0, 23});
  Append(extensions, {0, 11, 0, 2, 1, 0});
  Append(extensions, {0, 13, 0, 4, 0, 2, 4, 3});
  Append(extensions, {0xff, 1, 0, 1, 0});
  Append(extensions, options_.extensions);
  AppendVector(body, extensions, 2);
  return Record(kHandshakeRecord, 0, Message(kClientHello, body));
}

bool ScriptedClient::Read(const std::vector<Bytes>& datagrams) {
  // Fragments come in order.
  std::map<uint16_t, Bytes> messages;
  bool done = false;
  for (const Bytes& datagram : datagrams) {
    CBS rest;
    CBS_init(&rest, datagram.data(), datagram.size());
    uint8_t type = 0;
    CBS record;
    while (CBS_get_u8(&rest, &type) && CBS_skip(&rest, 10) &&
           CBS_get_u16_length_prefixed(&rest, &record)) {
      uint8_t message = 0;
      uint32_t size = 0;
      uint16_t number = 0;
      uint32_t offset = 0;
      CBS fragment;
      while (type == kHandshakeRecord && CBS_get_u8(&record, &message) &&
             CBS_get_u24(&record, &size) && CBS_get_u16(&record, &number) &&
             CBS_get_u24(&record, &offset) &&
             CBS_get_u24_length_prefixed(&record, &fragment)) {
        Bytes& body = messages[number];
        if (offset != body.size()) continue;
        body.insert(body.end(), CBS_data(&fragment),
                    CBS_data(&fragment) + CBS_len(&fragment));
        if (body.size() < size) continue;
        transcript_.push_back(message);
        AppendNumber(transcript_, size, 3);
        AppendNumber(transcript_, number, 2);
        AppendNumber(transcript_, 0, 3);
        AppendVector(transcript_, body, 3);
        if (message == kServerHello) ReadServerHello(body);
        if (message == kServerKeyExchange) ReadKeyExchange(body);
        done = done || message == kServerHelloDone;
      }
    }
  }
  return done;
}

void ScriptedClient::ReadServerHello(const Bytes& body) {
  CBS cbs;
  CBS_init(&cbs, body.data(), body.size());
  CBS random;
  CBS session;
  CBS extensions;
  Check(CBS_skip(&cbs, 2) && CBS_get_bytes(&cbs, &random, 32) &&
        CBS_get_u8_length_prefixed(&cbs, &session) && CBS_skip(&cbs, 3));
  server_random_.assign(CBS_data(&random), CBS_data(&random) + 32);
  if (!CBS_get_u16_length_prefixed(&cbs, &extensions)) return;
  uint16_t type = 0;
  CBS extension;
  while (CBS_get_u16(&extensions, &type) &&
         CBS_get_u16_length_prefixed(&extensions, &extension)) {
    server_extensions_.insert(type);
  }
}

void ScriptedClient::ReadKeyExchange(const Bytes& body) {
  CBS cbs;
  CBS_init(&cbs, body.data(), body.size());
  uint8_t named = 0;
  uint16_t group = 0;
  CBS key;
  Check(CBS_get_u8(&cbs, &named) && named == 3 && CBS_get_u16(&cbs, &group) &&
        group == kX25519 && CBS_get_u8_length_prefixed(&cbs, &key) &&
        CBS_len(&key) == 32);
  server_key_.assign(CBS_data(&key), CBS_data(&key) + 32);
}

Bytes ScriptedClient::CertificateBody() const {
  Bytes list;
  if (!options_.certificate.empty()) {
    bssl::UniquePtr<BIO> pem = MemoryOf(options_.certificate.chain_pem);
    while (bssl::UniquePtr<X509> certificate{
        PEM_read_bio_X509(pem.get(), nullptr, nullptr, nullptr)}) {
      uint8_t* der = nullptr;
      const int size = i2d_X509(certificate.get(), &der);
      Check(size > 0);
      AppendVector(list, Bytes(der, der + size), 3);
      OPENSSL_free(der);
    }
  }
  Bytes body;
  AppendVector(body, list, 3);
  return body;
}

Bytes ScriptedClient::KeyExchangeBody() {
  Check(server_key_.size() == 32);
  Bytes premaster(32);
  Check(X25519(premaster.data(), private_key_.data(), server_key_.data()) == 1);
  Bytes seed(options_.random.begin(), options_.random.end());
  Append(seed, server_random_);
  master_secret_ = Prf(premaster, "master secret", seed, 48);
  Bytes body;
  AppendVector(body, Bytes(public_key_.begin(), public_key_.end()), 1);
  return body;
}

Bytes ScriptedClient::CertificateVerifyBody() const {
  const dtls::Certificate& signer =
      options_.signer.empty() ? options_.certificate : options_.signer;
  bssl::UniquePtr<BIO> pem = MemoryOf(signer.key_pem);
  bssl::UniquePtr<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(pem.get(), nullptr, nullptr, nullptr));
  Bytes signature(128, 0);
  size_t size = signature.size();
  if (key != nullptr) {
    bssl::ScopedEVP_MD_CTX context;
    Check(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr,
                             key.get()) == 1 &&
          EVP_DigestSign(context.get(), signature.data(), &size,
                         transcript_.data(), transcript_.size()) == 1);
  }
  signature.resize(size);
  Bytes body;
  AppendNumber(body, kEcdsaP256Sha256, 2);
  AppendVector(body, signature, 2);
  return body;
}

Bytes ScriptedClient::FinishedBody() const {
  Bytes hash = TranscriptHash();
  if (options_.wrong_finished) hash.front() ^= 1;
  return Prf(master_secret_, "client finished", hash, kVerifyDataBytes);
}

void ScriptedClient::DeriveKeys() {
  Bytes seed = server_random_;
  seed.insert(seed.end(), options_.random.begin(), options_.random.end());
  const Bytes block =
      Prf(master_secret_, "key expansion", seed, 2 * kKeyBytes + 2 * kIvBytes);
  write_key_.assign(block.begin(), block.begin() + kKeyBytes);
  write_iv_.assign(block.begin() + 2 * kKeyBytes,
                   block.begin() + 2 * kKeyBytes + kIvBytes);
}

// RFC 5246 section 5.
Bytes ScriptedClient::Prf(const Bytes& secret, const std::string& label,
                          const Bytes& seed, size_t size) const {
  Bytes labelled(label.begin(), label.end());
  Append(labelled, seed);
  const auto hmac = [&secret](const Bytes& data) {
    Bytes out(SHA256_DIGEST_LENGTH);
    unsigned out_size = 0;
    Check(HMAC(EVP_sha256(), secret.data(), secret.size(), data.data(),
               data.size(), out.data(), &out_size) != nullptr);
    return out;
  };
  Bytes result;
  Bytes a = labelled;
  while (result.size() < size) {
    a = hmac(a);
    Bytes input = a;
    Append(input, labelled);
    Append(result, hmac(input));
  }
  result.resize(size);
  return result;
}

Bytes ScriptedClient::TranscriptHash() const {
  Bytes hash(SHA256_DIGEST_LENGTH);
  SHA256(transcript_.data(), transcript_.size(), hash.data());
  return hash;
}

std::vector<Bytes> ScriptedClient::Say(absl::Span<const Saying> script) {
  std::vector<Bytes> datagrams;
  for (const Saying saying : script) {
    uint8_t epoch = epoch_;
    Bytes message;
    switch (saying) {
      case Saying::kCertificate:
        message = Message(kCertificate, CertificateBody());
        break;
      case Saying::kClientKeyExchange:
        message = Message(kClientKeyExchange, KeyExchangeBody());
        break;
      case Saying::kCertificateVerify:
        message = Message(kCertificateVerify, CertificateVerifyBody());
        break;
      case Saying::kChangeCipherSpec:
        datagrams.push_back(Record(kChangeCipherSpecRecord, epoch_, {1}));
        DeriveKeys();
        epoch_ = 1;
        continue;
      case Saying::kFinished:
        message = Message(kFinished, FinishedBody());
        if (options_.always_encrypts_finished) {
          DeriveKeys();
          epoch = 1;
        }
        break;
    }
    datagrams.push_back(Record(kHandshakeRecord, epoch, message));
  }
  return datagrams;
}

Bytes ScriptedClient::Seal(const std::string& text) {
  DeriveKeys();
  return Record(kDataRecord, 1, Bytes(text.begin(), text.end()));
}

}  // namespace cordon::testing
