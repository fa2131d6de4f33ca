// The limits that SECURITY.md tells are those that there are.
#include <openssl/ssl.h>

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/control_server.h"
#include "cordon/dtls/control/control_service.h"
#include "cordon/dtls/internal/mailbox.h"
#include "cordon/dtls/internal/reassembly.h"
#include "cordon/dtls/internal/session_bounds.h"
#include "cordon/dtls/listener.h"
#include "cordon/dtls/options.h"
#include "cordon/testing/documents/markdown.h"
#include "cordon/testing/process/process.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using Defaults = std::map<std::string, std::string>;

// Of the table that is headed by the type's name.
Defaults TableOf(const std::string& type) {
  Defaults defaults;
  for (const Table& table : ReadMarkdown(Runfile("SECURITY.md")).tables) {
    if (CodeWords(table.header.at(0)) != std::vector<std::string>{type}) {
      continue;
    }
    for (const std::vector<std::string>& row : table.rows) {
      for (const std::string& name : CodeWords(row.at(0))) {
        defaults[name] = row.at(1);
      }
    }
  }
  return defaults;
}

TEST(SecurityTest, TellsTheDefaultsOfAListener) {
  const dtls::ListenerOptions options;
  EXPECT_EQ(
      TableOf("ListenerOptions"),
      (Defaults{
          {"max_sessions", absl::StrCat(options.max_sessions)},
          {"accept_backlog", absl::StrCat(options.accept_backlog)},
          {"max_half_open", absl::StrCat(options.max_half_open)},
          {"half_open_grace", absl::FormatDuration(options.half_open_grace)},
          {"max_half_open_per_source",
           absl::StrCat(options.max_half_open_per_source)},
          {"handshake_rate_per_source",
           absl::StrCat(options.handshake_rate_per_source)},
          {"handshake_burst_per_source",
           absl::StrCat(options.handshake_burst_per_source)},
          {"half_open_before_cookies",
           absl::StrCat(options.half_open_before_cookies)},
          {"amplification_limit", absl::StrCat(options.amplification_limit)},
          {"max_session_memory", absl::StrCat(options.max_session_memory)},
          {"max_reassembly_bytes", absl::StrCat(options.max_reassembly_bytes)},
          {"source_prefix_v4", absl::StrCat(options.source_prefix_v4)},
          {"source_prefix_v6", absl::StrCat(options.source_prefix_v6)},
      }));
}

TEST(SecurityTest, TellsTheDefaultsOfASession) {
  const dtls::SessionOptions options;
  EXPECT_EQ(
      TableOf("SessionOptions"),
      (Defaults{
          {"handshake_deadline",
           absl::FormatDuration(options.handshake_deadline)},
          {"idle_timeout", absl::FormatDuration(options.idle_timeout)},
          {"max_retransmissions", absl::StrCat(options.max_retransmissions)},
          {"max_queued_messages", absl::StrCat(options.max_queued_messages)},
          {"max_queued_bytes", absl::StrCat(options.max_queued_bytes)},
          {"replay_window", absl::StrCat(options.replay_window)},
      }));
}

TEST(SecurityTest, TellsTheDefaultsOfAContext) {
  const dtls::ServerOptions options;
  EXPECT_EQ(
      TableOf("ServerOptions"),
      (Defaults{
          {"max_session_ids", absl::StrCat(options.max_session_ids)},
          {"max_session_id_bytes", absl::StrCat(options.max_session_id_bytes)},
      }));
}

TEST(SecurityTest, TellsTheDefaultsOfTheControlServer) {
  const dtls::control::ControlServerOptions options;
  EXPECT_EQ(
      TableOf("ControlServerOptions"),
      (Defaults{
          {"max_connections", absl::StrCat(options.max_connections)},
          {"max_connections_per_reader",
           absl::StrCat(options.max_connections_per_reader)},
          {"max_connections_per_admin",
           absl::StrCat(options.max_connections_per_admin)},
          {"connections_for_admins",
           absl::StrCat(options.connections_for_admins)},
          {"max_unauthenticated", absl::StrCat(options.max_unauthenticated)},
          {"max_unauthenticated_per_source",
           absl::StrCat(options.max_unauthenticated_per_source)},
          {"authentication_timeout",
           absl::FormatDuration(options.authentication_timeout)},
          {"max_concurrent_streams",
           absl::StrCat(options.max_concurrent_streams)},
          {"max_request_bytes", absl::StrCat(options.max_request_bytes)},
          {"max_response_bytes", absl::StrCat(options.max_response_bytes)},
          {"max_buffered_bytes", absl::StrCat(options.max_buffered_bytes)},
          {"handshake_timeout",
           absl::FormatDuration(options.handshake_timeout)},
      }));
}

TEST(SecurityTest, TellsTheDefaultsOfTheControlService) {
  const dtls::control::ControlServiceOptions options;
  EXPECT_EQ(
      TableOf("ControlServiceOptions"),
      (Defaults{
          {"max_calls", absl::StrCat(options.max_calls)},
          {"max_calls_per_reader", absl::StrCat(options.max_calls_per_reader)},
          {"max_calls_per_admin", absl::StrCat(options.max_calls_per_admin)},
          {"calls_for_admins", absl::StrCat(options.calls_for_admins)},
          {"max_call_bytes", absl::StrCat(options.max_call_bytes)},
          {"max_call_bytes_per_reader",
           absl::StrCat(options.max_call_bytes_per_reader)},
          {"max_call_bytes_per_admin",
           absl::StrCat(options.max_call_bytes_per_admin)},
          {"call_bytes_for_admins",
           absl::StrCat(options.call_bytes_for_admins)},
          {"max_call_time", absl::FormatDuration(options.max_call_time)},
          {"max_streams", absl::StrCat(options.max_streams)},
          {"max_streams_per_reader",
           absl::StrCat(options.max_streams_per_reader)},
          {"max_streams_per_admin",
           absl::StrCat(options.max_streams_per_admin)},
          {"streams_for_admins", absl::StrCat(options.streams_for_admins)},
      }));
}

TEST(SecurityTest, TellsTheLimitsOfCertificates) {
  const dtls::CertificateLimits limits;
  EXPECT_EQ(
      TableOf("CertificateLimits"),
      (Defaults{
          {"max_chain_bytes", absl::StrCat(limits.max_chain_bytes)},
          {"max_certificate_bytes", absl::StrCat(limits.max_certificate_bytes)},
          {"max_extensions", absl::StrCat(limits.max_extensions)},
          {"max_names", absl::StrCat(limits.max_names)},
          {"max_name_constraints", absl::StrCat(limits.max_name_constraints)},
          {"max_policies", absl::StrCat(limits.max_policies)},
          {"max_name_checks", absl::StrCat(limits.max_name_checks)},
          {"max_key_bits", absl::StrCat(limits.max_key_bits)},
          {"max_unanchored_signatures",
           absl::StrCat(limits.max_unanchored_signatures)},
      }));
}

// In the order of the table.
TEST(SecurityTest, TellsWhatAHandshakeKeeps) {
  namespace internal = dtls::internal;
  std::vector<std::string> told;
  for (const Table& table : ReadMarkdown(Runfile("SECURITY.md")).tables) {
    if (table.header.at(0) != "Handshake") continue;
    for (const std::vector<std::string>& row : table.rows) {
      told.push_back(row.at(2));
    }
  }
  std::vector<std::string> is;
  for (const size_t bound :
       {SSL_MAX_CERT_LIST_DEFAULT + internal::kMaxSpareBytes,
        internal::kMaxSpareBytes, size_t{internal::Reassembly::kWindow},
        internal::Reassembly::kRivals, internal::Reassembly::kMaxPieces,
        internal::kMaxEarlyDatagrams, internal::kMaxEarlyDatagramBytes,
        internal::kMaxEarlyRecords, internal::kMaxEarlyRecordBytes,
        internal::kMaxHeldRecords, internal::kMaxHeldRecordBytes,
        internal::kHandshakeOwnBytes}) {
    is.push_back(absl::StrCat(bound));
  }
  EXPECT_EQ(told, is);
}

TEST(SecurityTest, TellsWhatMayWaitForAnotherReactor) {
  std::vector<std::string> told;
  for (const Table& table : ReadMarkdown(Runfile("SECURITY.md")).tables) {
    if (table.header.at(0) != "Reactor") continue;
    for (const std::vector<std::string>& row : table.rows) {
      told.push_back(row.at(3));
    }
  }
  EXPECT_EQ(told, std::vector<std::string>{
                      absl::StrCat(dtls::internal::kMaxStrayBytes)});
}

// Those that are changed at run time begin as the options say.
TEST(SecurityTest, LimitsHaveTheDefaultsOfTheOptions) {
  const dtls::ListenerOptions options;
  const dtls::ListenerLimits limits;
  EXPECT_EQ(limits.max_sessions, options.max_sessions);
  EXPECT_EQ(limits.max_session_memory, options.max_session_memory);
  EXPECT_EQ(limits.max_reassembly_bytes, options.max_reassembly_bytes);
  EXPECT_EQ(limits.accept_backlog, options.accept_backlog);
  EXPECT_EQ(limits.max_half_open, options.max_half_open);
  EXPECT_EQ(limits.max_half_open_per_source, options.max_half_open_per_source);
  EXPECT_EQ(limits.handshake_rate_per_source,
            options.handshake_rate_per_source);
  EXPECT_EQ(limits.handshake_burst_per_source,
            options.handshake_burst_per_source);
  EXPECT_EQ(limits.half_open_before_cookies, options.half_open_before_cookies);
}

}  // namespace
}  // namespace cordon::testing
