#include "cordon/dtls/internal/boringssl_seam.h"

#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <utility>

#include "ssl/internal.h"

// The interface number that separates the two versions: the first has the
// fields of the epochs in SSL3_STATE, the second has classes for them.
#define CORDON_BORINGSSL_HAS_EPOCHS (BORINGSSL_API_VERSION >= 33)

namespace cordon::dtls::internal {
namespace {

#if CORDON_BORINGSSL_HAS_EPOCHS
bssl::SSLImpl* Inside(SSL* ssl) { return bssl::FromOpaque(ssl); }
const bssl::SSLImpl* Inside(const SSL* ssl) { return bssl::FromOpaque(ssl); }
#else
SSL* Inside(SSL* ssl) { return ssl; }
const SSL* Inside(const SSL* ssl) { return ssl; }
#endif

// The last number that BoringSSL gives to a record.
constexpr uint64_t kLastSequence = (uint64_t{1} << 48) - 2;

}  // namespace

void ContinueAfterHelloVerifyRequest(SSL* ssl, uint64_t hello_record_sequence) {
  auto* impl = Inside(ssl);
  impl->d1->handshake_read_seq = 1;
  impl->d1->handshake_write_seq = 1;
#if CORDON_BORINGSSL_HAS_EPOCHS
  impl->d1->write_epoch.next_record =
      bssl::DTLSRecordNumber(0, hello_record_sequence);
#else
  impl->s3->write_sequence = hello_record_sequence;
#endif
}

uint16_t HandshakeReadSequence(const SSL* ssl) {
  return static_cast<uint16_t>(Inside(ssl)->d1->handshake_read_seq);
}

uint16_t ReadEpoch(const SSL* ssl) {
#if CORDON_BORINGSSL_HAS_EPOCHS
  return Inside(ssl)->d1->read_epoch.epoch;
#else
  return Inside(ssl)->d1->r_epoch;
#endif
}

SentHello LastHello(const SSL* ssl) {
  SentHello hello;
  const auto* impl = Inside(ssl);
  const auto* hs = impl->s3->hs.get();
#if CORDON_BORINGSSL_HAS_EPOCHS
  const size_t messages = impl->d1->outgoing_messages.size();
#else
  const size_t messages = impl->d1->outgoing_messages_len;
#endif
  if (hs == nullptr || messages != 1 ||
      impl->d1->outgoing_messages[0].data.empty() ||
      impl->d1->outgoing_messages[0].data[0] != SSL3_MT_CLIENT_HELLO) {
    return hello;
  }
  const auto& message = impl->d1->outgoing_messages[0].data;
  hello.message.assign(message.begin(), message.end());
  std::copy_n(impl->s3->client_random, hello.random.size(),
              hello.random.begin());
#if CORDON_BORINGSSL_HAS_EPOCHS
  hello.session_id.assign(hs->session_id.begin(), hs->session_id.end());
#else
  hello.session_id.assign(hs->session_id, hs->session_id + hs->session_id_len);
#endif
  return hello;
}

uint64_t NextPlainRecord(const SSL* ssl) {
  const auto* impl = Inside(ssl);
#if CORDON_BORINGSSL_HAS_EPOCHS
  if (impl->d1->write_epoch.epoch() == 0) {
    return impl->d1->write_epoch.next_record.sequence();
  }
  for (const auto& epoch : impl->d1->extra_write_epochs) {
    if (epoch->epoch() == 0) return epoch->next_record.sequence();
  }
  return 0;
#else
  return impl->d1->w_epoch == 0 ? impl->s3->write_sequence
                                : impl->d1->last_write_sequence;
#endif
}

void AwaitAnswerTo(SSL* ssl, const SentHello& hello, uint64_t next_record) {
  auto* impl = Inside(ssl);
  auto* hs = impl->s3->hs.get();
  std::copy(hello.random.begin(), hello.random.end(), impl->s3->client_random);
  const bssl::Span<const uint8_t> message(hello.message.data(),
                                          hello.message.size());
#if CORDON_BORINGSSL_HAS_EPOCHS
  bool ok = hs->session_id.TryCopyFrom(bssl::Span<const uint8_t>(
      hello.session_id.data(), hello.session_id.size()));
  impl->d1->write_epoch.next_record = bssl::DTLSRecordNumber(0, next_record);
#else
  bool ok = hello.session_id.size() <= sizeof(hs->session_id);
  hs->session_id_len = 0;
  if (ok) {
    std::copy(hello.session_id.begin(), hello.session_id.end(), hs->session_id);
    hs->session_id_len = static_cast<uint8_t>(hello.session_id.size());
  }
  impl->s3->write_sequence = next_record;
#endif
  ok = ok && hs->transcript.Init() && hs->transcript.Update(message) &&
       impl->d1->outgoing_messages[0].data.CopyFrom(message);
  // Without memory the handshake fails when the transcripts are compared.
  if (!ok) ERR_clear_error();
}

bool ClearSrtpProfiles(SSL* ssl) {
  bssl::UniquePtr<STACK_OF(SRTP_PROTECTION_PROFILE)> none(
      sk_SRTP_PROTECTION_PROFILE_new_null());
  // Without a list of its own a session takes the context's.
  if (none == nullptr) return false;
  Inside(ssl)->config->srtp_profiles = std::move(none);
  return true;
}

// A field that goes with the session into its ticket, and that only clients
// use.
bool MarkNewSession(SSL* ssl, absl::Span<const uint8_t> mark) {
  const auto* hs = Inside(ssl)->s3->hs.get();
  if (hs == nullptr || hs->new_session == nullptr) return false;
  bssl::UniquePtr<CRYPTO_BUFFER> kept(
      CRYPTO_BUFFER_new(mark.data(), mark.size(), nullptr));
  if (kept == nullptr) return false;
  hs->new_session->ocsp_response = std::move(kept);
  return true;
}

absl::Span<const uint8_t> MarkOfSession(const SSL* ssl) {
  const SSL_SESSION* session = SSL_get_session(ssl);
  if (session == nullptr || session->ocsp_response == nullptr) return {};
  return {CRYPTO_BUFFER_data(session->ocsp_response.get()),
          CRYPTO_BUFFER_len(session->ocsp_response.get())};
}

// As BoringSSL does where it finds no session.
bool BeginInsteadOfResuming(SSL* ssl, bool tickets) {
  auto* impl = Inside(ssl);
  auto* hs = impl->s3->hs.get();
  impl->session.reset();
  impl->s3->session_reused = false;
  hs->can_release_private_key = false;
  hs->ticket_expected = tickets;
  if (!bssl::ssl_get_new_session(hs)) return false;
  if (tickets || (SSL_CTX_get_session_cache_mode(SSL_get_SSL_CTX(ssl)) &
                  SSL_SESS_CACHE_SERVER) == 0) {
    return true;
  }
  std::array<uint8_t, SSL3_SSL_SESSION_ID_LENGTH> id;
  return RAND_bytes(id.data(), id.size()) == 1 &&
         SSL_SESSION_set1_id(hs->new_session.get(), id.data(), id.size()) == 1;
}

void ForgetReceived(SSL* ssl) {
#if CORDON_BORINGSSL_HAS_EPOCHS
  Inside(ssl)->d1->read_epoch.bitmap = {};
#else
  Inside(ssl)->d1->bitmap = {};
#endif
}

bool HasReceived(const SSL* ssl, uint64_t number) {
  const auto* impl = Inside(ssl);
#if CORDON_BORINGSSL_HAS_EPOCHS
  return impl->d1->read_epoch.bitmap.ShouldDiscard(number);
#else
  // It counts with the epoch in front.
  const bssl::DTLS1_BITMAP& seen = impl->d1->bitmap;
  return seen.map != 0 &&
         seen.max_seq_num == (uint64_t{impl->d1->r_epoch} << 48 | number);
#endif
}

OpenResult OpenApplicationRecord(SSL* ssl, const RecordView& view,
                                 absl::Span<uint8_t> record,
                                 ReplayWindow& window,
                                 absl::Span<uint8_t>* plaintext) {
  if (window.Contains(view.sequence)) return OpenResult::kDiscarded;
  ForgetReceived(ssl);
  uint8_t type = 0;
  uint8_t alert = 0;
  size_t consumed = 0;
  bssl::Span<uint8_t> out;
  const bssl::Span<uint8_t> in(record.data(), record.size());
#if CORDON_BORINGSSL_HAS_EPOCHS
  bssl::DTLSRecordNumber number;
  const bssl::ssl_open_record_t result = bssl::dtls_open_record(
      Inside(ssl), &type, &number, &out, &consumed, &alert, in);
#else
  const bssl::ssl_open_record_t result =
      bssl::dtls_open_record(Inside(ssl), &type, &out, &consumed, &alert, in);
#endif
  if (HasReceived(ssl, view.sequence)) window.Add(view.sequence);
  switch (result) {
    case bssl::ssl_open_record_success:
      if (type != SSL3_RT_APPLICATION_DATA) return OpenResult::kDiscarded;
      *plaintext = {out.data(), out.size()};
      return OpenResult::kOpened;
    case bssl::ssl_open_record_discard:
    case bssl::ssl_open_record_partial:
      return OpenResult::kDiscarded;
    case bssl::ssl_open_record_close_notify:
    case bssl::ssl_open_record_error:
      break;
  }
  ERR_clear_error();
  return OpenResult::kFailed;
}

DiscardReason ReasonOfDiscard(const SSL* ssl, const RecordView& record,
                              const ReplayWindow& window) {
  if (record.version != SSL_version(ssl) ||
      record.body.size() > SSL3_RT_MAX_ENCRYPTED_LENGTH) {
    return DiscardReason::kMalformed;
  }
  if (record.epoch != ReadEpoch(ssl)) return DiscardReason::kWrongEpoch;
  return window.Contains(record.sequence) ? DiscardReason::kReplay
                                          : DiscardReason::kBadMac;
}

size_t SealOverhead(const SSL* ssl) { return SSL_max_seal_overhead(ssl); }

size_t SealApplicationRecord(SSL* ssl, absl::Span<const uint8_t> message,
                             absl::Span<uint8_t> out) {
  auto* impl = Inside(ssl);
  size_t size = 0;
#if CORDON_BORINGSSL_HAS_EPOCHS
  if (impl->d1->write_epoch.next_record.sequence() >= kLastSequence) return 0;
  bssl::DTLSRecordNumber number;
  const bool sealed = bssl::dtls_seal_record(
      impl, &number, out.data(), &size, out.size(), SSL3_RT_APPLICATION_DATA,
      message.data(), message.size(), impl->d1->write_epoch.epoch());
#else
  if (impl->s3->write_sequence >= kLastSequence) return 0;
  const bool sealed = bssl::dtls_seal_record(
      impl, out.data(), &size, out.size(), SSL3_RT_APPLICATION_DATA,
      message.data(), message.size(), bssl::dtls1_use_current_epoch);
#endif
  if (!sealed) {
    ERR_clear_error();
    return 0;
  }
  return size;
}

void SkipToRecord(SSL* ssl, uint64_t sequence) {
  auto* impl = Inside(ssl);
#if CORDON_BORINGSSL_HAS_EPOCHS
  auto& epoch = impl->d1->write_epoch;
  epoch.next_record = bssl::DTLSRecordNumber(epoch.epoch(), sequence);
#else
  impl->s3->write_sequence = sequence;
#endif
}

}  // namespace cordon::dtls::internal
