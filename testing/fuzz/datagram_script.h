// What a stranger sends to an engine, as a fuzzer writes it: datagrams, and the
// time between them.
//
// Input: 0 and a counted datagram; 1 and milliseconds, of two bytes; 2: the
// engine's deadline comes. Other numbers mean the same as their remainder.
#ifndef CORDON_TESTING_FUZZ_DATAGRAM_SCRIPT_H_
#define CORDON_TESTING_FUZZ_DATAGRAM_SCRIPT_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/engine.h"
#include "cordon/testing/fuzz/input.h"

namespace cordon::testing {

// Plays the script to a new engine. Whoever writes a script has no keys:
// nothing is ever delivered, and no session comes about.
void PlayToEngine(Input& input, const dtls::Context& context,
                  const dtls::EngineOptions& options, size_t max_datagram);

// The script that sends these.
std::vector<uint8_t> WriteScript(
    absl::Span<const std::vector<uint8_t>> datagrams);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FUZZ_DATAGRAM_SCRIPT_H_
