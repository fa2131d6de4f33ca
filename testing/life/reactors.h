// The reactors that lives are lived on.
#ifndef CORDON_TESTING_LIFE_REACTORS_H_
#define CORDON_TESTING_LIFE_REACTORS_H_

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "cordon/net/reactor/reactor.h"

namespace cordon::testing {

struct ReactorKind {
  std::string name;
  // Fails the test and yields null if the kernel does not let us.
  std::unique_ptr<net::Reactor> (*make)();
  bool simulated = false;

  friend void PrintTo(const ReactorKind& kind, std::ostream* out) {
    *out << kind.name;
  }
};

const std::vector<ReactorKind>& ReactorKinds();

}  // namespace cordon::testing

#endif  // CORDON_TESTING_LIFE_REACTORS_H_
