// ThreadSanitizer cannot see inside the distribution's absl::Mutex, which was
// built without it, and would report everything that such a mutex guards as a
// race. These stand before the library's functions, in programs that are built
// with the sanitizer only, and tell it what happens.
//
// Not covered: Await() and LockWhen(), whose conditions are evaluated by
// whichever thread unlocks.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/synchronization/mutex.h"

#define CORDON_QUOTE_(x) #x
#define CORDON_QUOTE(x) CORDON_QUOTE_(x)

namespace {

// The library's own function. `mangled` is its name below absl's namespace.
template <typename Result, typename... Arguments>
class Real {
 public:
  explicit Real(const char* mangled) {
    std::string name = "_ZN4absl";
#if ABSL_OPTION_USE_INLINE_NAMESPACE
    const std::string space = CORDON_QUOTE(ABSL_OPTION_INLINE_NAMESPACE_NAME);
    name += std::to_string(space.size()) + space;
#endif
    name += mangled;
    function_ = reinterpret_cast<Result (*)(Arguments...)>(
        dlsym(RTLD_NEXT, name.c_str()));
    if (function_ == nullptr) {
      std::fprintf(stderr, "mutex_tsan: Abseil has no %s\n", name.c_str());
      std::abort();
    }
  }

  Result operator()(Arguments... arguments) const {
    return function_(arguments...);
  }

 private:
  Result (*function_)(Arguments...);
};

}  // namespace

// Abseil keeps a table of the mutexes, to find deadlocks, under a lock that the
// sanitizer does not see either. The price: a race in code of ours that Abseil
// called is not reported.
extern "C" __attribute__((visibility("default"))) const char*
__tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:libabsl_\n";
}

namespace absl {
ABSL_NAMESPACE_BEGIN

Mutex::~Mutex() {
  static const Real<void, Mutex*> real("5MutexD1Ev");
  real(this);
  __tsan_mutex_destroy(this, 0);
}

void Mutex::Lock() {
  static const Real<void, Mutex*> real("5Mutex4LockEv");
  __tsan_mutex_pre_lock(this, 0);
  real(this);
  __tsan_mutex_post_lock(this, 0, 0);
}

void Mutex::Unlock() {
  static const Real<void, Mutex*> real("5Mutex6UnlockEv");
  __tsan_mutex_pre_unlock(this, 0);
  real(this);
  __tsan_mutex_post_unlock(this, 0);
}

bool Mutex::TryLock() {
  static const Real<bool, Mutex*> real("5Mutex7TryLockEv");
  __tsan_mutex_pre_lock(this, __tsan_mutex_try_lock);
  const bool locked = real(this);
  __tsan_mutex_post_lock(
      this,
      __tsan_mutex_try_lock | (locked ? 0u : __tsan_mutex_try_lock_failed), 0);
  return locked;
}

void Mutex::ReaderLock() {
  static const Real<void, Mutex*> real("5Mutex10ReaderLockEv");
  __tsan_mutex_pre_lock(this, __tsan_mutex_read_lock);
  real(this);
  __tsan_mutex_post_lock(this, __tsan_mutex_read_lock, 0);
}

void Mutex::ReaderUnlock() {
  static const Real<void, Mutex*> real("5Mutex12ReaderUnlockEv");
  __tsan_mutex_pre_unlock(this, __tsan_mutex_read_lock);
  real(this);
  __tsan_mutex_post_unlock(this, __tsan_mutex_read_lock);
}

// Waiting unlocks the mutex and locks it again, in functions of the library
// that are not stood before.
void CondVar::Wait(Mutex* mutex) {
  static const Real<void, CondVar*, Mutex*> real("7CondVar4WaitEPNS0_5MutexE");
  __tsan_mutex_pre_unlock(mutex, 0);
  __tsan_mutex_post_unlock(mutex, 0);
  real(this, mutex);
  __tsan_mutex_pre_lock(mutex, 0);
  __tsan_mutex_post_lock(mutex, 0, 0);
}

ABSL_NAMESPACE_END
}  // namespace absl

#endif
#endif
