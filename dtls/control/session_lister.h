// Pages of sessions.
#ifndef CORDON_DTLS_CONTROL_SESSION_LISTER_H_
#define CORDON_DTLS_CONTROL_SESSION_LISTER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cordon/dtls/control/call_end.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/session_proto.h"
#include "cordon/dtls/control/session_query.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/time/clock.h"

namespace cordon::dtls::control {

// By id, a page begins where the one before ended. In another order the whole
// order is kept for a while, as numbers only, so that nothing is seen twice.
// Thread-safe; its methods block.
class SessionLister {
 public:
  static constexpr uint32_t kDefaultPage = 100;
  static constexpr uint32_t kMaxPage = 1000;
  // A page ends before it has more than this, whatever its size; gRPC clients
  // take 4 MiB by default.
  static constexpr size_t kMaxPageBytes = size_t{2} << 20;
  // Orders that are kept, for how long after they were used last, and how many
  // sessions they may have in all.
  static constexpr size_t kMaxOrders = 8;
  static constexpr absl::Duration kOrderLifetime = absl::Minutes(2);
  static constexpr size_t kMaxOrdered = 4'000'000;

  // `clock` tells how old orders are.
  explicit SessionLister(const Registry* registry,
                         net::Clock* clock = net::SteadyClock::Get())
      : registry_(registry), clock_(clock) {}

  absl::Status List(const ::cordon::control::v1::ListSessionsRequest& request,
                    const CallEnd& end,
                    ::cordon::control::v1::ListSessionsResponse* response);

 private:
  struct Place {
    uint64_t id;
    uint32_t listener;  // in `Order::listeners`
  };
  struct Order {
    std::string token;
    std::vector<std::shared_ptr<ListenerHandle>> listeners;
    std::vector<Place> places;
    absl::Time used = absl::InfinitePast();
  };

  absl::Status ListById(const SessionQuery& query, uint64_t after, size_t size,
                        const CallEnd& end,
                        ::cordon::control::v1::ListSessionsResponse* response);
  absl::StatusOr<std::shared_ptr<const Order>> MakeOrder(
      const SessionQuery& query, ::cordon::control::v1::SessionOrder by,
      const CallEnd& end);
  // The sessions at the places from `from` to before `to`; those that have
  // ended are null.
  static absl::StatusOr<std::vector<SessionRow>> ReadPlaces(const Order& order,
                                                            size_t from,
                                                            size_t to,
                                                            const CallEnd& end);
  static absl::Status ListPart(
      const Order& order, const SessionQuery& query, size_t from, size_t size,
      const CallEnd& end,
      ::cordon::control::v1::ListSessionsResponse* response);
  std::shared_ptr<const Order> FindOrder(absl::string_view token);
  void Keep(std::shared_ptr<Order> order);

  const Registry* const registry_;
  net::Clock* const clock_;
  absl::Mutex mutex_;
  // The one that was used last stands last.
  std::deque<std::shared_ptr<Order>> orders_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_SESSION_LISTER_H_
