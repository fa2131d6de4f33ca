#include "cordon/tools/cordonctl/statistics_view.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cordon/tools/cordonctl/histogram.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/table.h"
#include "cordon/tools/cordonctl/units.h"

namespace cordon::tools::ctl {
namespace {

using control::v1::ListenerStatistics;
using control::v1::Statistics;

constexpr char kLine[] = "%-8s  %9s  %9s  %12s  %9s  %11s  %11s  %7s  %7s\n";

void AddListener(const std::string& name, const ListenerStatistics& listener,
                 Table* table) {
  table->Add(
      {name, FormatCount(listener.sessions()),
       FormatCount(listener.sessions_half_open()),
       FormatCount(listener.sessions_accepted()),
       FormatCount(listener.handshakes_completed()),
       FormatCount(FailedHandshakes(listener)),
       FormatCount(listener.handshakes_resumed()),
       FormatBytes(static_cast<double>(listener.traffic().bytes_received())),
       FormatBytes(static_cast<double>(listener.traffic().bytes_sent())),
       QuantileText(listener.handshake_time(), 0.5),
       QuantileText(listener.handshake_time(), 0.99)});
}

std::string ListenerTable(const Statistics& statistics, const Style& style) {
  Table table({{"LISTENER"},
               {"SESSIONS", Align::kRight},
               {"HALF-OPEN", Align::kRight},
               {"ACCEPTED", Align::kRight},
               {"HANDSHAKES", Align::kRight},
               {"FAILED", Align::kRight},
               {"RESUMED", Align::kRight},
               {"IN", Align::kRight},
               {"OUT", Align::kRight},
               {"P50", Align::kRight},
               {"P99", Align::kRight}});
  for (const ListenerStatistics& listener : statistics.listeners()) {
    AddListener(Printable(listener.listener()), listener, &table);
  }
  if (statistics.listeners_size() != 1) {
    AddListener("(all)", statistics.total(), &table);
  }
  return table.Render(style);
}

std::string CountTable(const char* title,
                       const google::protobuf::Map<std::string, uint64_t>& map,
                       const Style& style) {
  Table table({{title}, {"COUNT", Align::kRight}});
  for (const auto& [name, count] : Largest(map)) {
    table.Add({name, FormatCount(count)});
  }
  return table.empty() ? "" : absl::StrCat("\n", table.Render(style));
}

std::string Counters(const ListenerStatistics& total, const Style& style) {
  Fields fields;
  const auto& cookies = total.cookies();
  fields.Add("Cookies",
             absl::StrCat(FormatCount(cookies.sent()), " sent, ",
                          FormatCount(cookies.accepted()), " accepted, ",
                          FormatCount(cookies.rejected_invalid()), " invalid, ",
                          FormatCount(cookies.rejected_expired()), " expired"));
  fields.Add(
      "Hellos dropped",
      absl::StrCat(FormatCount(cookies.dropped_malformed()), " malformed, ",
                   FormatCount(cookies.dropped_too_small()), " too small, ",
                   FormatCount(total.dropped_old_hellos()), " old"));
  const auto& dropped = total.traffic().dropped();
  fields.Add("Records dropped",
             absl::StrCat(FormatCount(dropped.replay()), " replay, ",
                          FormatCount(dropped.bad_mac()), " bad MAC, ",
                          FormatCount(dropped.wrong_epoch()), " wrong epoch, ",
                          FormatCount(dropped.malformed()), " malformed, ",
                          FormatCount(dropped.queue_full()), " queue full, ",
                          FormatCount(dropped.other()), " other"));
  fields.Add(
      "Unknown peers",
      absl::StrCat(FormatCount(total.dropped_unknown()), " datagrams dropped, ",
                   FormatCount(total.dropped_bad_source()),
                   " hellos of impossible sources dropped"));
  fields.Add(
      "Strays",
      absl::StrCat(FormatCount(total.strays_forwarded()),
                   " datagrams sent on to the session's reactor, ",
                   FormatCount(total.hellos_handed_over()),
                   " hellos to one that accepts, ",
                   FormatCount(total.strays_dropped()), " lost on the way"));
  fields.Add(
      "Superseded",
      absl::StrCat(FormatCount(total.sessions_superseded()), " sessions, ",
                   FormatCount(total.handshakes_superseded()),
                   " handshakes, by a new one of the same peer"));
  fields.Add(
      "Session ids",
      absl::StrCat(FormatCount(total.session_ids()), " sessions, ",
                   FormatBytes(static_cast<double>(total.session_id_bytes()))));
  fields.Add("Closed",
             absl::StrCat(FormatCount(total.sessions_closed_by_admin()),
                          " sessions, by operators and policies"));
  fields.Add("Retransmissions", FormatCount(total.retransmissions()));
  fields.Add("Errors ignored",
             absl::StrCat(FormatCount(total.verification_errors_ignored()),
                          " of certificates"));
  const auto& socket = total.socket();
  fields.Add(
      "Socket",
      absl::StrCat(
          FormatCount(socket.datagrams_received()), " datagrams in, ",
          FormatCount(socket.datagrams_sent()), " out in ",
          FormatCount(socket.trains_sent()), " sends, ",
          FormatCount(socket.send_errors()), " send errors, ",
          FormatCount(socket.send_dropped()), " dropped for want of a buffer, ",
          FormatCount(socket.send_over_quota()), " dropped over the quota, ",
          FormatCount(socket.trains_split()), " trains split, ",
          FormatCount(socket.sends_postponed()), " sends postponed, ",
          FormatCount(socket.receive_errors()), " receive errors, ",
          FormatCount(socket.ring_starved()), " times no buffer to receive, ",
          FormatCount(socket.truncated()), " truncated, ",
          FormatCount(socket.empty()), " empty, ",
          FormatCount(socket.peer_notices()), " notices of peers"));
  return absl::StrCat("\n", fields.Render(style));
}

std::string ReactorTable(const Statistics& statistics, const Style& style) {
  if (statistics.reactors().empty()) return "";
  Table table({{"REACTOR", Align::kRight},
               {"BACKEND"},
               {"TURNS", Align::kRight},
               {"SYSTEM CALLS", Align::kRight},
               {"COMPLETIONS", Align::kRight},
               {"OVERFLOWS", Align::kRight},
               {"RESUMPTIONS", Align::kRight}});
  for (const auto& reactor : statistics.reactors()) {
    table.Add({absl::StrCat(reactor.reactor()), Printable(reactor.backend()),
               FormatCount(reactor.turns()),
               FormatCount(reactor.system_calls()),
               FormatCount(reactor.completions()),
               FormatCount(reactor.completion_overflows()),
               FormatCount(reactor.resumptions())});
  }
  return absl::StrCat("\n", table.Render(style));
}

}  // namespace

std::string QuantileText(const control::v1::Histogram& histogram,
                         double quantile) {
  const std::optional<absl::Duration> value = Quantile(histogram, quantile);
  return value.has_value() ? FormatShort(*value) : "-";
}

std::vector<std::pair<std::string, uint64_t>> Largest(
    const google::protobuf::Map<std::string, uint64_t>& counts) {
  std::vector<std::pair<std::string, uint64_t>> sorted;
  for (const auto& [name, count] : counts) {
    if (count > 0) sorted.emplace_back(Printable(name), count);
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  return sorted;
}

std::string StatisticsText(const Statistics& statistics, const Style& style) {
  Fields head;
  const absl::Duration up =
      ToTime(statistics.time()) - ToTime(statistics.started());
  head.Add("Time", FormatTime(statistics.time()));
  if (statistics.has_started()) head.Add("Up", FormatAge(up));
  const auto& process = statistics.process();
  head.Add(
      "Memory",
      absl::StrCat(FormatBytes(static_cast<double>(process.resident_bytes())),
                   ", of these ",
                   FormatBytes(static_cast<double>(process.pooled_bytes())),
                   " for messages and datagrams"));
  head.Add("CPU", absl::StrFormat("%.1f s", process.cpu_seconds()));
  return absl::StrCat(
      head.Render(style), "\n", ListenerTable(statistics, style),
      CountTable("HANDSHAKES FAILED BY", statistics.total().handshakes_failed(),
                 style),
      CountTable("LIMITS HIT", statistics.total().limits_hit(), style),
      CountTable("CONTROL SERVICE REFUSED", statistics.control().refused(),
                 style),
      Counters(statistics.total(), style), ReactorTable(statistics, style));
}

std::string StatisticsHeading(const Style& style) {
  return style.In(
      Colour::kBold,
      absl::StrFormat(kLine, "TIME", "SESSIONS", "HALF-OPEN", "HANDSHAKES/S",
                      "FAILED/S", "IN/S", "OUT/S", "P50", "P99"));
}

std::string StatisticsLine(const History& history) {
  const ListenerStatistics& total = history.now().total();
  const bool rates = history.has_rates();
  const auto rate = [&](double Rates::* field) {
    return rates ? FormatQuantity(history.rates().*field) : "-";
  };
  const auto bytes = [&](double Rates::* field) {
    return rates ? FormatBytes(history.rates().*field) : "-";
  };
  const control::v1::Histogram times = history.HandshakeTimes();
  return absl::StrFormat(
      kLine, FormatClock(history.now().time()), FormatCount(total.sessions()),
      FormatCount(total.sessions_half_open()), rate(&Rates::handshakes),
      rate(&Rates::failed), bytes(&Rates::bytes_in), bytes(&Rates::bytes_out),
      QuantileText(times, 0.5), QuantileText(times, 0.99));
}

}  // namespace cordon::tools::ctl
