// From the kernel through a listener to a coroutine and back: in the steady
// state a datagram costs no allocation, with either backend.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cordon/dtls/connect.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/listener.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/reactor/make_reactor.h"
#include "cordon/net/task/frame_pool.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/testing/allocations/allocations.h"
#include "cordon/testing/certs/certs.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

constexpr size_t kBatch = 16;
constexpr int kWarmups = 200;
constexpr int kRounds = 2000;

net::Task<absl::Status> Echo(dtls::Connection connection) {
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  while (true) {
    absl::StatusOr<dtls::Message> message = co_await connection.RecvDecrypted();
    if (!message.ok()) co_return absl::OkStatus();
    CO_RETURN_IF_ERROR(co_await connection.SendEncrypted(message->bytes()));
  }
}

net::Task<absl::Status> Serve(dtls::Listener& listener) {
  absl::StatusOr<dtls::Connection> connection = co_await listener.Accept();
  if (!connection.ok()) co_return connection.status();
  co_return co_await Echo(*std::move(connection));
}

// Sends a batch, and takes as many messages back.
net::Task<absl::Status> Ask(
    dtls::Connection& client,
    const std::vector<absl::Span<const uint8_t>>& batch) {
  CO_RETURN_IF_ERROR(co_await client.SendBatch(batch));
  for (size_t i = 0; i < batch.size(); ++i) {
    absl::StatusOr<dtls::Message> message = co_await client.RecvDecrypted();
    if (!message.ok()) co_return message.status();
    if (message->size() != batch[i].size()) {
      co_return absl::InternalError("a message of another size came back");
    }
  }
  co_return absl::OkStatus();
}

net::Task<absl::Status> Play(net::Reactor& reactor, dtls::Context server,
                             dtls::Context client, size_t bytes,
                             uint64_t* allocations) {
  CO_ASSIGN_OR_RETURN(
      dtls::Listener listener,
      dtls::Listener::Bind(reactor, net::Endpoint::LoopbackV4(0), server));
  net::TaskScope scope;
  scope.Spawn(Serve(listener));
  CO_ASSIGN_OR_RETURN(dtls::Connection connection,
                      co_await dtls::Connect(reactor, listener.local_endpoint(),
                                             client, std::string("localhost")));
  CO_RETURN_IF_ERROR(co_await connection.Handshake());
  const std::vector<uint8_t> message(bytes, 0x5a);
  const std::vector<absl::Span<const uint8_t>> batch(kBatch, message);
  uint64_t before = 0;
  for (int round = 0; round < kWarmups + kRounds; ++round) {
    if (round == kWarmups) before = AllocationsSoFar();
    CO_RETURN_IF_ERROR(co_await Ask(connection, batch));
  }
  *allocations = AllocationsSoFar() - before;
  CO_RETURN_IF_ERROR(co_await connection.Close());
  co_return co_await scope.Join();
}

class DataPathAllocationTest : public ::testing::TestWithParam<net::Backend> {};

TEST_P(DataPathAllocationTest, EchoesAllocateNothing) {
  if (!net::FramePool::pools()) {
    GTEST_SKIP() << "coroutine frames come from the heap in this build";
  }
  const TestAuthority authority("Test CA");
  const dtls::Context server =
      dtls::Context::Server(
          {.certificates = {authority.Issue({.dns_names = {"localhost"}})}})
          .value();
  const dtls::Context client =
      dtls::Context::Client({.trust = authority.trust()}).value();
  for (const size_t bytes : {size_t{64}, size_t{1200}}) {
    absl::StatusOr<std::unique_ptr<net::Reactor>> reactor =
        net::MakeReactor({.backend = GetParam()});
    if (!reactor.ok()) GTEST_SKIP() << reactor.status();
    uint64_t allocations = 1;
    const absl::Status status =
        (*reactor)->Run(Play(**reactor, server, client, bytes, &allocations));
    ASSERT_EQ(status, absl::OkStatus());
    EXPECT_EQ(allocations, 0U) << bytes << " bytes";
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, DataPathAllocationTest,
                         ::testing::Values(net::Backend::kIoUring,
                                           net::Backend::kEpoll),
                         [](const auto& tested) {
                           return tested.param == net::Backend::kEpoll
                                      ? "epoll"
                                      : "io_uring";
                         });

}  // namespace
}  // namespace cordon::testing
