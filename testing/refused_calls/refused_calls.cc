#include "cordon/testing/refused_calls/refused_calls.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cstddef>
#include <cstdint>
#include <thread>

namespace cordon::testing {
namespace {

// For this thread, and for good.
bool Refuse(const std::vector<RefusedCall>& calls) {
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const RefusedCall& call : calls) {
    const auto error = static_cast<uint32_t>(call.error) & SECCOMP_RET_DATA;
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                               static_cast<uint32_t>(call.number), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter = {static_cast<uint16_t>(program.size()),
                             program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace

bool WithoutCalls(const std::vector<RefusedCall>& calls,
                  const std::function<void()>& function) {
  bool refused = false;
  std::thread([&] {
    refused = Refuse(calls);
    if (refused) function();
  }).join();
  return refused;
}

}  // namespace cordon::testing
