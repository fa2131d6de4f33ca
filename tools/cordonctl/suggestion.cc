#include "cordon/tools/cordonctl/suggestion.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/match.h"

namespace cordon::tools::ctl {
namespace {

// How many characters must be inserted, removed, replaced or swapped with the
// next one (Damerau and Levenshtein, restricted).
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<size_t>> distance(a.size() + 1,
                                            std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) distance[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) distance[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      distance[i][j] =
          std::min({distance[i - 1][j] + 1, distance[i][j - 1] + 1,
                    distance[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        distance[i][j] = std::min(distance[i][j], distance[i - 2][j - 2] + 1);
      }
    }
  }
  return distance[a.size()][b.size()];
}

}  // namespace

std::string Nearest(absl::string_view typed,
                    const std::vector<std::string>& known) {
  // Nothing of ours is that long.
  if (typed.empty() || typed.size() > 64) return "";
  std::string nearest;
  size_t least = 1 + std::max<size_t>(1, typed.size() / 3);
  for (const std::string& one : known) {
    // What was only begun is near, too.
    const size_t distance = absl::StartsWith(one, typed) && typed.size() > 1
                                ? 1
                                : Distance(typed, one);
    if (distance < least) {
      least = distance;
      nearest = one;
    }
  }
  return nearest;
}

}  // namespace cordon::tools::ctl
