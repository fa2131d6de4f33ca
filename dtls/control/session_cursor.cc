#include "cordon/dtls/control/session_cursor.h"

#include <utility>

#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "cordon/dtls/control/listener_call.h"

namespace cordon::dtls::control {

SessionCursor::SessionCursor(
    const std::vector<std::shared_ptr<ListenerHandle>>& listeners,
    uint64_t after, absl::Duration patience, CallEnd end)
    : patience_(patience), end_(std::move(end)) {
  for (const std::shared_ptr<ListenerHandle>& listener : listeners) {
    sources_.push_back({.listener = listener, .after = after});
  }
}

absl::Status SessionCursor::Fill(Source& source) {
  auto chunk = std::make_shared<std::vector<SessionSnapshot>>(kChunk);
  absl::StatusOr<size_t> size = CallListener<size_t>(
      *source.listener, end_.NoLaterThan(absl::Now() + patience_),
      [after = source.after, chunk](ListenerAdmin& admin) {
        return admin.ReadSessions(after, absl::MakeSpan(*chunk));
      });
  if (!size.ok() && !absl::IsUnavailable(size.status())) return size.status();
  source.size = size.value_or(0);
  source.next = 0;
  source.exhausted = source.size < kChunk;
  if (source.size > 0) source.after = (*chunk)[source.size - 1].id;
  source.chunk = std::move(chunk);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<SessionRow>> SessionCursor::Next() {
  if (absl::Status status = end_.Check(); !status.ok()) return status;
  Source* first = nullptr;
  for (Source& source : sources_) {
    if (source.next == source.size && !source.exhausted) {
      if (absl::Status status = Fill(source); !status.ok()) return status;
    }
    if (source.next == source.size) continue;
    if (first == nullptr ||
        (*source.chunk)[source.next].id < (*first->chunk)[first->next].id) {
      first = &source;
    }
  }
  if (first == nullptr) return std::optional<SessionRow>();
  SessionRow row;
  row.listener = first->listener;
  row.session = {first->chunk, &(*first->chunk)[first->next++]};
  return std::make_optional(std::move(row));
}

}  // namespace cordon::dtls::control
