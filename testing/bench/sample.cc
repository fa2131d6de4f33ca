#include "cordon/testing/bench/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace cordon::bench {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// The number that follows `"name":`, or `otherwise`.
double Number(absl::string_view json, absl::string_view name,
              double otherwise) {
  const std::string key = absl::StrCat("\"", name, "\":");
  const size_t at = json.find(key);
  if (at == absl::string_view::npos) return otherwise;
  json.remove_prefix(at + key.size());
  double value = 0;
  return absl::SimpleAtod(json.substr(0, json.find_first_of(",}")), &value)
             ? value
             : otherwise;
}

const std::vector<Sample>& SamplesOf(const Samples& samples,
                                     const std::string& server,
                                     const std::string& load) {
  static const std::vector<Sample>* const none = new std::vector<Sample>();
  const auto by_server = samples.find(server);
  if (by_server == samples.end()) return *none;
  const auto by_load = by_server->second.find(load);
  return by_load == by_server->second.end() ? *none : by_load->second;
}

}  // namespace

absl::StatusOr<Sample> ParseSample(absl::string_view json) {
  const double operations = Number(json, "operations", 0);
  // The server's usage comes before the generator's.
  const size_t usage = json.find("\"server_usage\":");
  if (operations <= 0 || usage == absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("this is no measurement of a server: ", json));
  }
  Sample sample;
  sample.cpu_us = Number(json.substr(usage), "cpu_us_per_operation", kNone);
  sample.per_second = Number(json, "per_second", kNone);
  sample.p99_us = Number(json, "p99", kNone);
  sample.bytes = Number(json, "bytes_per_session", kNone);
  sample.lost = Number(json, "lost", 0) / operations;
  sample.resident = Number(json.substr(usage), "resident_bytes", kNone);
  return sample;
}

double MedianOf(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty()) return kNone;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  if (values.size() % 2 == 1) return values[middle];
  return (values[middle - 1] + values[middle]) / 2;
}

double Median(const Samples& samples, const std::string& server,
              const std::string& load, const Figure& figure) {
  std::vector<double> values;
  for (const Sample& sample : SamplesOf(samples, server, load)) {
    values.push_back(figure(sample));
  }
  return MedianOf(std::move(values));
}

double MedianRatio(const Samples& samples, const std::string& server,
                   const std::string& load,
                   const std::vector<std::string>& others,
                   const std::string& load_of_others, const Figure& figure) {
  const std::vector<Sample>& ours = SamplesOf(samples, server, load);
  std::vector<double> ratios;
  for (size_t round = 0; round < ours.size(); ++round) {
    double best = std::numeric_limits<double>::infinity();
    for (const std::string& other : others) {
      const std::vector<Sample>& theirs =
          SamplesOf(samples, other, load_of_others);
      if (round < theirs.size()) best = std::min(best, figure(theirs[round]));
    }
    if (std::isfinite(best)) ratios.push_back(figure(ours[round]) / best);
  }
  return MedianOf(std::move(ratios));
}

}  // namespace cordon::bench
