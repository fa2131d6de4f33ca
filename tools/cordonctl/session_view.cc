#include "cordon/tools/cordonctl/session_view.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/session_filter.h"
#include "cordon/tools/cordonctl/table.h"
#include "cordon/tools/cordonctl/units.h"

namespace cordon::tools::ctl {
namespace {

using control::v1::Certificate;
using control::v1::Session;
using control::v1::SessionEvent;

Colour ColourOf(control::v1::SessionState state) {
  // A server of another version may send any number.
  switch (static_cast<int>(state)) {
    case control::v1::SESSION_STATE_CONNECTED:
      return Colour::kGreen;
    case control::v1::SESSION_STATE_FAILED:
    case control::v1::SESSION_STATE_VERIFICATION_FAILED:
      return Colour::kRed;
    case control::v1::SESSION_STATE_ACCEPTED:
    case control::v1::SESSION_STATE_HANDSHAKING:
      return Colour::kYellow;
    default:
      return Colour::kDim;
  }
}

std::string AgeOf(bool is_set, const google::protobuf::Timestamp& since,
                  absl::Time now) {
  return is_set ? FormatAge(now - ToTime(since)) : "";
}

template <class Strings>
std::string List(const Strings& strings) {
  std::string list;
  for (const auto& one : strings) {
    absl::StrAppend(&list, list.empty() ? "" : ", ", Printable(one));
  }
  return list;
}

template <class Errors>
std::string ErrorList(const Errors& errors) {
  std::string list;
  for (const auto& error : errors) {
    absl::StrAppend(&list, list.empty() ? "" : ", ", Printable(error.code()));
    if (!error.subject().empty()) {
      absl::StrAppend(&list, " (", PrintableText(error.subject()), ")");
    }
  }
  return list;
}

void AddCertificate(const Certificate& certificate, Fields* fields) {
  fields->Add("Subject", PrintableText(certificate.subject()));
  fields->Add("Issuer", PrintableText(certificate.issuer()));
  fields->Add("DNS names", List(certificate.dns_names()));
  fields->Add("IP addresses", List(certificate.ip_addresses()));
  fields->Add("URIs", List(certificate.uris()));
  if (certificate.names_left_out() > 0) {
    fields->Add("More names", absl::StrCat(certificate.names_left_out()));
  }
  fields->Add("Serial", Printable(certificate.serial()));
  fields->Add("Fingerprint", Printable(certificate.fingerprint()));
  fields->Add("Key fingerprint", Printable(certificate.spki_fingerprint()));
  if (certificate.has_not_before() || certificate.has_not_after()) {
    fields->Add("Valid", absl::StrCat(certificate.has_not_before()
                                          ? FormatTime(certificate.not_before())
                                          : "unknown",
                                      " to ",
                                      certificate.has_not_after()
                                          ? FormatTime(certificate.not_after())
                                          : "unknown"));
  }
  if (certificate.chain_length() > 0) {
    fields->Add("Chain length", absl::StrCat(certificate.chain_length()));
  }
}

void AddVerification(const Session& session, Fields* fields) {
  if (!session.has_verification()) return;
  const auto& verification = session.verification();
  fields->Add("Verified", !session.has_peer_certificate() ? ""
                          : verification.verified()       ? "yes"
                                                          : "no");
  fields->Add("Ignored errors", ErrorList(verification.ignored_errors()));
  fields->Add("Errors", ErrorList(verification.errors()));
  if (verification.policy_version() > 0) {
    fields->Add("Policy version", absl::StrCat(verification.policy_version()));
  }
}

std::string TrafficText(uint64_t messages, uint64_t message_bytes,
                        uint64_t datagrams, uint64_t bytes) {
  return absl::StrCat(FormatCount(messages), " messages (",
                      FormatBytes(static_cast<double>(message_bytes)), ") in ",
                      FormatCount(datagrams), " datagrams (",
                      FormatBytes(static_cast<double>(bytes)), ")");
}

std::string DroppedText(const control::v1::RecordsDropped& dropped) {
  std::string text;
  for (const auto& [cause, count] :
       {std::pair<const char*, uint64_t>{"replay", dropped.replay()},
        {"bad MAC", dropped.bad_mac()},
        {"wrong epoch", dropped.wrong_epoch()},
        {"malformed", dropped.malformed()},
        {"queue full", dropped.queue_full()},
        {"other", dropped.other()}}) {
    if (count == 0) continue;
    absl::StrAppend(&text, text.empty() ? "" : ", ", cause, " ",
                    FormatCount(count));
  }
  return text;
}

void AddTraffic(const control::v1::Traffic& traffic, Fields* fields) {
  fields->Add(
      "Received",
      TrafficText(traffic.messages_received(), traffic.message_bytes_received(),
                  traffic.datagrams_received(), traffic.bytes_received()));
  fields->Add("Sent",
              TrafficText(traffic.messages_sent(), traffic.message_bytes_sent(),
                          traffic.datagrams_sent(), traffic.bytes_sent()));
  fields->Add("Records dropped", DroppedText(traffic.dropped()));
  if (traffic.datagrams_not_sent() > 0) {
    fields->Add(
        "Not sent",
        absl::StrCat(FormatCount(traffic.datagrams_not_sent()), " datagrams"));
  }
  if (traffic.keys_nearly_used_up() > 0) {
    fields->Add("Keys nearly used up",
                FormatCount(traffic.keys_nearly_used_up()));
  }
}

std::pair<const char*, Colour> KindOf(SessionEvent::Kind kind) {
  switch (static_cast<int>(kind)) {
    case SessionEvent::PRESENT:
      return {"PRESENT", Colour::kDim};
    case SessionEvent::OPENED:
      return {"OPENED", Colour::kGreen};
    case SessionEvent::CHANGED:
      return {"CHANGED", Colour::kYellow};
    case SessionEvent::CLOSED:
      return {"CLOSED", Colour::kRed};
    case SessionEvent::SYNCED:
      return {"SYNCED", Colour::kDim};
    case SessionEvent::MISSED:
      return {"MISSED", Colour::kRed};
    default:
      return {"UNKNOWN", Colour::kPlain};
  }
}

}  // namespace

std::string PeerName(const Session& session) {
  const Certificate& certificate = session.peer_certificate();
  if (session.has_psk_identity()) {
    return absl::StrCat("psk:", Printable(session.psk_identity()));
  }
  if (certificate.dns_names_size() > 0) {
    return Printable(certificate.dns_names(0));
  }
  if (certificate.uris_size() > 0) return Printable(certificate.uris(0));
  return PrintableText(certificate.subject());
}

std::string SessionTable(const std::vector<Session>& sessions, absl::Time now,
                         const Style& style) {
  Table table({{"ID", Align::kRight},
               {"LISTENER"},
               {"PEER"},
               {"NAME"},
               {"STATE"},
               {"AGE", Align::kRight},
               {"IDLE", Align::kRight},
               {"IN", Align::kRight},
               {"OUT", Align::kRight},
               {"POLICY", Align::kRight}});
  for (const Session& session : sessions) {
    const uint64_t policy = session.verification().policy_version();
    table.Add(
        {absl::StrCat(session.id()), Printable(session.listener()),
         Printable(session.peer_address()), PeerName(session),
         StateName(session.state()),
         AgeOf(session.has_opened(), session.opened(), now),
         AgeOf(session.has_last_activity(), session.last_activity(), now),
         FormatBytes(static_cast<double>(session.traffic().bytes_received())),
         FormatBytes(static_cast<double>(session.traffic().bytes_sent())),
         policy == 0 ? "" : absl::StrCat(policy)});
  }
  return table.Render(style);
}

std::string SessionDetails(const Session& session, absl::Time now,
                           const Style& style) {
  Fields fields;
  fields.Add("Session", absl::StrCat(session.id()));
  fields.Add("State",
             style.In(ColourOf(session.state()), StateName(session.state())));
  fields.Add("Listener", absl::StrCat(Printable(session.listener()),
                                      ", reactor ", session.reactor()));
  fields.Add("Peer", Printable(session.peer_address()));
  fields.Add("Local", Printable(session.local_address()));
  fields.Add("Version", Printable(session.version()));
  fields.Add("Cipher", Printable(session.cipher()));
  fields.Add("Group", Printable(session.group()));
  fields.Add("Signature", Printable(session.signature_algorithm()));
  fields.Add("ALPN", Printable(session.alpn()));
  fields.Add("Server name", Printable(session.server_name()));
  fields.Add("SRTP profile", Printable(session.srtp_profile()));
  fields.Add("Resumed", session.version().empty() ? ""
                        : session.resumed()       ? "yes"
                                                  : "no");
  AddCertificate(session.peer_certificate(), &fields);
  fields.Add("PSK identity",
             session.has_psk_identity() && session.psk_identity().empty()
                 ? "\"\""
                 : Printable(session.psk_identity()));
  AddVerification(session, &fields);
  if (session.has_opened()) {
    fields.Add("Opened",
               absl::StrCat(FormatTime(session.opened()), " (",
                            AgeOf(true, session.opened(), now), " ago)"));
  }
  fields.Add("Idle",
             AgeOf(session.has_last_activity(), session.last_activity(), now));
  if (session.has_handshake_duration()) {
    fields.Add("Handshake",
               FormatShort(ToDuration(session.handshake_duration())));
  }
  fields.Add("Retransmissions", FormatCount(session.retransmissions()));
  AddTraffic(session.traffic(), &fields);
  if (session.has_round_trip()) {
    fields.Add("Round trip", FormatShort(ToDuration(session.round_trip())));
  }
  if (session.has_retransmission_timeout()) {
    fields.Add("Retransmission timeout",
               FormatShort(ToDuration(session.retransmission_timeout())));
  }
  if (session.mtu() > 0) fields.Add("MTU", absl::StrCat(session.mtu()));
  return fields.Render(style);
}

std::string EventLine(const SessionEvent& event, const Style& style) {
  const auto [kind, colour] = KindOf(event.kind());
  std::string line =
      absl::StrCat(FormatClock(event.time()), "  ",
                   style.In(colour, absl::StrFormat("%-7s", kind)), "  ");
  if (event.kind() == SessionEvent::SYNCED) {
    return absl::StrCat(line, "all that is present has been told\n");
  }
  if (event.kind() == SessionEvent::MISSED) {
    return absl::StrCat(line, FormatCount(event.missed()),
                        " events were lost; what is present follows anew\n");
  }
  const Session& session = event.session();
  absl::StrAppend(&line, session.id(), "  ", Printable(session.listener()),
                  "  ", Printable(session.peer_address()), "  ",
                  StateName(session.state()));
  if (const std::string name = PeerName(session); !name.empty()) {
    absl::StrAppend(&line, "  ", name);
  }
  if (!event.reason().empty()) {
    absl::StrAppend(&line, "  (", PrintableText(event.reason()), ")");
  }
  return line + "\n";
}

}  // namespace cordon::tools::ctl
