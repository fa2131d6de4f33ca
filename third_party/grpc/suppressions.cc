// What the sanitizers report of the distribution's gRPC, which was built
// without them, and what is not to be reported. Linked into every program that
// has gRPC; empty without a sanitizer.
#if defined(__has_feature)

#if __has_feature(address_sanitizer)
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  // The resolver that gRPC uses never frees the configuration that it reads.
  return "leak:libcares.so\n";
}
#endif

#if __has_feature(thread_sanitizer)
// ThreadSanitizer does not see the atomic operations by which these libraries
// order what they do, only what they do through functions that it stands before
// (memcpy, free, system calls). Memory that such a function touches is not
// looked at when one of these libraries itself is the caller. What they call of
// ours is checked as ever: a "race:libgrpc" would not do, since it would be for
// everything that runs in a handler, too.
extern "C" const char* cordon_grpc_tsan_suppressions();
extern "C" const char* cordon_grpc_tsan_suppressions() {
  return
      // See third_party/absl/mutex_tsan.cc.
      "race:libabsl_\n"
      "called_from_lib:libgrpc.so\n"
      "called_from_lib:libgrpc++.so\n"
      "called_from_lib:libgrpc++_reflection.so\n"
      "called_from_lib:libgpr.so\n"
      "called_from_lib:libupb.so\n"
      // TLS of gRPC's connections.
      "called_from_lib:libssl.so\n"
      "called_from_lib:libcrypto.so\n"
      // gRPC's headers are compiled into our code, and hand their own objects
      // to the library and get them back: accesses by their own code, and the
      // serialisation of messages. What handlers and reactors themselves do is
      // not under these.
      "race_top:/grpcpp/\n"
      // The same where these headers keep a callback in a std::function, and
      // the library calls it on another thread. The price: what the header of
      // std::function itself reads and writes is not checked anywhere.
      "race_top:/bits/std_function.h\n"
      "race:grpc::internal::CallOpSet<\n"
      "race:::Deserialize(grpc_call\n"
      // What the end of a call is set up with before the library has it.
      "race:Impl::Finish(grpc::Status)\n"
      // The library makes a call's own object on one thread and runs its first
      // callback on another.
      "race:ServerCallbackUnaryImpl::ServerCallbackUnaryImpl\n"
      "race:ServerCallbackWriterImpl::ServerCallbackWriterImpl\n"
      // An alarm's callback is freed by whoever lets go of it last, its owner
      // or the thread that called it: by a count, likewise.
      "race:grpc::Alarm::~Alarm\n"
      // A call's reactor comes to its end (OnDone, mostly `delete this`) after
      // all else that it did: by a count that is not seen when the library is
      // the last that lowers it. The price: what OnDone does is not checked.
      "race:Impl::CallOnDone\n";
}
#endif

#endif
