// What our public headers let a coroutine wait for.
#ifndef CORDON_TESTING_LIFE_AWAITABLES_H_
#define CORDON_TESTING_LIFE_AWAITABLES_H_

#include <set>
#include <string>

#include "absl/strings/string_view.h"

namespace cordon::testing {

// The functions that `header` declares to return a `Task`, the function types
// that do, and the classes that are awaiters: "Connect", "Connection::Close",
// "VerifyPeer", "WaitQueue::Waiter". What is private does not count, nor what
// overrides something; what stands in a namespace `internal` does.
std::set<std::string> AwaitablesOf(absl::string_view header);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_LIFE_AWAITABLES_H_
