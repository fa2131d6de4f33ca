// Changes that somebody on the path can make to a datagram.
#ifndef CORDON_TESTING_FUZZ_TAMPER_H_
#define CORDON_TESTING_FUZZ_TAMPER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "cordon/testing/fuzz/input.h"

namespace cordon::testing {

// The records of a datagram (RFC 6347 section 4.1); what is no record comes
// last, as one piece.
std::vector<std::vector<uint8_t>> SplitRecords(absl::Span<const uint8_t> bytes);

// Makes one change, which `input` chooses: bytes, fields of record and message
// headers, the order and number of records, fragments. `other` is a datagram
// to take parts of.
void Tamper(Input& input, absl::Span<const uint8_t> other,
            std::vector<uint8_t>* datagram);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FUZZ_TAMPER_H_
