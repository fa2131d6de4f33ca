#include "cordon/dtls/control/secret_operator.h"

#include <openssl/mem.h>

#include <memory>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/control/listener_call.h"
#include "cordon/dtls/control/listener_names.h"
#include "cordon/dtls/cookie.h"
#include "cordon/dtls/internal/random_bytes.h"
#include "cordon/dtls/internal/ticket_keys.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;

// A secret that is wiped.
class Secret {
 public:
  explicit Secret(const std::string& given) : bytes_(given) {
    if (!bytes_.empty()) return;
    bytes_.resize(32);
    dtls::internal::FillWithRandom(absl::MakeSpan(
        reinterpret_cast<uint8_t*>(bytes_.data()), bytes_.size()));
  }
  ~Secret() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

absl::Status CheckSecret(const std::string& secret, size_t least) {
  if (secret.empty() || secret.size() >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("secret: it has ", secret.size(), " bytes, but needs ",
                   least, " or more; or none, for a random one"));
}

}  // namespace

absl::Status SecretOperator::RotateCookieSecret(
    const v1::RotateCookieSecretRequest& request, const Caller& caller,
    const CallEnd& end, v1::RotateCookieSecretResponse* response) {
  if (absl::Status status =
          CheckSecret(request.secret(), CookieExchange::kMinSecretBytes);
      !status.ok()) {
    return status;
  }
  auto listeners = ListenersOf(*registry_, request.listener(), "listener");
  if (!listeners.ok()) return listeners.status();
  // One for all: the kernel may give a peer's next datagram to another reactor.
  const auto secret = std::make_shared<const Secret>(request.secret());
  for (const std::shared_ptr<ListenerHandle>& listener : *listeners) {
    absl::StatusOr<absl::Status> set = CallListener<absl::Status>(
        *listener, end, [secret](ListenerAdmin& admin) {
          return admin.SetCookieParameters(
              {.hash = admin.cookie_hash(), .secret = secret->bytes()});
        });
    if (absl::IsUnavailable(set.status())) continue;
    if (!set.ok()) return set.status();
    if (!set->ok()) return *set;
    response->set_listeners(response->listeners() + 1);
  }
  log_->Write(LogLevel::kInfo,
              absl::StrCat(caller.name, " rotates the cookie secret of ",
                           DescribeListeners(request.listener()),
                           request.secret().empty() ? "" : " to a given one"));
  return absl::OkStatus();
}

absl::Status SecretOperator::RotateTicketKeys(
    const v1::RotateTicketKeysRequest& request, const Caller& caller,
    const CallEnd& end, v1::RotateTicketKeysResponse* response) {
  if (absl::Status status =
          CheckSecret(request.secret(), internal::TicketKeys::kMinSecretBytes);
      !status.ok()) {
    return status;
  }
  auto listeners = ListenersOf(*registry_, request.listener(), "listener");
  if (!listeners.ok()) return listeners.status();
  absl::flat_hash_set<const void*> done;
  absl::flat_hash_set<const void*> without_tickets;
  absl::Status without;
  for (const std::shared_ptr<ListenerHandle>& listener : *listeners) {
    auto context = CallListener<std::shared_ptr<const Context>>(
        *listener, end, [](ListenerAdmin& admin) {
          return std::make_shared<const Context>(admin.context());
        });
    if (absl::IsUnavailable(context.status())) continue;
    if (!context.ok()) return context.status();
    const void* const state = (*context)->state().get();
    if (without_tickets.contains(state)) continue;
    if (done.insert(state).second) {
      absl::Status status = (*context)->RotateTicketKeys(request.secret());
      if (absl::IsFailedPrecondition(status)) {
        without = absl::FailedPreconditionError(absl::StrCat(
            "listener: \"", listener->name(), "\": ", status.message()));
        without_tickets.insert(state);
        continue;
      }
      if (!status.ok()) return status;
    }
    response->set_listeners(response->listeners() + 1);
  }
  if (response->listeners() == 0 && !without.ok()) return without;
  log_->Write(LogLevel::kInfo,
              absl::StrCat(caller.name, " rotates the ticket keys of ",
                           DescribeListeners(request.listener()),
                           request.secret().empty() ? "" : " to a given one"));
  return absl::OkStatus();
}

}  // namespace cordon::dtls::control
