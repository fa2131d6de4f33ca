#include "cordon/dtls/control/session_proto.h"

#include <google/protobuf/util/time_util.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cordon/dtls/control/utf8.h"
#include "cordon/net/base/printable.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;
using google::protobuf::util::TimeUtil;

v1::RecordsDropped Dropped(const SessionStatistics& s) {
  v1::RecordsDropped dropped;
  dropped.set_replay(s.records_replayed);
  dropped.set_bad_mac(s.records_bad_mac);
  dropped.set_wrong_epoch(s.records_wrong_epoch);
  dropped.set_malformed(s.records_malformed);
  dropped.set_queue_full(s.messages_dropped_queue_full);
  dropped.set_other(s.records_discarded - s.records_replayed -
                    s.records_bad_mac - s.records_wrong_epoch -
                    s.records_malformed);
  return dropped;
}

void AddTo(const SessionStatistics& s, v1::Traffic* sum) {
  sum->set_messages_received(sum->messages_received() + s.messages_received);
  sum->set_messages_sent(sum->messages_sent() + s.messages_sent);
  sum->set_message_bytes_received(sum->message_bytes_received() +
                                  s.message_bytes_received);
  sum->set_message_bytes_sent(sum->message_bytes_sent() + s.message_bytes_sent);
  sum->set_datagrams_received(sum->datagrams_received() + s.datagrams_received);
  sum->set_datagrams_sent(sum->datagrams_sent() + s.datagrams_sent);
  sum->set_bytes_received(sum->bytes_received() + s.bytes_received);
  sum->set_bytes_sent(sum->bytes_sent() + s.bytes_sent);
  sum->set_datagrams_not_sent(sum->datagrams_not_sent() + s.datagrams_not_sent);
  sum->set_datagrams_held_back(sum->datagrams_held_back() +
                               s.datagrams_held_back);
  sum->set_keys_nearly_used_up(sum->keys_nearly_used_up() +
                               s.keys_nearly_used_up);
  const v1::RecordsDropped d = Dropped(s);
  v1::RecordsDropped* to = sum->mutable_dropped();
  to->set_replay(to->replay() + d.replay());
  to->set_bad_mac(to->bad_mac() + d.bad_mac());
  to->set_wrong_epoch(to->wrong_epoch() + d.wrong_epoch());
  to->set_malformed(to->malformed() + d.malformed());
  to->set_queue_full(to->queue_full() + d.queue_full());
  to->set_other(to->other() + d.other());
}

void AddTo(const HandshakeTimes& times, v1::Histogram* sum) {
  if (sum->counts().empty()) {
    for (size_t i = 0; i < HandshakeTimes::kBuckets; ++i) {
      sum->add_counts(0);
      if (i + 1 < HandshakeTimes::kBuckets) {
        *sum->add_bounds() = ToDuration(HandshakeTimes::Bound(i));
      }
    }
  }
  for (size_t i = 0; i < HandshakeTimes::kBuckets; ++i) {
    const int at = static_cast<int>(i);
    sum->set_counts(at, sum->counts(at) + times.counts[i]);
  }
  const absl::Duration before =
      absl::Nanoseconds(TimeUtil::DurationToNanoseconds(sum->sum()));
  *sum->mutable_sum() = ToDuration(before + times.sum);
}

void AddTo(const CookieStatistics& c, v1::CookieStatistics* sum) {
  sum->set_sent(sum->sent() + c.sent);
  sum->set_accepted(sum->accepted() + c.accepted);
  sum->set_rejected_invalid(sum->rejected_invalid() + c.rejected_invalid);
  sum->set_rejected_expired(sum->rejected_expired() + c.rejected_expired);
  sum->set_dropped_malformed(sum->dropped_malformed() + c.dropped_malformed);
  sum->set_dropped_too_small(sum->dropped_too_small() + c.dropped_too_small);
}

void AddTo(const net::DatagramSocketStatistics& s, v1::SocketStatistics* sum) {
  sum->set_datagrams_received(sum->datagrams_received() + s.datagrams_received);
  sum->set_datagrams_sent(sum->datagrams_sent() + s.datagrams_sent);
  sum->set_bytes_received(sum->bytes_received() + s.bytes_received);
  sum->set_bytes_sent(sum->bytes_sent() + s.bytes_sent);
  sum->set_trains_sent(sum->trains_sent() + s.trains_sent);
  sum->set_truncated(sum->truncated() + s.truncated_datagrams);
  sum->set_send_errors(sum->send_errors() + s.send_errors);
  sum->set_ring_starved(sum->ring_starved() + s.receive_starved);
  sum->set_empty(sum->empty() + s.empty_datagrams);
  sum->set_send_dropped(sum->send_dropped() + s.send_dropped);
  sum->set_peer_notices(sum->peer_notices() + s.peer_notices);
  sum->set_send_over_quota(sum->send_over_quota() + s.send_over_quota);
  sum->set_trains_split(sum->trains_split() + s.trains_split);
  sum->set_sends_postponed(sum->sends_postponed() + s.sends_postponed);
  sum->set_receive_errors(sum->receive_errors() + s.receive_errors);
}

// The identity of a pre-shared key may be empty.
bool UsesPsk(const SessionSnapshot& session) {
  return session.info.psk || !session.info.psk_identity.empty();
}

// Adds those that fit into `*room` bytes; returns how many do not.
uint32_t AddNames(const std::vector<std::string>& names, size_t* room,
                  google::protobuf::RepeatedPtrField<std::string>* to) {
  uint32_t left_out = 0;
  for (const std::string& name : names) {
    if (name.size() > *room) {
      ++left_out;
      continue;
    }
    *room -= name.size();
    *to->Add() = ToUtf8(name);
  }
  return left_out;
}

}  // namespace

const PeerIdentity& SessionRow::identity() const {
  if (identity_ == nullptr) {
    identity_ = std::make_shared<const PeerIdentity>(IdentityOf(*session));
  }
  return *identity_;
}

v1::SessionState ToProto(EngineState state) {
  switch (state) {
    case EngineState::kNotStarted:
      return v1::SESSION_STATE_ACCEPTED;
    case EngineState::kHandshaking:
      return v1::SESSION_STATE_HANDSHAKING;
    case EngineState::kVerificationFailed:
      return v1::SESSION_STATE_VERIFICATION_FAILED;
    case EngineState::kConnected:
      return v1::SESSION_STATE_CONNECTED;
    case EngineState::kPeerClosed:
      return v1::SESSION_STATE_PEER_CLOSED;
    case EngineState::kClosed:
      return v1::SESSION_STATE_CLOSED;
    case EngineState::kFailed:
      return v1::SESSION_STATE_FAILED;
  }
  return v1::SESSION_STATE_UNSPECIFIED;
}

v1::VerificationError ToProto(const VerificationError& error) {
  v1::VerificationError proto;
  proto.set_code(std::string(VerificationErrorId(error.code)));
  proto.set_depth(static_cast<uint32_t>(error.depth));
  proto.set_subject(ToUtf8(error.subject));
  proto.set_message(ToUtf8(error.message));
  return proto;
}

v1::Certificate ToProto(const PeerIdentity& identity) {
  v1::Certificate proto;
  proto.set_subject(ToUtf8(identity.subject));
  proto.set_issuer(ToUtf8(identity.issuer));
  size_t room = kMaxNamesBytes;
  uint32_t left_out =
      AddNames(identity.dns_names, &room, proto.mutable_dns_names());
  left_out +=
      AddNames(identity.ip_addresses, &room, proto.mutable_ip_addresses());
  left_out += AddNames(identity.uris, &room, proto.mutable_uris());
  proto.set_names_left_out(left_out);
  proto.set_serial(identity.serial);
  proto.set_fingerprint(identity.fingerprint);
  proto.set_spki_fingerprint(identity.spki_fingerprint);
  if (identity.not_before > absl::InfinitePast()) {
    *proto.mutable_not_before() = ToTimestamp(identity.not_before);
  }
  if (identity.not_after < absl::InfiniteFuture()) {
    *proto.mutable_not_after() = ToTimestamp(identity.not_after);
  }
  proto.set_chain_length(static_cast<uint32_t>(identity.chain.size()));
  return proto;
}

v1::Session ToProto(const SessionRow& row) {
  const SessionSnapshot& s = *row.session;
  v1::Session proto;
  proto.set_id(s.id);
  proto.set_listener(row.listener->name());
  proto.set_reactor(row.listener->reactor_index());
  proto.set_peer_address(s.peer.ToString());
  proto.set_local_address(s.local.ToString());
  proto.set_state(ToProto(s.state));
  proto.set_version(s.info.version);
  proto.set_cipher(s.info.cipher);
  proto.set_group(s.info.group);
  proto.set_signature_algorithm(s.info.signature_algorithm);
  proto.set_alpn(ToUtf8(s.info.alpn));
  proto.set_server_name(ToUtf8(s.info.server_name));
  proto.set_srtp_profile(s.info.srtp_profile);
  proto.set_resumed(s.info.resumed);
  if (s.chain != nullptr) {
    *proto.mutable_peer_certificate() = ToProto(row.identity());
  }
  if (UsesPsk(s)) proto.set_psk_identity(ToUtf8(s.info.psk_identity));
  v1::Verification* verification = proto.mutable_verification();
  verification->set_verified(s.info.peer_verified);
  for (const VerificationError& error : s.info.ignored_errors) {
    *verification->add_ignored_errors() = ToProto(error);
  }
  for (const VerificationError& error : s.errors) {
    *verification->add_errors() = ToProto(error);
  }
  verification->set_policy_version(s.info.policy_version);
  *proto.mutable_opened() = ToTimestamp(s.opened);
  *proto.mutable_last_activity() = ToTimestamp(s.last_activity);
  *proto.mutable_handshake_duration() =
      ToDuration(s.statistics.handshake_duration);
  proto.set_retransmissions(s.statistics.retransmissions);
  AddTo(s.statistics, proto.mutable_traffic());
  *proto.mutable_retransmission_timeout() =
      ToDuration(s.statistics.retransmission_timeout);
  if (s.statistics.round_trip > absl::ZeroDuration()) {
    *proto.mutable_round_trip() = ToDuration(s.statistics.round_trip);
  }
  proto.set_mtu(static_cast<uint32_t>(s.statistics.mtu));
  return proto;
}

std::string NameOf(const SessionRow& row) {
  if (UsesPsk(*row.session)) {
    return ToUtf8(row.session->info.psk_identity);
  }
  if (row.session->chain == nullptr) return "";
  const PeerIdentity& identity = row.identity();
  for (const auto* names : {&identity.dns_names, &identity.uris}) {
    if (names->empty()) continue;
    return ToUtf8(
        absl::string_view(names->front()).substr(0, net::kMaxNameBytes));
  }
  return ToUtf8(identity.subject);
}

void AddTo(const ListenerStatistics& s, v1::ListenerStatistics* sum) {
  sum->set_sessions(sum->sessions() + s.sessions);
  sum->set_sessions_half_open(sum->sessions_half_open() + s.half_open);
  sum->set_session_memory(sum->session_memory() + s.session_memory);
  sum->set_reassembly_bytes(sum->reassembly_bytes() + s.reassembly_bytes);
  sum->set_sessions_accepted(sum->sessions_accepted() + s.sessions_accepted);
  sum->set_sessions_superseded(sum->sessions_superseded() +
                               s.sessions_superseded);
  sum->set_sessions_closed_by_admin(sum->sessions_closed_by_admin() +
                                    s.sessions_closed_by_admin);
  sum->set_handshakes_begun(sum->handshakes_begun() + s.handshakes_begun);
  sum->set_handshakes_completed(sum->handshakes_completed() +
                                s.handshakes_completed);
  sum->set_handshakes_resumed(sum->handshakes_resumed() + s.handshakes_resumed);
  for (size_t i = 0; i < kHandshakeFailures; ++i) {
    (*sum->mutable_handshakes_failed())[std::string(
        HandshakeFailureId(static_cast<HandshakeFailure>(i)))] += s.failures[i];
  }
  AddTo(s.cookies, sum->mutable_cookies());
  auto& limits = *sum->mutable_limits_hit();
  limits["max_sessions"] += s.dropped_max_sessions;
  limits["accept_backlog"] += s.dropped_accept_backlog;
  limits["max_half_open"] += s.dropped_max_half_open;
  limits["max_half_open_per_source"] += s.dropped_max_half_open_per_source;
  limits["handshake_rate_per_source"] += s.dropped_handshake_rate_per_source;
  limits["max_session_memory"] += s.dropped_max_session_memory;
  limits["max_reassembly_bytes"] += s.dropped_max_reassembly_bytes;
  limits["half_open_evicted"] += s.half_open_evicted;
  limits["idle_timeout"] += s.sessions_idle;
  limits["draining"] += s.dropped_draining;
  limits["max_session_ids"] += s.session_ids.dropped_max_session_ids;
  limits["max_session_id_bytes"] += s.session_ids.dropped_max_session_id_bytes;
  sum->set_dropped_unknown(sum->dropped_unknown() + s.dropped_unknown);
  sum->set_handshakes_superseded(sum->handshakes_superseded() +
                                 s.handshakes_superseded);
  sum->set_dropped_old_hellos(sum->dropped_old_hellos() + s.dropped_old_hellos);
  sum->set_session_ids(sum->session_ids() + s.session_ids.sessions);
  sum->set_session_id_bytes(sum->session_id_bytes() + s.session_ids.bytes);
  sum->set_dropped_bad_source(sum->dropped_bad_source() + s.dropped_bad_source);
  sum->set_strays_forwarded(sum->strays_forwarded() + s.strays_forwarded);
  sum->set_hellos_handed_over(sum->hellos_handed_over() + s.hellos_handed_over);
  sum->set_strays_dropped(sum->strays_dropped() + s.strays_dropped);
  AddTo(s.traffic, sum->mutable_traffic());
  sum->set_retransmissions(sum->retransmissions() + s.traffic.retransmissions);
  AddTo(s.handshake_times, sum->mutable_handshake_time());
  sum->set_verification_errors_ignored(sum->verification_errors_ignored() +
                                       s.verification_errors_ignored);
  AddTo(s.socket, sum->mutable_socket());
}

}  // namespace cordon::dtls::control
