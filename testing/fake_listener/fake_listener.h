// A listener whose sessions a test makes up: for what looks after listeners.
//
//   SimReactor reactor;
//   dtls::Registry registry;
//   FakeListener listener(reactor, registry, "public");
//   listener.Open({.id = 7, .state = dtls::EngineState::kConnected});
//
// As with a real one, everything but the handle is for the reactor's thread.
// Where the test must block meanwhile, a `ReactorThread` has one.
#ifndef CORDON_TESTING_FAKE_LISTENER_FAKE_LISTENER_H_
#define CORDON_TESTING_FAKE_LISTENER_FAKE_LISTENER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/listener_admin.h"
#include "cordon/dtls/registry.h"
#include "cordon/dtls/session_snapshot.h"
#include "cordon/net/reactor/reactor.h"

namespace cordon::testing {

class FakeListener final : public dtls::ListenerAdmin {
 public:
  // Is in `registry` for as long as it lives.
  FakeListener(net::Reactor& reactor, dtls::Registry& registry,
               const std::string& name);
  ~FakeListener() override;
  FakeListener(const FakeListener&) = delete;
  FakeListener& operator=(const FakeListener&) = delete;

  const std::shared_ptr<dtls::ListenerHandle>& handle() const {
    return handle_;
  }

  // A session that is new, that has changed, that has ended. Observers hear of
  // it.
  void Open(dtls::SessionSnapshot session);
  void Change(dtls::SessionSnapshot session);
  void Close(uint64_t id, absl::string_view reason);

  // What `statistics` and `context` tell.
  void set_statistics(const dtls::ListenerStatistics& statistics) {
    statistics_ = statistics;
  }
  void set_context(const dtls::Context& context) { context_ = context; }

  // From now on there is always one more session, connected, behind those that
  // were opened.
  void set_endless() { endless_ = true; }

  size_t observers() const { return observers_.size(); }
  // How often sessions were asked for, and the most at once.
  size_t turns() const { return turns_; }
  size_t most_at_once() const { return most_at_once_; }

  size_t ReadSessions(uint64_t after,
                      absl::Span<dtls::SessionSnapshot> page) override;
  bool ReadSession(uint64_t id, dtls::SessionSnapshot& into) override;
  bool CloseSession(uint64_t id, const absl::Status& status,
                    uint8_t alert) override;
  dtls::ListenerStatistics statistics() const override { return statistics_; }
  dtls::ListenerLimits limits() const override { return limits_; }
  void SetLimits(const dtls::ListenerLimits& limits) override {
    limits_ = limits;
  }
  absl::Status SetCookieParameters(const dtls::CookieParameters& p) override;
  dtls::CookieHash cookie_hash() const override { return cookie_hash_; }
  const dtls::Context& context() const override { return *context_; }
  void Drain(absl::Duration) override { draining_ = true; }
  bool draining() const override { return draining_; }
  void AddObserver(std::shared_ptr<dtls::SessionObserver> observer) override;
  void RemoveObserver(const dtls::SessionObserver* observer) override;
  net::Reactor& reactor() override { return reactor_; }

 private:
  void Tell(dtls::SessionEventKind kind,
            const std::shared_ptr<const dtls::SessionSnapshot>& session,
            absl::string_view reason);

  net::Reactor& reactor_;
  dtls::Registry& registry_;
  std::shared_ptr<dtls::ListenerHandle> handle_;
  std::map<uint64_t, std::shared_ptr<const dtls::SessionSnapshot>> sessions_;
  std::vector<std::shared_ptr<dtls::SessionObserver>> observers_;
  dtls::ListenerStatistics statistics_;
  dtls::ListenerLimits limits_;
  dtls::CookieHash cookie_hash_ = dtls::CookieHash::kSha256;
  std::optional<dtls::Context> context_;
  bool draining_ = false;
  bool endless_ = false;
  size_t turns_ = 0;
  size_t most_at_once_ = 0;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FAKE_LISTENER_FAKE_LISTENER_H_
