#include "cordon/net/task/task.h"

#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <typeinfo>

namespace cordon::net {

void DieOfEscapedException() {
  const char* what = "";
  const std::type_info* type = abi::__cxa_current_exception_type();
  char* demangled = type == nullptr ? nullptr
                                    : abi::__cxa_demangle(type->name(), nullptr,
                                                          nullptr, nullptr);
  try {
    throw;
  } catch (const std::exception& e) {
    what = e.what();
    std::fprintf(stderr, "cordon: an exception escaped a coroutine: %s: %s\n",
                 demangled == nullptr ? "std::exception" : demangled, what);
  } catch (...) {
    std::fprintf(stderr, "cordon: an exception escaped a coroutine: %s\n",
                 demangled == nullptr ? "of unknown type" : demangled);
  }
  std::abort();
}

}  // namespace cordon::net
