// What ThreadSanitizer cannot know of gRPC, because Debian's library is not
// built with it.

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)

extern "C" const char* __tsan_default_suppressions();

// An alarm's callback and its owner each hold a reference, and whoever drops
// the last one frees the callback: the count is an atomic within the library,
// so that the order which it makes is not seen.
extern "C" const char* __tsan_default_suppressions() {
  return "race:grpc::Alarm::~Alarm\n";
}

#endif
#endif
