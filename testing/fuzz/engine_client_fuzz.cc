// A client's engine, and a stranger who sends what he likes.
//
// Input: which configuration, and a script (datagram_script.h).
#include <cstddef>
#include <cstdint>

#include "cordon/testing/fuzz/datagram_script.h"
#include "cordon/testing/fuzz/input.h"
#include "cordon/testing/fuzz/scenarios.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cordon::testing::Input input(data, size);
  const cordon::testing::Scenario& scenario =
      cordon::testing::GetScenario(input.Byte());
  cordon::testing::PlayToEngine(input, scenario.client_context, scenario.client,
                                scenario.max_datagram);
  return 0;
}
