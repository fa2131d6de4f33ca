// What happens when the keys of a session are used up.
#include <openssl/ssl.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cordon/dtls/engine.h"
#include "cordon/dtls/error.h"
#include "cordon/dtls/internal/boringssl_seam.h"
#include "cordon/dtls/internal/client_hello.h"
#include "cordon/dtls/internal/key_usage.h"

namespace cordon::dtls {

bool Engine::WasForged(const internal::RecordView& view) const {
  // In epoch 0 there is no key.
  return view.epoch != 0 && state_ != EngineState::kFailed &&
         internal::ReasonOfDiscard(ssl_.get(), view, received_) ==
             internal::DiscardReason::kBadMac;
}

void Engine::CountForged() {
  switch (usage_.CountFailed()) {
    case internal::KeyUse::kFine:
      return;
    case internal::KeyUse::kNearlyUsedUp:
      Count(&SessionStatistics::keys_nearly_used_up);
      return;
    case internal::KeyUse::kUsedUp:
      break;
  }
  absl::Status status = absl::ResourceExhaustedError(absl::StrCat(
      usage_.failed_records(),
      " records did not decrypt, and the key may not be tried with more: make "
      "a new session"));
  SetErrorDetail(&status, {.limit = "key_integrity"});
  End(std::move(status), SSL_AD_BAD_RECORD_MAC);
}

absl::Status Engine::EndOfSending(internal::KeyUse use, EngineOutput& output) {
  absl::Status status;
  if (use == internal::KeyUse::kUsedUp) {
    status = absl::ResourceExhaustedError(
        absl::StrCat("the session's key has encrypted ", usage_.sealed_blocks(),
                     " blocks, and may not encrypt this message, too: make a "
                     "new session"));
    SetErrorDetail(&status, {.limit = "key_confidentiality"});
  } else {
    status = absl::ResourceExhaustedError(
        "the session has used up its sequence numbers: make a new one");
    SetErrorDetail(&status, {.limit = "sequence_numbers"});
  }
  Call call(*this, output);
  End(status, SSL_AD_CLOSE_NOTIFY);
  return status;
}

}  // namespace cordon::dtls
