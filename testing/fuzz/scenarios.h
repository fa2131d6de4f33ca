// The configurations of two engines that targets choose from.
#ifndef CORDON_TESTING_FUZZ_SCENARIOS_H_
#define CORDON_TESTING_FUZZ_SCENARIOS_H_

#include <cstddef>
#include <string>

#include "cordon/dtls/context.h"
#include "cordon/dtls/engine.h"

namespace cordon::testing {

struct Scenario {
  dtls::Context server_context;
  dtls::Context client_context;
  dtls::EngineOptions server = {};
  dtls::EngineOptions client = {};
  // Of the largest datagram of the handshake.
  size_t max_datagram = 0;
  // What is negotiated where nobody interferes.
  std::string cipher = {};
};

// Certificates of the server alone and of both, a pre-shared key that is known
// or looked up, a session that is resumed, small packets, an application that
// gives verdicts, a server that is not trusted.
inline constexpr size_t kScenarios = 8;
// Those of them that a handshake does not pass without a decision.
bool NeedsDecision(size_t which);

// Made once.
const Scenario& GetScenario(size_t which);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FUZZ_SCENARIOS_H_
