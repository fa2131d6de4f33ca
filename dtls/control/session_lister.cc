#include "cordon/dtls/control/session_lister.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "cordon/dtls/control/listener_call.h"
#include "cordon/dtls/control/listener_names.h"
#include "cordon/dtls/control/session_cursor.h"
#include "cordon/dtls/internal/random_bytes.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;

// What sessions are ordered by, the smallest first.
using Key = std::array<uint64_t, 4>;

Key KeyOf(const SessionSnapshot& s, v1::SessionOrder order) {
  // A client of another version may send any number.
  switch (static_cast<int>(order)) {
    case v1::SESSION_ORDER_TRAFFIC:
      return {~(s.statistics.bytes_received + s.statistics.bytes_sent), s.id};
    case v1::SESSION_ORDER_IDLE:
      return {static_cast<uint64_t>(absl::ToUnixMicros(s.last_activity)), s.id};
    case v1::SESSION_ORDER_PEER: {
      // IPv4 comes before IPv6.
      const absl::Span<const uint8_t> bytes = s.peer.address_bytes();
      Key key = {s.peer.is_v4() ? 0U : 1U, 0, 0, s.peer.port()};
      for (size_t i = 0; i < bytes.size(); ++i) {
        uint64_t& half = key[i < 8 ? 1 : 2];
        half = half << 8 | bytes[i];
      }
      return key;
    }
    default:  // the youngest first
      return {~s.id};
  }
}

absl::Status WrongToken(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("page_token: ", what, ": begin again without one"));
}

}  // namespace

absl::Status SessionLister::List(const v1::ListSessionsRequest& request,
                                 const CallEnd& end,
                                 v1::ListSessionsResponse* response) {
  absl::StatusOr<SessionQuery> query = SessionQuery::Compile(request.filter());
  if (!query.ok()) return query.status();
  if (!v1::SessionOrder_IsValid(request.order())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "order: ", static_cast<int>(request.order()), " is no order"));
  }
  if (request.page_size() > kMaxPage) {
    return absl::InvalidArgumentError(absl::StrCat(
        "page_size: ", request.page_size(), ": it must be from 1 to ", kMaxPage,
        ", or 0 for ", kDefaultPage));
  }
  const size_t size =
      request.page_size() == 0 ? kDefaultPage : request.page_size();
  const std::string& token = request.page_token();
  if (request.order() == v1::SESSION_ORDER_ID) {
    uint64_t after = 0;
    if (!token.empty() && !absl::SimpleAtoi(token, &after)) {
      return WrongToken("it is not of this order");
    }
    return ListById(*query, after, size, end, response);
  }
  if (token.empty()) {
    absl::StatusOr<std::shared_ptr<const Order>> order =
        MakeOrder(*query, request.order(), end);
    if (!order.ok()) return order.status();
    return ListPart(**order, *query, 0, size, end, response);
  }
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(token, absl::MaxSplits('-', 1));
  size_t from = 0;
  if (!absl::SimpleAtoi(parts.second, &from)) {
    return WrongToken("it is not of this order");
  }
  const std::shared_ptr<const Order> order = FindOrder(parts.first);
  if (order == nullptr) return WrongToken("it is no longer good");
  return ListPart(*order, *query, from, size, end, response);
}

absl::Status SessionLister::ListById(const SessionQuery& query, uint64_t after,
                                     size_t size, const CallEnd& end,
                                     v1::ListSessionsResponse* response) {
  auto listeners = ListenersOf(*registry_, query.listener(), "filter.listener");
  if (!listeners.ok()) return listeners.status();
  const absl::Time now = absl::Now();
  SessionCursor cursor(*listeners, after, kListenerPatience, end);
  size_t bytes = 0;
  while (true) {
    absl::StatusOr<std::optional<SessionRow>> row = cursor.Next();
    if (!row.ok()) return row.status();
    if (!row->has_value()) return absl::OkStatus();
    if (!query.Matches(**row, now)) continue;
    v1::Session session = ToProto(**row);
    bytes += session.ByteSizeLong();
    // There is another one than the page has room for.
    if (response->sessions_size() > 0 &&
        (static_cast<size_t>(response->sessions_size()) == size ||
         bytes > kMaxPageBytes)) {
      response->set_next_page_token(
          absl::StrCat(response->sessions().rbegin()->id()));
      return absl::OkStatus();
    }
    *response->add_sessions() = std::move(session);
  }
}

absl::StatusOr<std::shared_ptr<const SessionLister::Order>>
SessionLister::MakeOrder(const SessionQuery& query, v1::SessionOrder by,
                         const CallEnd& end) {
  auto listeners = ListenersOf(*registry_, query.listener(), "filter.listener");
  if (!listeners.ok()) return listeners.status();
  const absl::Time now = absl::Now();
  std::vector<std::pair<Key, Place>> keyed;
  for (uint32_t i = 0; i < listeners->size(); ++i) {
    SessionCursor cursor({(*listeners)[i]}, 0, kListenerPatience, end);
    while (true) {
      absl::StatusOr<std::optional<SessionRow>> row = cursor.Next();
      if (!row.ok()) return row.status();
      if (!row->has_value()) break;
      if (!query.Matches(**row, now)) continue;
      if (keyed.size() == kMaxOrdered) {
        return absl::ResourceExhaustedError(
            absl::StrCat("more than ", kMaxOrdered,
                         " sessions: list them by id, or filter them"));
      }
      const SessionSnapshot& session = *(*row)->session;
      keyed.push_back({KeyOf(session, by), {session.id, i}});
    }
  }
  std::sort(keyed.begin(), keyed.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  auto order = std::make_shared<Order>();
  order->listeners = *std::move(listeners);
  order->places.reserve(keyed.size());
  for (const auto& [key, place] : keyed) order->places.push_back(place);
  std::array<uint8_t, 16> number;
  dtls::internal::FillWithRandom(absl::MakeSpan(number));
  order->token = absl::BytesToHexString(
      {reinterpret_cast<const char*>(number.data()), number.size()});
  Keep(order);
  return order;
}

absl::StatusOr<std::vector<SessionRow>> SessionLister::ReadPlaces(
    const Order& order, size_t from, size_t to, const CallEnd& end) {
  std::vector<SessionRow> rows(to - from);
  for (uint32_t listener = 0; listener < order.listeners.size(); ++listener) {
    // The ids of those that are not there any more become 0.
    auto part = std::make_shared<std::vector<SessionSnapshot>>();
    for (size_t i = from; i < to; ++i) {
      if (order.places[i].listener != listener) continue;
      part->emplace_back().id = order.places[i].id;
    }
    if (part->empty()) continue;
    absl::StatusOr<bool> read = CallListener<bool>(
        *order.listeners[listener], end, [part](ListenerAdmin& admin) {
          for (SessionSnapshot& session : *part) {
            if (!admin.ReadSession(session.id, session)) {
              session.id = 0;
            }
          }
          return true;
        });
    if (!read.ok()) {
      if (!absl::IsUnavailable(read.status())) return read.status();
      continue;
    }
    size_t next = 0;
    for (size_t i = from; i < to; ++i) {
      if (order.places[i].listener != listener) continue;
      const SessionSnapshot& session = (*part)[next++];
      if (session.id == 0) continue;
      rows[i - from].listener = order.listeners[listener];
      rows[i - from].session = {part, &session};
    }
  }
  return rows;
}

absl::Status SessionLister::ListPart(const Order& order,
                                     const SessionQuery& query, size_t from,
                                     size_t size, const CallEnd& end,
                                     v1::ListSessionsResponse* response) {
  if (from > order.places.size()) return WrongToken("it is not of this order");
  const size_t last = std::min(from + size, order.places.size());
  const absl::Time now = absl::Now();
  size_t bytes = 0;
  size_t next = from;
  bool full = false;
  // So many at a time, so that no more than these are kept.
  while (next < last && !full) {
    absl::StatusOr<std::vector<SessionRow>> rows = ReadPlaces(
        order, next, std::min(next + SessionCursor::kChunk, last), end);
    if (!rows.ok()) return rows.status();
    for (const SessionRow& row : *rows) {
      // It may have ended since the order was made.
      if (row.session != nullptr && query.Matches(row, now)) {
        v1::Session session = ToProto(row);
        bytes += session.ByteSizeLong();
        full = response->sessions_size() > 0 && bytes > kMaxPageBytes;
        if (full) break;
        *response->add_sessions() = std::move(session);
      }
      ++next;
    }
  }
  if (next < order.places.size()) {
    response->set_next_page_token(absl::StrCat(order.token, "-", next));
  }
  return absl::OkStatus();
}

std::shared_ptr<const SessionLister::Order> SessionLister::FindOrder(
    absl::string_view token) {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  for (auto at = orders_.begin(); at != orders_.end(); ++at) {
    if ((*at)->token != token) continue;
    std::shared_ptr<Order> order = *at;
    orders_.erase(at);
    if (now - order->used > kOrderLifetime) return nullptr;
    order->used = now;
    orders_.push_back(order);
    return order;
  }
  return nullptr;
}

void SessionLister::Keep(std::shared_ptr<Order> order) {
  const absl::Time now = clock_->Now();
  order->used = now;
  absl::MutexLock lock(&mutex_);
  orders_.push_back(std::move(order));
  const auto too_many = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    size_t sessions = 0;
    for (const auto& kept : orders_) sessions += kept->places.size();
    return orders_.size() > kMaxOrders || sessions > kMaxOrdered ||
           now - orders_.front()->used > kOrderLifetime;
  };
  while (orders_.size() > 1 && too_many()) orders_.pop_front();
}

}  // namespace cordon::dtls::control
