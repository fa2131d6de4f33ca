#include "cordon/testing/life/net_scenarios.h"

#include <array>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/net/task/status_macros.h"
#include "cordon/net/task/task_scope.h"
#include "cordon/net/task/timeout.h"
#include "cordon/net/task/when_all.h"

namespace cordon::testing {
namespace {

using net::Task;

constexpr absl::Duration kWhile = absl::Milliseconds(10);
constexpr std::array<uint8_t, 3> kBytes = {1, 2, 3};

// Lives in a coroutine's frame.
class Alive {
 public:
  explicit Alive(NetWorld& world) : world_(world) { ++world_.alive; }
  Alive(const Alive&) = delete;
  Alive& operator=(const Alive&) = delete;
  ~Alive() { --world_.alive; }

 private:
  NetWorld& world_;
};

Task<absl::Status> SleepAWhile(NetWorld& world) {
  const Alive alive(world);
  co_return co_await net::SleepFor(kWhile);
}

Task<absl::Status> SleepUntilThen(NetWorld& world) {
  const Alive alive(world);
  co_return co_await net::SleepUntil(world.reactor.Now() + kWhile);
}

Task<absl::Status> YieldAgainAndAgain(NetWorld& world) {
  const Alive alive(world);
  const net::StopToken stop = co_await net::CurrentStopToken();
  for (int i = 0; i < 3; ++i) {
    co_await net::Yield();
    CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(1)));
    if (stop.stop_requested()) co_return net::StoppedStatus("yielding");
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Nest(NetWorld& world, int depth) {
  const Alive alive(world);
  if (depth == 0) co_return co_await SleepAWhile(world);
  co_return co_await Nest(world, depth - 1);
}
Task<absl::Status> NestDeeply(NetWorld& world) { return Nest(world, 20); }

Task<absl::Status> FillChannel(NetWorld& world) {
  co_return co_await world.channel->Send(1);
}
Task<absl::Status> SendToChannel(NetWorld& world) {
  const Alive alive(world);
  co_return co_await world.channel->Send(2);
}
Task<absl::Status> TakeFromChannel(NetWorld& world) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  world.channel->TryRecv();
  co_return co_await net::SleepFor(kWhile);
}
absl::Status CheckSent(NetWorld& world, const Outcome& outcome) {
  const std::optional<int> value = world.channel->TryRecv();
  return value.has_value() == outcome.done()
             ? absl::OkStatus()
             : absl::DataLossError("sent, or not sent, against what it said");
}

Task<absl::Status> RecvFromChannel(NetWorld& world) {
  const Alive alive(world);
  CO_ASSIGN_OR_RETURN(const int value, co_await world.channel->Recv());
  co_return value == 7 ? absl::OkStatus() : absl::DataLossError("another");
}
Task<absl::Status> RecvToo(NetWorld& world) {
  absl::StatusOr<int> value = co_await world.channel->Recv();
  if (value.ok()) world.received.push_back(*value);
  co_return absl::OkStatus();
}
// Another one waits, too, later than the one that is interrupted.
Task<absl::Status> SendOneForTwo(NetWorld& world) {
  net::TaskScope scope;
  scope.Spawn(RecvToo(world));
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  CO_RETURN_IF_ERROR(co_await world.channel->Send(7));
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  world.channel->Close();
  co_return co_await scope.Join();
}
absl::Status CheckReceivedOnce(NetWorld& world, const Outcome& outcome) {
  const size_t times = world.received.size() + (outcome.done() ? 1 : 0);
  return times == 1 ? absl::OkStatus()
                    : absl::DataLossError(absl::StrCat(
                          "the value was received ", times, " times"));
}

Task<absl::Status> AwaitEvent(NetWorld& world) {
  const Alive alive(world);
  co_return co_await world.event->Wait();
}
Task<absl::Status> SetEvent(NetWorld& world) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  world.event->Set();
  co_return absl::OkStatus();
}

Task<absl::Status> WaitInQueue(NetWorld& world) {
  const Alive alive(world);
  const net::Wakeup wakeup = co_await world.queue->Wait();
  co_return wakeup.status("waiting");
}
Task<absl::Status> WaitUnstoppably(NetWorld& world) {
  const Alive alive(world);
  const net::Wakeup wakeup = co_await world.queue->WaitUnstoppably();
  co_return wakeup.status("waiting");
}
Task<absl::Status> WaitToo(NetWorld& world) {
  const bool woken = co_await world.queue->Wait();
  if (woken) world.received.push_back(1);
  co_return absl::OkStatus();
}
Task<absl::Status> WakeOneOfTwo(NetWorld& world) {
  net::TaskScope scope;
  scope.Spawn(WaitToo(world));
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  world.queue->WakeOne();
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  scope.RequestStop();
  co_return co_await scope.Join();
}
Task<absl::Status> WakeAll(NetWorld& world) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  world.queue->WakeAll();
  co_return absl::OkStatus();
}

Task<absl::Status> JoinTwo(NetWorld& world) {
  const Alive alive(world);
  net::TaskScope scope;
  scope.Spawn(SleepAWhile(world));
  scope.Spawn(Nest(world, 2));
  CO_RETURN_IF_ERROR(co_await scope.Join());
  const net::StopToken stop = co_await net::CurrentStopToken();
  co_return stop.stop_requested() ? net::StoppedStatus("joining")
                                  : absl::OkStatus();
}

// A scope that is not the task's own.
Task<absl::Status> FillScope(NetWorld& world) {
  world.scope.emplace();
  world.scope->Spawn(world.event->Wait());
  co_return absl::OkStatus();
}
Task<absl::Status> JoinAnother(NetWorld& world) {
  const Alive alive(world);
  CO_RETURN_IF_ERROR(co_await world.scope->Join());
  const net::StopToken stop = co_await net::CurrentStopToken();
  co_return stop.stop_requested() ? net::StoppedStatus("joining")
                                  : absl::OkStatus();
}

void CloseChannel(NetWorld& world) { world.channel->Close(); }
void DestroyChannel(NetWorld& world) { world.channel.reset(); }
void DestroyEvent(NetWorld& world) { world.event.reset(); }
void DestroyQueue(NetWorld& world) { world.queue.reset(); }
void DestroyScope(NetWorld& world) { world.scope.reset(); }

Task<absl::Status> AwaitAll(NetWorld& world) {
  const Alive alive(world);
  auto [a, b] = co_await net::WhenAll(SleepAWhile(world), Nest(world, 2));
  if (!a.ok()) co_return a;
  co_return b;
}
Task<absl::Status> AwaitAllOfMany(NetWorld& world) {
  const Alive alive(world);
  constexpr int kTasks = 5;
  std::vector<Task<absl::Status>> tasks;
  tasks.reserve(kTasks);
  for (int i = 0; i < kTasks; ++i) tasks.push_back(Nest(world, i));
  const std::vector<absl::Status> all = co_await net::WhenAll(std::move(tasks));
  for (const absl::Status& status : all) CO_RETURN_IF_ERROR(status);
  co_return absl::OkStatus();
}
Task<absl::Status> SleepForHours(NetWorld& world) {
  const Alive alive(world);
  co_return co_await net::SleepFor(absl::Hours(10));
}
Task<absl::Status> AwaitAny(NetWorld& world) {
  const Alive alive(world);
  auto any = co_await net::WhenAny(SleepForHours(world), Nest(world, 1));
  co_return std::get<1>(any.results);
}
// Of things that may be destroyed meanwhile.
Task<absl::Status> AwaitAllOfThem(NetWorld& world) {
  const Alive alive(world);
  auto [a, b] = co_await net::WhenAll(world.event->Wait(), SleepAWhile(world));
  if (!a.ok()) co_return a;
  co_return b;
}
Task<absl::Status> AwaitAllInAVector(NetWorld& world) {
  const Alive alive(world);
  std::vector<Task<absl::Status>> tasks;
  tasks.push_back(world.event->Wait());
  tasks.push_back(world.event->Wait());
  const std::vector<absl::Status> all = co_await net::WhenAll(std::move(tasks));
  for (const absl::Status& status : all) CO_RETURN_IF_ERROR(status);
  co_return absl::OkStatus();
}
Task<absl::Status> AwaitAnyOfThem(NetWorld& world) {
  const Alive alive(world);
  auto any = co_await net::WhenAny(world.event->Wait(), SleepForHours(world));
  co_return std::get<0>(any.results);
}
Task<absl::Status> AwaitEventWithTimeout(NetWorld& world) {
  const Alive alive(world);
  co_return co_await net::WithTimeout(absl::Hours(10), world.event->Wait());
}
Task<absl::Status> AwaitWithTimeout(NetWorld& world) {
  const Alive alive(world);
  const absl::Status status =
      co_await net::WithTimeout(kWhile, SleepForHours(world));
  co_return absl::IsDeadlineExceeded(status) ? absl::OkStatus() : status;
}

Task<absl::Status> OpenSockets(NetWorld& world) {
  net::DatagramSocketOptions options;
  options.bind = net::Endpoint::LoopbackV4(0);
  CO_ASSIGN_OR_RETURN(world.near, net::UdpSocket::Open(world.reactor, options));
  CO_ASSIGN_OR_RETURN(world.far, net::UdpSocket::Open(world.reactor, options));
  CO_ASSIGN_OR_RETURN(world.socket, world.reactor.OpenSocket(options));
  world.socket->StartReceiving(world.ignorer);
  // Now the kernel works for them.
  co_return co_await net::SleepFor(kWhile);
}
Task<absl::Status> RecvDatagram(NetWorld& world) {
  const Alive alive(world);
  CO_ASSIGN_OR_RETURN(net::UdpSocket::Packet packet,
                      co_await world.near->Recv());
  co_return packet.payload.size() == kBytes.size()
      ? absl::OkStatus()
      : absl::DataLossError("another datagram");
}
// And takes it, if it is still there a while later.
Task<absl::Status> SendDatagram(NetWorld& world) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  net::Path path(world.near->local_endpoint());
  CO_RETURN_IF_ERROR(co_await world.far->Send(path, kBytes));
  CO_RETURN_IF_ERROR(co_await net::SleepFor(2 * kWhile));
  absl::StatusOr<net::UdpSocket::Packet> left =
      co_await net::WithTimeout(kWhile, world.near->Recv());
  if (left.ok()) world.received.push_back(1);
  co_return absl::OkStatus();
}
Task<absl::Status> SendDatagrams(NetWorld& world) {
  const Alive alive(world);
  net::Path path(world.far->local_endpoint());
  for (int i = 0; i < 3; ++i) {
    CO_RETURN_IF_ERROR(co_await world.near->Send(path, kBytes));
    CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(1)));
  }
  co_return absl::OkStatus();
}
Task<absl::Status> CloseUdpSocket(NetWorld& world) {
  const Alive alive(world);
  net::Path path(world.far->local_endpoint());
  CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(1)));
  CO_RETURN_IF_ERROR(co_await world.near->Send(path, kBytes));
  co_return co_await world.near->Close();
}
Task<absl::Status> CloseSocket(NetWorld& world) {
  const Alive alive(world);
  CO_RETURN_IF_ERROR(co_await net::SleepFor(absl::Milliseconds(1)));
  co_return co_await world.socket->Close();
}
// Closing again, after whatever happened to the first time, frees the port.
Task<absl::Status> Rebind(NetWorld& world) {
  CO_RETURN_IF_ERROR(co_await net::SleepFor(kWhile));
  const net::Endpoint first = world.near->local_endpoint();
  const net::Endpoint second = world.socket->local_endpoint();
  CO_RETURN_IF_ERROR(co_await world.near->Close());
  CO_RETURN_IF_ERROR(co_await world.socket->Close());
  for (const net::Endpoint& at : {first, second}) {
    net::DatagramSocketOptions options;
    options.bind = at;
    absl::StatusOr<net::UdpSocket> again =
        net::UdpSocket::Open(world.reactor, options);
    CO_RETURN_IF_ERROR(again.status());
  }
  co_return absl::OkStatus();
}

}  // namespace

const std::vector<NetScenario>& NetScenarios() {
  static const auto* const scenarios = new std::vector<NetScenario>{
      {.name = "SleepFor", .covers = {"Sleep"}, .act = SleepAWhile},
      {.name = "SleepUntil", .covers = {"Sleep"}, .act = SleepUntilThen},
      {.name = "Yield",
       .covers = {"YieldAwaiter", "StopTokenAwaiter"},
       .act = YieldAgainAndAgain},
      {.name = "Nested", .covers = {"Task::Awaiter"}, .act = NestDeeply},
      {.name = "ChannelSend",
       .covers = {"Channel::Send"},
       .prepare = FillChannel,
       .act = SendToChannel,
       .beside = TakeFromChannel,
       .close = CloseChannel,
       .destroy = DestroyChannel,
       .check = CheckSent},
      {.name = "ChannelRecv",
       .covers = {"Channel::Recv"},
       .act = RecvFromChannel,
       .beside = SendOneForTwo,
       .close = CloseChannel,
       .destroy = DestroyChannel,
       .check = CheckReceivedOnce},
      {.name = "EventWait",
       .covers = {"Event::Wait"},
       .act = AwaitEvent,
       .beside = SetEvent,
       .destroy = DestroyEvent},
      {.name = "WaitQueue",
       .covers = {"WaitQueue::Waiter"},
       .act = WaitInQueue,
       .beside = WakeOneOfTwo,
       .destroy = DestroyQueue,
       .check = CheckReceivedOnce},
      {.name = "WaitUnstoppably",
       .covers = {"WaitQueue::Waiter"},
       .act = WaitUnstoppably,
       .beside = WakeAll,
       .destroy = DestroyQueue},
      {.name = "Join", .covers = {"TaskScope::Join"}, .act = JoinTwo},
      {.name = "JoinAnother",
       .covers = {"TaskScope::Join"},
       .prepare = FillScope,
       .act = JoinAnother,
       .beside = SetEvent,
       .destroy = DestroyScope},
      {.name = "WhenAll", .covers = {"GatherTuple"}, .act = AwaitAll},
      {.name = "WhenAllOfEvents",
       .covers = {"GatherTuple"},
       .act = AwaitAllOfThem,
       .beside = SetEvent,
       .destroy = DestroyEvent},
      {.name = "WhenAllInAVector",
       .covers = {"GatherVector"},
       .act = AwaitAllInAVector,
       .beside = SetEvent,
       .destroy = DestroyEvent},
      {.name = "WhenAnyOfEvents",
       .covers = {"GatherTuple"},
       .act = AwaitAnyOfThem,
       .beside = SetEvent,
       .destroy = DestroyEvent},
      {.name = "EventWithTimeout",
       .covers = {"TimeoutAwaiter"},
       .act = AwaitEventWithTimeout,
       .beside = SetEvent,
       .destroy = DestroyEvent},
      {.name = "WhenAllOfMany",
       .covers = {"GatherVector"},
       .act = AwaitAllOfMany},
      {.name = "WhenAny", .covers = {"GatherTuple"}, .act = AwaitAny},
      {.name = "WithTimeout",
       .covers = {"TimeoutAwaiter"},
       .act = AwaitWithTimeout},
      {.name = "UdpRecv",
       .covers = {"UdpSocket::Recv"},
       .prepare = OpenSockets,
       .act = RecvDatagram,
       .beside = SendDatagram,
       .check = CheckReceivedOnce},
      {.name = "UdpSend",
       .covers = {"UdpSocket::Send"},
       .prepare = OpenSockets,
       .act = SendDatagrams},
      {.name = "UdpClose",
       .covers = {"UdpSocket::Close"},
       .prepare = OpenSockets,
       .act = CloseUdpSocket,
       .beside = Rebind},
      {.name = "SocketClose",
       .covers = {"DatagramSocket::Close"},
       .prepare = OpenSockets,
       .act = CloseSocket,
       .beside = Rebind},
  };
  return *scenarios;
}

}  // namespace cordon::testing
