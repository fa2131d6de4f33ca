// ThreadSanitizer cannot see inside the distribution's absl::Mutex, which was
// built without it, and would report everything that such a mutex guards as a
// race. These stand before the library's functions, in programs that are built
// with the sanitizer only, and tell it what happens. The distribution's other
// libraries use them, too: what gRPC hands from one thread to another under a
// mutex of its own is handed over in the sanitizer's eyes as well.
//
// Not covered: what the conditions of Await() and LockWhen() read, since they
// are evaluated by whichever thread unlocks.
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

extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);
extern "C" void AnnotateIgnoreWritesBegin(const char* file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char* file, int line);

namespace {

// A program that needs nothing of the library but what stands here would be
// linked without it.
__attribute__((used)) auto* const kNeedsLibrary = &absl::RegisterMutexProfiler;

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

// Where the program itself is; the libraries that have no sanitizer are not.
extern "C" const char __executable_start;
extern "C" const char etext;

bool IsOurs(const void* caller) {
  return caller >= &__executable_start && caller < &etext;
}

// Who does something with a mutex. If it is a library: whether the mutex is
// still there for it is decided by counts that are not seen, and in which order
// it takes its mutexes is not examined.
class Caller {
 public:
  explicit Caller(const void* address) : ours_(IsOurs(address)) {
    if (ours_) return;
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Caller() {
    if (ours_) return;
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }

  unsigned lock_flag() const { return ours_ ? 0 : __tsan_mutex_try_lock; }

 private:
  const bool ours_;
};

}  // namespace

// There is, in programs that are linked with gRPC: what follows, and more.
extern "C" __attribute__((weak)) const char* cordon_grpc_tsan_suppressions();

// Abseil keeps a table of the mutexes, to find deadlocks, under a lock that the
// sanitizer does not see either. The price: a race in code of ours that Abseil
// called is not reported.
//
// Called before the sanitizer has begun, hence not instrumented.
extern "C" __attribute__((visibility("default"))) const char*
__tsan_default_suppressions();
extern "C" __attribute__((disable_sanitizer_instrumentation)) const char*
__tsan_default_suppressions() {
  return cordon_grpc_tsan_suppressions != nullptr
             ? cordon_grpc_tsan_suppressions()
             : "race:libabsl_\n";
}

namespace absl {
ABSL_NAMESPACE_BEGIN

Mutex::~Mutex() {
  static const Real<void, Mutex*> real("5MutexD1Ev");
  real(this);
  const Caller caller(__builtin_return_address(0));
  __tsan_mutex_destroy(this, 0);
}

void Mutex::Lock() {
  static const Real<void, Mutex*> real("5Mutex4LockEv");
  const Caller caller(__builtin_return_address(0));
  __tsan_mutex_pre_lock(this, caller.lock_flag());
  real(this);
  __tsan_mutex_post_lock(this, caller.lock_flag(), 0);
}

void Mutex::Unlock() {
  static const Real<void, Mutex*> real("5Mutex6UnlockEv");
  const Caller caller(__builtin_return_address(0));
  __tsan_mutex_pre_unlock(this, 0);
  real(this);
  __tsan_mutex_post_unlock(this, 0);
}

bool Mutex::TryLock() {
  static const Real<bool, Mutex*> real("5Mutex7TryLockEv");
  const Caller caller(__builtin_return_address(0));
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

void Mutex::LockWhen(const Condition& condition) {
  static const Real<void, Mutex*, const Condition&> real(
      "5Mutex8LockWhenERKNS0_9ConditionE");
  __tsan_mutex_pre_lock(this, 0);
  real(this, condition);
  __tsan_mutex_post_lock(this, 0, 0);
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  static const Real<bool, Mutex*, const Condition&, Time> real(
      "5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE");
  __tsan_mutex_pre_lock(this, 0);
  const bool holds = real(this, condition, deadline);
  __tsan_mutex_post_lock(this, 0, 0);
  return holds;
}

// Waiting unlocks the mutex and locks it again, in functions of the library
// that are not stood before. Those with a time-out call those with a deadline.
namespace {

class Waiting {
 public:
  Waiting(Mutex* mutex, const void* caller) : mutex_(mutex), caller_(caller) {
    __tsan_mutex_pre_unlock(mutex_, 0);
    __tsan_mutex_post_unlock(mutex_, 0);
  }
  ~Waiting() {
    __tsan_mutex_pre_lock(mutex_, caller_.lock_flag());
    __tsan_mutex_post_lock(mutex_, caller_.lock_flag(), 0);
  }

 private:
  Mutex* const mutex_;
  const Caller caller_;
};

}  // namespace

void Mutex::Await(const Condition& condition) {
  static const Real<void, Mutex*, const Condition&> real(
      "5Mutex5AwaitERKNS0_9ConditionE");
  const Waiting waiting(this, __builtin_return_address(0));
  real(this, condition);
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  static const Real<bool, Mutex*, const Condition&, Time> real(
      "5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE");
  const Waiting waiting(this, __builtin_return_address(0));
  return real(this, condition, deadline);
}

void CondVar::Wait(Mutex* mutex) {
  static const Real<void, CondVar*, Mutex*> real("7CondVar4WaitEPNS0_5MutexE");
  const Waiting waiting(mutex, __builtin_return_address(0));
  real(this, mutex);
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static const Real<bool, CondVar*, Mutex*, Time> real(
      "7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
  const Waiting waiting(mutex, __builtin_return_address(0));
  return real(this, mutex, deadline);
}

ABSL_NAMESPACE_END
}  // namespace absl

#endif
#endif
