#include "cordon/testing/life/reactors.h"

#include <utility>

#include "absl/status/statusor.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/testing/sim/sim_reactor.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

template <net::Backend kBackend>
std::unique_ptr<net::Reactor> MakeKernelReactor() {
  net::ReactorOptions options;
  options.backend = kBackend;
  absl::StatusOr<std::unique_ptr<net::Reactor>> reactor =
      net::MakeReactor(options);
  if (!reactor.ok()) {
    ADD_FAILURE() << reactor.status();
    return nullptr;
  }
  return *std::move(reactor);
}

std::unique_ptr<net::Reactor> MakeSimulatedReactor() {
  return std::make_unique<SimReactor>();
}

}  // namespace

const std::vector<ReactorKind>& ReactorKinds() {
  static const auto* const kinds = new std::vector<ReactorKind>{
      {"Simulated", MakeSimulatedReactor, true},
      {"IoUring", MakeKernelReactor<net::Backend::kIoUring>},
      {"Epoll", MakeKernelReactor<net::Backend::kEpoll>}};
  return *kinds;
}

}  // namespace cordon::testing
