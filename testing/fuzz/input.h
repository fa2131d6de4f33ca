// What a fuzzer gives to a target, read piece by piece, and what a target
// insists on.
//
//   extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
//     Input input(data, size);
//     const uint8_t version = input.Byte();
//     Require(Parses(input.Rest()), "what is printed can be read");
//     return 0;
//   }
#ifndef CORDON_TESTING_FUZZ_INPUT_H_
#define CORDON_TESTING_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cordon::testing {

// Behind the end there are zeros, so that each input means something.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_(data, size) {}

  bool empty() const { return left_.empty(); }
  uint8_t Byte();
  // Two bytes, the higher first.
  uint16_t Word();
  // From 0 to `limit` - 1, of one or two bytes; 0 if there is no such number.
  size_t Below(size_t limit);
  // So many bytes, or those that are left.
  absl::Span<const uint8_t> Take(size_t size);
  // Bytes after a word that says how many they are.
  absl::Span<const uint8_t> Counted() { return Take(Word()); }
  std::string Text(size_t size);
  absl::Span<const uint8_t> Rest() { return Take(left_.size()); }
  std::string RestAsText() { return Text(left_.size()); }

 private:
  absl::Span<const uint8_t> left_;
};

// Ends the program, so that the fuzzer keeps the input, unless `holds`.
void Require(bool holds, absl::string_view what);

// Bytes of the heap that are in use. Under a sanitizer and without one.
size_t HeldBytes();

}  // namespace cordon::testing

#endif  // CORDON_TESTING_FUZZ_INPUT_H_
