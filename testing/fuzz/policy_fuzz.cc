// Policies as operators write them: in text form, as JSON, and as the file that
// a service keeps them in.
//
// Input: which form, and the text.
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/policy_file.h"
#include "cordon/dtls/control/policy_proto.h"
#include "cordon/dtls/internal/compiled_policy.h"
#include "cordon/dtls/policy.h"
#include "cordon/dtls/policy_store.h"
#include "cordon/testing/fuzz/input.h"
#include "cordon/testing/fuzz/memory_file.h"

namespace cordon::testing {
namespace {

namespace v1 = ::cordon::control::v1;
using dtls::Policy;
using dtls::PolicyStore;

// An error that somebody can act upon.
void RequireTold(const absl::Status& status) {
  Require(status.ok() || absl::IsInvalidArgument(status), status.ToString());
  Require(status.ok() || !status.message().empty(), "an error says something");
}

std::string ToText(const Policy& policy) {
  std::string text;
  google::protobuf::TextFormat::PrintToString(dtls::control::ToProto(policy),
                                              &text);
  return text;
}

absl::StatusOr<Policy> FromText(const std::string& text) {
  const absl::StatusOr<v1::Policy> proto = dtls::control::ParsePolicy(text);
  if (!proto.ok()) return proto.status();
  return dtls::control::FromProto(*proto);
}

void CheckPolicy(const Policy& policy) {
  Require(*FromText(ToText(policy)) == policy, "what is printed can be read");
  Require(dtls::control::Differences(policy, policy) == "no difference",
          "a policy is like itself");
  PolicyStore store;
  PolicyStore::Change change;
  change.policy = policy;
  const absl::StatusOr<uint64_t> version = store.Set(change);
  RequireTold(version.status());
  if (!version.ok()) {
    const absl::string_view message = version.status().message();
    Require(message[0] >= 'a' && message[0] <= 'z' &&
                absl::StrContains(message, ": "),
            "an error begins with the name of a field");
    Require(store.Present("").version == 0, "after an error nothing is set");
    return;
  }
  Require(store.Present("").policy() == policy, "what was set is in force");
}

void CheckFile(const std::string& text) {
  const MemoryFile file(text);
  PolicyStore store;
  const absl::Status status =
      dtls::control::KeepPoliciesInFile(file.path(), store);
  RequireTold(status);
  Require(status.ok() || absl::StrContains(status.message(), file.path()),
          "an error names the file");
}

void Check(Input& input) {
  const bool whole_file = (input.Byte() & 1) != 0;
  const std::string text = input.RestAsText();
  if (whole_file) {
    CheckFile(text);
    return;
  }
  const absl::StatusOr<v1::Policy> proto = dtls::control::ParsePolicy(text);
  RequireTold(proto.status());
  if (!proto.ok()) return;
  const absl::StatusOr<Policy> policy = dtls::control::FromProto(*proto);
  RequireTold(policy.status());
  if (policy.ok()) CheckPolicy(*policy);
}

}  // namespace
}  // namespace cordon::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cordon::testing::Input input(data, size);
  cordon::testing::Check(input);
  return 0;
}
