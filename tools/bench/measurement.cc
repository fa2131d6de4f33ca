#include "cordon/tools/bench/measurement.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace cordon::tools {
namespace {

double Micros(absl::Duration duration) {
  return absl::ToDoubleMicroseconds(duration);
}

std::string JsonString(absl::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      absl::StrAppend(&json, "\\", absl::string_view(&c, 1));
    } else if (byte < 0x20) {
      absl::StrAppendFormat(&json, "\\u%04x", byte);
    } else {
      json.push_back(c);
    }
  }
  return json + "\"";
}

absl::string_view JsonBool(bool value) { return value ? "true" : "false"; }

absl::string_view OperationsOf(Workload workload) {
  switch (workload) {
    case Workload::kHandshake:
    case Workload::kResume:
      return "handshakes";
    case Workload::kIdle:
      return "sessions";
    case Workload::kHello:
      return "HelloVerifyRequests";
    case Workload::kEcho:
    case Workload::kPaced:
    case Workload::kBulk:
      break;
  }
  return "echoes";
}

void AddUsage(absl::string_view label, const Measurement& m,
              const UsageBetween& usage, std::string* table) {
  absl::StrAppendFormat(
      table,
      "%-11s %.2f us of CPU each; %.0f %% of a core (%.0f %% user, %.0f %% "
      "system); %.1f MB resident\n",
      label, m.CpuMicros(usage), m.Busy(usage),
      100 * absl::FDivDuration(usage.user(), m.result.elapsed),
      100 * absl::FDivDuration(usage.system(), m.result.elapsed),
      static_cast<double>(usage.after.resident_bytes) / 1e6);
}

std::string UsageJson(const Measurement& m, const UsageBetween& usage) {
  return absl::StrFormat(
      "{\"cpu_us\":%.3f,\"user_us\":%.0f,\"system_us\":%.0f,"
      "\"cpu_us_per_operation\":%.4f,\"resident_bytes\":%d,"
      "\"resident_growth_bytes\":%d}",
      Micros(usage.cpu()), Micros(usage.user()), Micros(usage.system()),
      m.CpuMicros(usage), usage.after.resident_bytes,
      static_cast<int64_t>(usage.after.resident_bytes) -
          static_cast<int64_t>(usage.before.resident_bytes));
}

}  // namespace

double Measurement::PerSecond() const {
  if (result.elapsed <= absl::ZeroDuration()) return 0;
  return static_cast<double>(result.operations) /
         absl::ToDoubleSeconds(result.elapsed);
}

double Measurement::CpuMicros(const UsageBetween& usage) const {
  if (result.operations == 0) return 0;
  return Micros(usage.cpu()) / static_cast<double>(result.operations);
}

double Measurement::BytesPerSession() const {
  if (options.workload != Workload::kIdle || !server_usage.has_value() ||
      result.operations == 0) {
    return 0;
  }
  return (static_cast<double>(server_usage->after.resident_bytes) -
          static_cast<double>(server_usage->before.resident_bytes)) /
         static_cast<double>(result.operations);
}

double Measurement::Busy(const UsageBetween& usage) const {
  return 100 * absl::FDivDuration(usage.cpu(), result.elapsed);
}

std::string ToTable(const Measurement& m) {
  const LoadResult& r = m.result;
  std::string table = absl::StrFormat(
      "%-11s %d %s in %s: %.0f per second\n", WorkloadName(m.options.workload),
      r.operations, OperationsOf(m.options.workload),
      absl::FormatDuration(absl::Trunc(r.elapsed, absl::Milliseconds(1))),
      m.PerSecond());
  if (r.latency.count() > 0) {
    absl::StrAppendFormat(
        &table, "%-11s p50 %.1f, p99 %.1f, p99.9 %.1f, at most %.1f us\n",
        "latency", Micros(r.latency.Percentile(0.5)),
        Micros(r.latency.Percentile(0.99)), Micros(r.latency.Percentile(0.999)),
        Micros(r.latency.max()));
  }
  if (m.server_usage.has_value()) {
    AddUsage("server", m, *m.server_usage, &table);
    if (m.options.workload == Workload::kIdle) {
      absl::StrAppendFormat(&table, "%-11s %.0f bytes of memory each\n", "",
                            m.BytesPerSession());
    }
  }
  AddUsage("generator", m, m.generator, &table);
  absl::StrAppendFormat(
      &table, "%-11s %d lost, %d late, %d wrong, %d skipped, %d failed\n",
      "trouble", r.lost, r.late, r.wrong, r.skipped, r.failures);
  return table;
}

std::string ToJson(const Measurement& m) {
  const LoadResult& r = m.result;
  std::string json = absl::StrFormat(
      "{\"load\":%s,\"server\":%s,\"connections\":%d,\"outstanding\":%d,"
      "\"payload_bytes\":%d,\"rate\":%g,\"idle_sessions\":%d,"
      "\"gso\":%s,\"gro\":%s,\"operations\":%d,\"elapsed_us\":%.0f,\"per_"
      "second\":%.2f,",
      JsonString(WorkloadName(m.options.workload)), JsonString(m.server),
      m.options.connections, m.options.outstanding, m.options.payload_bytes,
      m.options.rate, m.options.idle_sessions, JsonBool(m.options.gso),
      JsonBool(m.options.gro), r.operations, Micros(r.elapsed), m.PerSecond());
  absl::StrAppendFormat(
      &json,
      "\"latency\":{\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f},",
      Micros(r.latency.Percentile(0.5)), Micros(r.latency.Percentile(0.99)),
      Micros(r.latency.Percentile(0.999)), Micros(r.latency.max()));
  absl::StrAppendFormat(&json,
                        "\"lost\":%d,\"late\":%d,\"wrong\":%d,\"skipped\":%d,"
                        "\"failures\":%d,",
                        r.lost, r.late, r.wrong, r.skipped, r.failures);
  if (m.server_usage.has_value()) {
    absl::StrAppend(&json, "\"server_usage\":", UsageJson(m, *m.server_usage),
                    ",");
    if (m.options.workload == Workload::kIdle) {
      absl::StrAppendFormat(&json, "\"bytes_per_session\":%.1f,",
                            m.BytesPerSession());
    }
  }
  absl::StrAppend(&json, "\"generator_usage\":", UsageJson(m, m.generator),
                  "}");
  return json;
}

}  // namespace cordon::tools
