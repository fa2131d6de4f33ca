// Figures of one run of the load generator, and what is made of many.
#ifndef CORDON_TESTING_BENCH_SAMPLE_H_
#define CORDON_TESTING_BENCH_SAMPLE_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cordon::bench {

// Figures that could not be measured are NaN.
struct Sample {
  double cpu_us = 0;      // of the server, for each operation
  double per_second = 0;  // operations
  double p99_us = 0;
  double bytes = 0;  // of memory, for each session
  double lost = 0;   // for each operation
  // The server's whole resident set, in bytes.
  double resident = 0;
};

// From what `bench --json` has printed. kInvalidArgument: it is something else.
absl::StatusOr<Sample> ParseSample(absl::string_view json);

// By server and load; each list has one sample for each round, in their order.
using Samples =
    std::map<std::string, std::map<std::string, std::vector<Sample>>>;

// Leaves out what is NaN; NaN if nothing is left.
double MedianOf(std::vector<double> values);

// What one figure of a sample is: `[](const Sample& s) { return s.cpu_us; }`.
using Figure = std::function<double(const Sample&)>;

// NaN if there are none.
double Median(const Samples& samples, const std::string& server,
              const std::string& load, const Figure& figure);

// In each round the figure of `server` is divided by the best, which is the
// smallest, of `others`; the median of that.
double MedianRatio(const Samples& samples, const std::string& server,
                   const std::string& load,
                   const std::vector<std::string>& others,
                   const std::string& load_of_others, const Figure& figure);

}  // namespace cordon::bench

#endif  // CORDON_TESTING_BENCH_SAMPLE_H_
