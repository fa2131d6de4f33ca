// Listeners in their registry, and how other threads reach them.
#include "cordon/dtls/registry.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "cordon/dtls/connection.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/reactor/reactor.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/timeout.h"
#include "cordon/testing/served_listener/served_listener.h"
#include "gtest/gtest.h"

namespace cordon::dtls {
namespace {

using ::cordon::testing::ServedListener;
using ::cordon::testing::SimReactor;
using Handles = std::vector<std::shared_ptr<ListenerHandle>>;

Context ServerContext() {
  ServerOptions options;
  options.certificates = {
      ServedListener::Authority().Issue({.dns_names = {"localhost"}})};
  return *Context::Server(std::move(options));
}

std::vector<std::string> NamesOf(const Handles& handles) {
  std::vector<std::string> names;
  for (const auto& handle : handles) names.push_back(handle->name());
  return names;
}

class RegistryTest : public ::testing::Test {
 protected:
  Listener Bind(net::Reactor& reactor, const std::string& name,
                uint16_t port = 0) {
    ListenerOptions options;
    options.name = name;
    options.registry = registry_;
    absl::StatusOr<Listener> listener = Listener::Bind(
        reactor, net::Endpoint::LoopbackV4(port), context_, options);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return *std::move(listener);
  }

  const Context context_ = ServerContext();
  const std::shared_ptr<Registry> registry_ = std::make_shared<Registry>();
};

TEST_F(RegistryTest, ListsWhatIsThereInOrder) {
  SimReactor first;
  SimReactor second;
  EXPECT_TRUE(registry_->listeners().empty());
  std::optional<Listener> a = Bind(first, "a");
  std::optional<Listener> b = Bind(second, "b");
  std::optional<Listener> a2 = Bind(second, "a");
  EXPECT_EQ(NamesOf(registry_->listeners()),
            (std::vector<std::string>{"a", "b", "a"}));
  EXPECT_EQ(NamesOf(registry_->listeners("a")),
            (std::vector<std::string>{"a", "a"}));
  EXPECT_EQ(registry_->listeners("").size(), 3U);
  EXPECT_TRUE(registry_->listeners("c").empty());
  const Handles all = registry_->listeners();
  EXPECT_EQ(all[0]->reactor_index(), 0U);
  EXPECT_EQ(all[1]->reactor_index(), 1U);
  EXPECT_EQ(all[2]->reactor_index(), 1U);
  EXPECT_EQ(all[1]->local_endpoint(), b->local_endpoint());
  EXPECT_NE(all[1]->local_endpoint().port(), 0);
  EXPECT_EQ(all[0]->backend(), "simulated");
  b.reset();
  EXPECT_EQ(NamesOf(registry_->listeners()),
            (std::vector<std::string>{"a", "a"}));
  a.reset();
  a2.reset();
  EXPECT_TRUE(registry_->listeners().empty());
}

TEST_F(RegistryTest, AListenerNeedsAName) {
  SimReactor reactor;
  ListenerOptions options;
  options.name = "";
  const absl::Status status =
      Listener::Bind(reactor, net::Endpoint::LoopbackV4(0), context_, options)
          .status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

TEST_F(RegistryTest, AListenersConfigurationIsItsPolicy) {
  SimReactor reactor;
  const Listener a = Bind(reactor, "a");
  const PolicyVersion policy = registry_->policies().Present("a");
  EXPECT_EQ(policy.version, 1U);
  EXPECT_TRUE(policy.configured);
  EXPECT_EQ(policy.policy().client_certificate, PeerVerification::kNone);
  // Others of the same configuration share it.
  const Listener b = Bind(reactor, "b");
  EXPECT_EQ(registry_->policies().Present("b").version, 1U);
}

ServerOptions VerifyingOptions() {
  ServerOptions options;
  options.certificates = {
      ServedListener::Authority().Issue({.dns_names = {"localhost"}})};
  options.client_trust = ServedListener::Authority().trust();
  options.verification.mode = PeerVerification::kVerify;
  return options;
}

// Two listeners of one name whose contexts say something else of clients: the
// rules of one must not come to the other.
class NamesOfListenersTest : public RegistryTest {
 protected:
  absl::StatusOr<Listener> TryBind(const Context& context,
                                   const std::string& name = "default") {
    ListenerOptions options;
    options.name = name;
    options.registry = registry_;
    return Listener::Bind(reactor_, net::Endpoint::LoopbackV4(0), context,
                          options);
  }
  PeerVerification ModeInForce(const std::string& name = "default") const {
    return registry_->policies().Present(name).policy().client_certificate;
  }

  SimReactor reactor_;
  const Context verifying_ = *Context::Server(VerifyingOptions());
};

TEST_F(NamesOfListenersTest, ADifferingConfigurationIsRefused) {
  for (const bool strict_first : {true, false}) {
    for (const std::string& name : {std::string("default"), std::string("a")}) {
      const Context& first = strict_first ? verifying_ : context_;
      const Context& second = strict_first ? context_ : verifying_;
      std::optional<Listener> one = *TryBind(first, name);
      const PeerVerification mode = ModeInForce(name);
      EXPECT_EQ(mode, strict_first ? PeerVerification::kVerify
                                   : PeerVerification::kNone);
      const absl::Status refused = TryBind(second, name).status();
      EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
      EXPECT_TRUE(
          absl::StrContains(refused.message(), absl::StrCat("\"", name, "\"")));
      EXPECT_TRUE(
          absl::StrContains(refused.message(), "ListenerOptions::name"));
      EXPECT_EQ(ModeInForce(name), mode);
      EXPECT_EQ(registry_->listeners().size(), 1U);
      // Under another name it may be.
      const absl::StatusOr<Listener> other = TryBind(second, name + "2");
      EXPECT_TRUE(other.ok()) << other.status();
      EXPECT_NE(ModeInForce(name + "2"), mode);
      EXPECT_EQ(ModeInForce(name), mode);
    }
  }
}

// As several reactors do.
TEST_F(NamesOfListenersTest, EqualConfigurationsShareAName) {
  const Context again = *Context::Server(VerifyingOptions());
  SimReactor second;
  const Listener one = *TryBind(verifying_);
  const absl::StatusOr<Listener> two = TryBind(verifying_);
  EXPECT_TRUE(two.ok()) << two.status();
  const absl::StatusOr<Listener> three = TryBind(again);
  EXPECT_TRUE(three.ok()) << three.status();
  EXPECT_EQ(registry_->policies().Present("default").version, 1U);
}

TEST_F(NamesOfListenersTest, OtherRegistriesHaveOtherNames) {
  const Listener one = *TryBind(verifying_);
  ListenerOptions options;
  options.registry = std::make_shared<Registry>();
  const absl::StatusOr<Listener> other =
      Listener::Bind(reactor_, net::Endpoint::LoopbackV4(0), context_, options);
  EXPECT_TRUE(other.ok()) << other.status();
}

TEST_F(NamesOfListenersTest, ANameIsFreeOnceAllItsListenersAreGone) {
  std::optional<Listener> one = *TryBind(verifying_);
  std::optional<Listener> two = *TryBind(verifying_);
  one.reset();
  EXPECT_FALSE(TryBind(context_).ok());
  two.reset();
  one = *TryBind(context_);
  EXPECT_EQ(ModeInForce(), PeerVerification::kNone);
  // What was said before is not remembered, however often it changes.
  one.reset();
  one = *TryBind(verifying_);
  EXPECT_EQ(ModeInForce(), PeerVerification::kVerify);
  ServerOptions options = VerifyingOptions();
  options.verification.max_chain_depth = 3;
  const Context third = *Context::Server(options);
  EXPECT_FALSE(TryBind(third).ok());
  one.reset();
  one = *TryBind(third);
  EXPECT_EQ(registry_->policies().Present("default").policy().max_chain_depth,
            3);
  one.reset();
  one = *TryBind(context_);
  EXPECT_EQ(ModeInForce(), PeerVerification::kNone);
}

TEST_F(NamesOfListenersTest, WhoAcceptsNobodyKeepsNoName) {
  Listener one = *TryBind(verifying_);
  one.StopAccepting();
  Listener two = *TryBind(context_);
  EXPECT_EQ(ModeInForce(), PeerVerification::kNone);
  EXPECT_FALSE(TryBind(verifying_).ok());
}

TEST_F(NamesOfListenersTest, WhatAnOperatorHasSetStays) {
  std::optional<Listener> one = *TryBind(context_);
  Policy set = registry_->policies().Present("default").policy();
  set.denied_names = {"stolen.example"};
  for (const std::string& listener : {std::string(), std::string("default")}) {
    const auto history = registry_->policies().History(listener);
    ASSERT_TRUE(registry_->policies()
                    .Set({.listener = listener,
                          .policy = set,
                          .expected_version =
                              history.empty() ? 0 : history.front().version})
                    .ok());
    // Nor does it make way for another configuration.
    EXPECT_FALSE(TryBind(verifying_).ok());
    one.reset();
    one = *TryBind(verifying_);
    EXPECT_EQ(registry_->policies().Present("default").policy(), set);
    one.reset();
    one = *TryBind(context_);
    EXPECT_EQ(registry_->policies().Present("default").policy(), set);
  }
}

// One that could not be bound leaves nothing behind.
TEST_F(RegistryTest, AnAddressThatIsInUseIsNoPolicy) {
  SimReactor reactor;
  std::optional<Listener> other;
  other = *Listener::Bind(reactor, net::Endpoint::LoopbackV4(4433), context_);
  ListenerOptions options;
  options.registry = registry_;
  EXPECT_TRUE(absl::IsUnavailable(
      Listener::Bind(reactor, net::Endpoint::LoopbackV4(4433), context_,
                     options)
          .status()));
  EXPECT_TRUE(registry_->listeners().empty());
  EXPECT_EQ(registry_->policies().Present("default").version, 0U);
}

// As tasks do that end with the scope that owns the listener.
TEST_F(RegistryTest, WhatIsPostedRunsOnceOrNever) {
  SimReactor reactor;
  int ran = 0;
  auto alive = std::make_shared<int>();
  auto task = [&]() -> net::Task<absl::Status> {
    std::optional<Listener> listener = Bind(reactor, "a");
    const auto handle = registry_->listeners().front();
    EXPECT_TRUE(handle->Post([&ran, alive](ListenerAdmin& admin) {
      ++ran;
      EXPECT_EQ(admin.statistics().sessions, 0U);
    }));
    EXPECT_EQ(ran, 0);
    (void)co_await net::SleepFor(absl::Milliseconds(1));
    EXPECT_EQ(ran, 1);
    EXPECT_EQ(alive.use_count(), 1);
    // Too late to run, and too late to be taken.
    EXPECT_TRUE(handle->Post([&ran, alive](ListenerAdmin&) { ++ran; }));
    listener.reset();
    EXPECT_FALSE(handle->Post([&ran, alive](ListenerAdmin&) { ++ran; }));
    (void)co_await net::SleepFor(absl::Milliseconds(1));
    EXPECT_EQ(ran, 1);
    EXPECT_EQ(alive.use_count(), 1);
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor.Run(task()), absl::OkStatus());
  EXPECT_EQ(alive.use_count(), 1);
}

// It was bound outside of its reactor's task, and is still there.
TEST_F(RegistryTest, AListenerWhoseReactorHasEndedIsGone) {
  SimReactor reactor;
  std::optional<Listener> listener = Bind(reactor, "a");
  const auto handle = registry_->listeners().front();
  int ran = 0;
  auto alive = std::make_shared<int>();
  // Before it begins, and while it runs.
  EXPECT_TRUE(handle->Post([&ran, alive](ListenerAdmin&) { ++ran; }));
  auto task = [&]() -> net::Task<absl::Status> {
    CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(1)));
    EXPECT_EQ(registry_->listeners().size(), 1U);
    EXPECT_TRUE(handle->Post([&ran, alive](ListenerAdmin&) { ++ran; }));
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor.Run(task()), absl::OkStatus());
  EXPECT_EQ(ran, 1);
  EXPECT_FALSE(handle->alive());
  EXPECT_FALSE(handle->Post([&ran, alive](ListenerAdmin&) { ++ran; }));
  // Nothing is kept that will never run.
  EXPECT_EQ(alive.use_count(), 1);
  EXPECT_TRUE(registry_->listeners().empty());
  EXPECT_TRUE(registry_->listeners("a").empty());
  // It comes back with its reactor.
  auto again = [&]() -> net::Task<absl::Status> {
    EXPECT_EQ(registry_->listeners("a").size(), 1U);
    co_return absl::OkStatus();
  };
  EXPECT_EQ(reactor.Run(again()), absl::OkStatus());
}

TEST_F(RegistryTest, AListenerIsThereAsLongAsItsSessions) {
  ServedListener world;
  EXPECT_EQ(world.Run([&]() -> net::Task<absl::Status> {
    CO_ASSIGN_OR_RETURN(Connection client, co_await world.Connect());
    co_await ServedListener::Pass(absl::Seconds(1));
    // `Listener` is destroyed, its session not.
    {
      const Listener dropped = std::move(world.listener());
    }
    EXPECT_EQ(world.registry->listeners().size(), 1U);
    EXPECT_EQ(world.admin().Sessions(0, 10).size(), 1U);
    CO_RETURN_IF_ERROR(co_await ServedListener::Ask(client, "still there"));
    CO_RETURN_IF_ERROR(co_await client.Close());
    co_await ServedListener::Pass(absl::Seconds(1));
    EXPECT_TRUE(world.registry->listeners().empty());
    co_return absl::OkStatus();
  }),
            absl::OkStatus());
}

// Listeners come and go on their thread while others post to them.
TEST_F(RegistryTest, OthersPostWhileListenersEnd) {
  constexpr int kListeners = 50;
  constexpr int kThreads = 2;
  std::atomic<bool> done = false;
  std::atomic<int64_t> posted = 0;
  std::atomic<int64_t> destroyed = 0;
  std::atomic<int64_t> ran = 0;
  std::atomic<int64_t> refused = 0;
  struct Counts {
    explicit Counts(std::atomic<int64_t>* c) : counter(c) {}
    ~Counts() { ++*counter; }
    std::atomic<int64_t>* counter;
  };
  absl::Notification begun;
  std::thread serving([&] {
    absl::StatusOr<std::unique_ptr<net::Reactor>> reactor =
        net::MakeReactor({.backend = net::Backend::kEpoll});
    ASSERT_TRUE(reactor.ok()) << reactor.status();
    auto come_and_go = [&]() -> net::Task<absl::Status> {
      for (int i = 0; i < kListeners; ++i) {
        std::optional<Listener> listener = Bind(**reactor, "a");
        if (i == 0) begun.Notify();
        // Until somebody has been here.
        const int64_t before = ran;
        while (ran == before) co_await net::Yield();
        listener.reset();
      }
      co_return absl::OkStatus();
    };
    EXPECT_EQ((*reactor)->Run(come_and_go()), absl::OkStatus());
    done = true;
  });
  begun.WaitForNotification();
  std::vector<std::thread> others;
  others.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    others.emplace_back([&] {
      Handles kept;
      while (!done) {
        for (const auto& listener : registry_->listeners()) {
          kept.push_back(listener);
        }
        for (const auto& listener : kept) {
          auto counts = std::make_unique<Counts>(&destroyed);
          ++posted;
          const bool taken = listener->Post(
              [&, counts = std::move(counts)](ListenerAdmin& admin) {
                ++ran;
                EXPECT_EQ(admin.statistics().sessions, 0U);
              });
          if (!taken) ++refused;
        }
        if (kept.size() > 10) kept.clear();
        while (!done && posted - destroyed > 100) std::this_thread::yield();
      }
    });
  }
  for (std::thread& other : others) other.join();
  serving.join();
  // Nothing is lost: the reactor has gone, and with it what it had not run.
  EXPECT_EQ(destroyed, posted);
  EXPECT_GE(ran, kListeners);
  EXPECT_LE(ran + refused, posted);
  EXPECT_TRUE(registry_->listeners().empty());
}

}  // namespace
}  // namespace cordon::dtls
