#include "cordon/dtls/internal/handshake_message.h"

#include <openssl/bytestring.h>
#include <openssl/nid.h>
#include <openssl/ssl.h>

#include <algorithm>

#include "absl/strings/string_view.h"
#include "cordon/dtls/internal/boringssl_seam.h"

namespace cordon::dtls::internal {
namespace {

// BoringSSL's own limit of a server that asks for no certificates.
constexpr size_t kMaxOtherBytes = 16384;
constexpr size_t kMaxHelloVerifyRequestBytes = 2 + 1 + 255;
// A ticket may contain the client's chain.
constexpr size_t kMaxNewSessionTicketBytes = 4 + 2 + 65535;
constexpr size_t kRandomBytes = 32;
constexpr size_t kMaxSessionIdBytes = 32;
constexpr uint8_t kDtlsMajor = 0xfe;
constexpr uint8_t kNamedCurve = 3;
constexpr uint16_t kSecp256r1 = 23;
constexpr uint16_t kSecp384r1 = 24;
constexpr uint16_t kX25519 = 29;

constexpr uint32_t kFromClient = TypeBit(SSL3_MT_CERTIFICATE) |
                                 TypeBit(SSL3_MT_CLIENT_KEY_EXCHANGE) |
                                 TypeBit(SSL3_MT_CERTIFICATE_VERIFY);
constexpr uint32_t kFromServer =
    TypeBit(SSL3_MT_SERVER_HELLO) | TypeBit(SSL3_MT_CERTIFICATE) |
    TypeBit(SSL3_MT_CERTIFICATE_STATUS) | TypeBit(SSL3_MT_SERVER_KEY_EXCHANGE) |
    TypeBit(SSL3_MT_CERTIFICATE_REQUEST) | TypeBit(SSL3_MT_SERVER_HELLO_DONE) |
    TypeBit(SSL3_MT_NEW_SESSION_TICKET);

bool UsesEcdhe(const SSL_CIPHER* cipher) {
  return cipher != nullptr && SSL_CIPHER_get_kx_nid(cipher) == NID_kx_ecdhe;
}

bool UsesPsk(const SSL_CIPHER* cipher) {
  return cipher != nullptr && SSL_CIPHER_get_auth_nid(cipher) == NID_auth_psk;
}

// What may follow the server's certificate, if it has one.
uint32_t KeyExchangeTypes(const SSL_CIPHER* cipher) {
  if (UsesEcdhe(cipher)) return TypeBit(SSL3_MT_SERVER_KEY_EXCHANGE);
  if (UsesPsk(cipher)) {
    return TypeBit(SSL3_MT_SERVER_KEY_EXCHANGE) |
           TypeBit(SSL3_MT_SERVER_HELLO_DONE);
  }
  return TypeBit(SSL3_MT_CERTIFICATE_REQUEST) |
         TypeBit(SSL3_MT_SERVER_HELLO_DONE);
}

// BoringSSL ends a handshake over a message that it does not await, so its
// state is asked for, which it only tells by name.
uint32_t TypesInState(absl::string_view state, const AwaitedMessage& awaited,
                      bool is_server) {
  const SSL_CIPHER* const cipher = awaited.cipher;
  const size_t space = state.rfind(' ');
  if (space != absl::string_view::npos) state.remove_prefix(space + 1);
  if (is_server) {
    if (state == "start_accept" || state == "read_client_hello") {
      return TypeBit(SSL3_MT_CLIENT_HELLO);
    }
    if (state == "read_client_certificate") {
      return TypeBit(SSL3_MT_CERTIFICATE);
    }
    if (state == "read_client_key_exchange") {
      return TypeBit(SSL3_MT_CLIENT_KEY_EXCHANGE);
    }
    if (state == "read_client_certificate_verify") {
      return TypeBit(SSL3_MT_CERTIFICATE_VERIFY);
    }
    return 0;
  }
  if (state == "read_hello_verify_request" || state == "read_server_hello") {
    // One that asks for a cookie is the first message that a server sends.
    return TypeBit(SSL3_MT_SERVER_HELLO) |
           (awaited.sequence == 0 ? TypeBit(DTLS1_MT_HELLO_VERIFY_REQUEST) : 0);
  }
  if (state == "read_server_certificate") return TypeBit(SSL3_MT_CERTIFICATE);
  if (state == "read_certificate_status") {
    return TypeBit(SSL3_MT_CERTIFICATE_STATUS) | KeyExchangeTypes(cipher);
  }
  if (state == "read_server_key_exchange") return KeyExchangeTypes(cipher);
  if (state == "read_certificate_request") {
    return TypeBit(SSL3_MT_CERTIFICATE_REQUEST) |
           TypeBit(SSL3_MT_SERVER_HELLO_DONE);
  }
  if (state == "read_server_hello_done") {
    return TypeBit(SSL3_MT_SERVER_HELLO_DONE);
  }
  if (state == "read_session_ticket") {
    return TypeBit(SSL3_MT_NEW_SESSION_TICKET);
  }
  return 0;
}

// Nothing, or well-formed extensions and nothing after them.
bool ReadExtensions(CBS* cbs) {
  if (CBS_len(cbs) == 0) return true;
  CBS extensions;
  if (!CBS_get_u16_length_prefixed(cbs, &extensions) || CBS_len(cbs) != 0) {
    return false;
  }
  while (CBS_len(&extensions) > 0) {
    CBS body;
    if (!CBS_skip(&extensions, 2) ||
        !CBS_get_u16_length_prefixed(&extensions, &body)) {
      return false;
    }
  }
  return true;
}

bool ReadHelloStart(CBS* cbs) {
  uint16_t version = 0;
  CBS session_id;
  return CBS_get_u16(cbs, &version) && version >> 8 == kDtlsMajor &&
         CBS_skip(cbs, kRandomBytes) &&
         CBS_get_u8_length_prefixed(cbs, &session_id) &&
         CBS_len(&session_id) <= kMaxSessionIdBytes;
}

bool IsClientHello(CBS* cbs) {
  CBS cookie;
  CBS suites;
  CBS compression;
  return ReadHelloStart(cbs) && CBS_get_u8_length_prefixed(cbs, &cookie) &&
         CBS_get_u16_length_prefixed(cbs, &suites) && CBS_len(&suites) >= 2 &&
         CBS_len(&suites) % 2 == 0 &&
         CBS_get_u8_length_prefixed(cbs, &compression) &&
         CBS_len(&compression) > 0 && ReadExtensions(cbs);
}

bool IsServerHello(CBS* cbs) {
  uint8_t compression = 0;
  return ReadHelloStart(cbs) && CBS_skip(cbs, 2) &&
         CBS_get_u8(cbs, &compression) && compression == 0 &&
         ReadExtensions(cbs);
}

bool IsHelloVerifyRequest(CBS* cbs) {
  uint16_t version = 0;
  CBS cookie;
  return CBS_get_u16(cbs, &version) && version >> 8 == kDtlsMajor &&
         CBS_get_u8_length_prefixed(cbs, &cookie) && CBS_len(cbs) == 0;
}

// Only a client may have no certificate.
bool IsCertificate(CBS* cbs, bool of_client) {
  CBS chain;
  if (!CBS_get_u24_length_prefixed(cbs, &chain) || CBS_len(cbs) != 0 ||
      (CBS_len(&chain) == 0 && !of_client)) {
    return false;
  }
  while (CBS_len(&chain) > 0) {
    CBS certificate;
    CBS element;
    if (!CBS_get_u24_length_prefixed(&chain, &certificate) ||
        !CBS_get_asn1(&certificate, &element, CBS_ASN1_SEQUENCE) ||
        CBS_len(&certificate) != 0) {
      return false;
    }
  }
  return true;
}

bool IsSignature(CBS* cbs) {
  CBS signature;
  return CBS_skip(cbs, 2) && CBS_get_u16_length_prefixed(cbs, &signature) &&
         CBS_len(&signature) > 0 && CBS_len(cbs) == 0;
}

// By its length; of any group that is not known here.
bool IsPoint(uint16_t group, const CBS& point) {
  switch (group) {
    case kX25519:
      return CBS_len(&point) == 32;
    case kSecp256r1:
      return CBS_len(&point) == 65;
    case kSecp384r1:
      return CBS_len(&point) == 97;
    default:
      return CBS_len(&point) > 0;
  }
}

bool IsServerKeyExchange(CBS* cbs, const SSL_CIPHER* cipher) {
  if (UsesPsk(cipher)) {
    CBS hint;
    if (!CBS_get_u16_length_prefixed(cbs, &hint) ||
        CBS_len(&hint) > PSK_MAX_IDENTITY_LEN ||
        CBS_contains_zero_byte(&hint)) {
      return false;
    }
  }
  if (UsesEcdhe(cipher)) {
    uint8_t curve_type = 0;
    uint16_t group = 0;
    CBS point;
    if (!CBS_get_u8(cbs, &curve_type) || curve_type != kNamedCurve ||
        !CBS_get_u16(cbs, &group) || !CBS_get_u8_length_prefixed(cbs, &point) ||
        !IsPoint(group, point)) {
      return false;
    }
  }
  return UsesPsk(cipher) ? CBS_len(cbs) == 0 : IsSignature(cbs);
}

bool IsClientKeyExchange(CBS* cbs, const SSL_CIPHER* cipher) {
  if (UsesPsk(cipher)) {
    CBS identity;
    if (!CBS_get_u16_length_prefixed(cbs, &identity)) return false;
    if (!UsesEcdhe(cipher)) return CBS_len(cbs) == 0;
  }
  CBS secret;
  if (UsesEcdhe(cipher)) {
    return CBS_get_u8_length_prefixed(cbs, &secret) && IsPoint(0, secret) &&
           CBS_len(cbs) == 0;
  }
  return CBS_get_u16_length_prefixed(cbs, &secret) && CBS_len(&secret) > 0 &&
         CBS_len(cbs) == 0;
}

bool IsCertificateRequest(CBS* cbs) {
  CBS types;
  CBS algorithms;
  CBS authorities;
  if (!CBS_get_u8_length_prefixed(cbs, &types) ||
      !CBS_get_u16_length_prefixed(cbs, &algorithms) ||
      CBS_len(&algorithms) % 2 != 0 ||
      !CBS_get_u16_length_prefixed(cbs, &authorities) || CBS_len(cbs) != 0) {
    return false;
  }
  while (CBS_len(&authorities) > 0) {
    CBS name;
    if (!CBS_get_u16_length_prefixed(&authorities, &name)) return false;
  }
  return true;
}

bool IsCertificateStatus(CBS* cbs) {
  uint8_t type = 0;
  CBS response;
  return CBS_get_u8(cbs, &type) && type == TLSEXT_STATUSTYPE_ocsp &&
         CBS_get_u24_length_prefixed(cbs, &response) &&
         CBS_len(&response) > 0 && CBS_len(cbs) == 0;
}

bool IsNewSessionTicket(CBS* cbs) {
  CBS ticket;
  return CBS_skip(cbs, 4) && CBS_get_u16_length_prefixed(cbs, &ticket) &&
         CBS_len(cbs) == 0;
}

}  // namespace

bool ReadFragment(absl::Span<const uint8_t>* bytes,
                  HandshakeFragment* fragment) {
  CBS cbs;
  CBS_init(&cbs, bytes->data(), bytes->size());
  CBS body;
  if (!CBS_get_u8(&cbs, &fragment->type) ||
      !CBS_get_u24(&cbs, &fragment->message_bytes) ||
      !CBS_get_u16(&cbs, &fragment->sequence) ||
      !CBS_get_u24(&cbs, &fragment->offset) ||
      !CBS_get_u24_length_prefixed(&cbs, &body) ||
      fragment->offset > fragment->message_bytes ||
      CBS_len(&body) > fragment->message_bytes - fragment->offset ||
      (CBS_len(&body) == 0 && fragment->message_bytes > 0)) {
    return false;
  }
  fragment->body = {CBS_data(&body), CBS_len(&body)};
  bytes->remove_prefix(bytes->size() - CBS_len(&cbs));
  return true;
}

AwaitedMessage AwaitedBy(const SSL* ssl) {
  AwaitedMessage awaited;
  awaited.in_the_clear = ReadEpoch(ssl) == 0;
  awaited.sequence = HandshakeReadSequence(ssl);
  if (!awaited.in_the_clear) return awaited;
  const bool is_server = SSL_is_server(ssl) != 0;
  awaited.of_client = is_server;
  awaited.cipher = SSL_get_pending_cipher(ssl);
  awaited.types = TypesInState(SSL_state_string_long(ssl), awaited, is_server);
  // A client says nothing more before it has an answer to its hello.
  const bool begun = (awaited.types & TypeBit(SSL3_MT_CLIENT_HELLO)) == 0;
  awaited.later_types = !is_server ? kFromServer : begun ? kFromClient : 0;
  awaited.first_answer_too =
      !is_server && awaited.sequence == 1 &&
      (awaited.types & TypeBit(SSL3_MT_SERVER_HELLO)) != 0;
  awaited.max_certificate_bytes = SSL_get_max_cert_list(ssl);
  awaited.max_hello_bytes =
      (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0
          ? std::max(kMaxOtherBytes, awaited.max_certificate_bytes)
          : kMaxOtherBytes;
  return awaited;
}

size_t MaxMessageBytes(uint8_t type, const AwaitedMessage& awaited) {
  switch (type) {
    case SSL3_MT_CLIENT_HELLO:
      return awaited.max_hello_bytes;
    case SSL3_MT_CERTIFICATE:
      return awaited.max_certificate_bytes;
    case SSL3_MT_SERVER_HELLO_DONE:
      return 0;
    case DTLS1_MT_HELLO_VERIFY_REQUEST:
      return kMaxHelloVerifyRequestBytes;
    case SSL3_MT_NEW_SESSION_TICKET:
      return kMaxNewSessionTicketBytes;
    default:
      return kMaxOtherBytes;
  }
}

bool IsWellFormed(uint8_t type, absl::Span<const uint8_t> body,
                  const AwaitedMessage& awaited) {
  CBS cbs;
  CBS_init(&cbs, body.data(), body.size());
  switch (type) {
    case SSL3_MT_CLIENT_HELLO:
      return IsClientHello(&cbs);
    case SSL3_MT_SERVER_HELLO:
      return IsServerHello(&cbs);
    case DTLS1_MT_HELLO_VERIFY_REQUEST:
      return IsHelloVerifyRequest(&cbs);
    case SSL3_MT_CERTIFICATE:
      return IsCertificate(&cbs, awaited.of_client);
    case SSL3_MT_CERTIFICATE_STATUS:
      return IsCertificateStatus(&cbs);
    case SSL3_MT_SERVER_KEY_EXCHANGE:
      return IsServerKeyExchange(&cbs, awaited.cipher);
    case SSL3_MT_CERTIFICATE_REQUEST:
      return IsCertificateRequest(&cbs);
    case SSL3_MT_SERVER_HELLO_DONE:
      return body.empty();
    case SSL3_MT_CLIENT_KEY_EXCHANGE:
      return IsClientKeyExchange(&cbs, awaited.cipher);
    case SSL3_MT_CERTIFICATE_VERIFY:
      return IsSignature(&cbs);
    case SSL3_MT_NEW_SESSION_TICKET:
      return IsNewSessionTicket(&cbs);
    default:
      return false;
  }
}

}  // namespace cordon::dtls::internal
