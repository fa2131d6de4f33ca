// Everything in dtls/ that a coroutine can wait for, as scenarios to interrupt,
// for both roles.
#ifndef CORDON_TESTING_LIFE_SESSION_SCENARIOS_H_
#define CORDON_TESTING_LIFE_SESSION_SCENARIOS_H_

#include <vector>

#include "cordon/testing/life/sessions.h"

namespace cordon::testing {

const std::vector<SessionScenario>& SessionScenarios();

}  // namespace cordon::testing

#endif  // CORDON_TESTING_LIFE_SESSION_SCENARIOS_H_
