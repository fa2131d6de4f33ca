// Brings an engine close to what takes years otherwise: the limits of its keys.
#ifndef CORDON_TESTING_ENGINE_INSPECTOR_ENGINE_INSPECTOR_H_
#define CORDON_TESTING_ENGINE_INSPECTOR_ENGINE_INSPECTOR_H_

#include <cstdint>

#include "cordon/dtls/engine.h"
#include "cordon/dtls/internal/boringssl_seam.h"
#include "cordon/dtls/internal/key_usage.h"

namespace cordon::dtls {

// The engine's friend, which is why it is in this namespace.
class EngineInspector {
 public:
  // After the handshake: how much `engine` may seal from now on.
  static void LimitSealing(Engine& engine,
                           const internal::SealingLimit& limit) {
    engine.usage_.LimitSealing(limit);
  }
  // How many records may fail to open from now on.
  static void LimitFailures(Engine& engine, uint64_t records) {
    engine.usage_.LimitFailures(records);
  }
  static const internal::KeyUsage& KeyUsageOf(const Engine& engine) {
    return engine.usage_;
  }
  // The next record that `engine` sends has this number.
  static void SkipToRecord(Engine& engine, uint64_t sequence) {
    internal::SkipToRecord(engine.ssl_.get(), sequence);
  }
};

}  // namespace cordon::dtls

#endif  // CORDON_TESTING_ENGINE_INSPECTOR_ENGINE_INSPECTOR_H_
