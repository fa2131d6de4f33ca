// Requests to the control service, as its handlers get them from gRPC.
//
// Input: requests, each a number of a method and a counted message.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/context.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/control/listener_operator.h"
#include "cordon/dtls/control/log.h"
#include "cordon/dtls/control/policy_operator.h"
#include "cordon/dtls/control/policy_proto.h"
#include "cordon/dtls/control/secret_operator.h"
#include "cordon/dtls/control/session_lister.h"
#include "cordon/dtls/registry.h"
#include "cordon/net/base/endpoint.h"
#include "cordon/testing/fake_listener/fake_listener.h"
#include "cordon/testing/fake_listener/reactor_thread.h"
#include "cordon/testing/fuzz/input.h"

namespace cordon::testing {
namespace {

namespace v1 = ::cordon::control::v1;
using dtls::SessionSnapshot;

constexpr size_t kMaxRequests = 16;
constexpr size_t kSessions = 8;
constexpr size_t kMaxPages = 40;

ReactorThread& Thread() {
  static auto* const thread = new ReactorThread;
  return *thread;
}

const dtls::Context& ServerContext() {
  static const auto* const context = [] {
    dtls::ServerOptions options;
    options.pre_shared_keys = {{.identity = "a", .key = {1, 2, 3, 4}}};
    return new dtls::Context(*dtls::Context::Server(std::move(options)));
  }();
  return *context;
}

// "filter.peer_prefix: ...".
bool NamesAField(absl::string_view message) {
  const size_t colon = message.find(": ");
  return colon != absl::string_view::npos && colon > 0 &&
         std::all_of(
             message.begin(), message.begin() + static_cast<ptrdiff_t>(colon),
             [](char c) {
               return absl::ascii_islower(static_cast<unsigned char>(c)) ||
                      absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
                      c == '_' || c == '.' || c == '[' || c == ']';
             });
}

void CheckStatus(const absl::Status& status) {
  Require(
      status.ok() || absl::IsAborted(status) ||
          absl::IsFailedPrecondition(status) || absl::IsNotFound(status) ||
          (absl::IsInvalidArgument(status) && NamesAField(status.message())),
      status.ToString());
}

class Service {
 public:
  Service()
      : log_([](dtls::control::LogLevel, absl::string_view line) {
          Require(std::none_of(line.begin(), line.end(),
                               [](char c) {
                                 return static_cast<unsigned char>(c) < 0x20;
                               }),
                  "a line of the log is one line");
        }),
        policies_(&registry_, &log_),
        listeners_operator_(&registry_, &log_),
        secrets_(&registry_, &log_),
        lister_(&registry_) {
    Thread().Do([this] {
      for (const char* name : {"a", "b"}) {
        listeners_.push_back(std::make_unique<FakeListener>(Thread().reactor(),
                                                            registry_, name));
        listeners_.back()->set_context(ServerContext());
      }
      for (uint64_t id = 1; id <= kSessions; ++id) {
        SessionSnapshot session;
        session.id = id;
        session.peer =
            id % 3 == 0
                ? net::Endpoint::LoopbackV6(static_cast<uint16_t>(id))
                : net::Endpoint::V4({10, 0, static_cast<uint8_t>(id % 2),
                                     static_cast<uint8_t>(id)},
                                    5000);
        session.state = id % 4 == 0 ? dtls::EngineState::kHandshaking
                                    : dtls::EngineState::kConnected;
        session.info.psk_identity = id % 2 == 0 ? "device" : "";
        session.info.policy_version = id;
        session.opened = absl::FromUnixSeconds(static_cast<int64_t>(id));
        session.last_activity = session.opened;
        session.statistics.bytes_sent = 1000 / id;
        listeners_[id % 2]->Open(std::move(session));
      }
    });
  }
  ~Service() {
    Thread().Do([this] { listeners_.clear(); });
  }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  void Serve(uint8_t method, absl::Span<const uint8_t> bytes) {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    const dtls::control::Caller caller = {.name = "cert:ops",
                                          .role = dtls::control::Role::kAdmin};
    switch (method % 13) {
      case 0:
        List(bytes, deadline);
        break;
      case 1:
        Ask<v1::GetSessionRequest, v1::Session>(bytes, [&](const auto& request,
                                                           auto* response) {
          return listeners_operator_.GetSession(request, deadline, response);
        });
        break;
      case 2:
        Ask<v1::CloseSessionsRequest, v1::CloseSessionsResponse>(
            bytes, [&](const auto& request, auto* response) {
              return listeners_operator_.CloseSessions(request, caller,
                                                       deadline, response);
            });
        break;
      case 3:
        Ask<v1::SetPolicyRequest, v1::SetPolicyResponse>(
            bytes, [&](const auto& request, auto* response) {
              return SetPolicy(request, caller, deadline, response);
            });
        break;
      case 4:
        Ask<v1::GetPolicyRequest, v1::PolicyVersion>(
            bytes, [&](const auto& request, auto* response) {
              return policies_.Get(request, response);
            });
        break;
      case 5:
        Ask<v1::ListPolicyVersionsRequest, v1::ListPolicyVersionsResponse>(
            bytes, [&](const auto& request, auto* response) {
              return policies_.List(request, response);
            });
        break;
      case 6:
        Ask<v1::ValidatePolicyRequest, v1::ValidatePolicyResponse>(
            bytes, [&](const auto& request, auto* response) {
              return policies_.Validate(request, deadline, response);
            });
        break;
      case 7:
        Ask<v1::RollBackPolicyRequest, v1::SetPolicyResponse>(
            bytes, [&](const auto& request, auto* response) {
              return policies_.RollBack(request, caller, deadline, response);
            });
        break;
      case 8:
        Ask<v1::GetLimitsRequest, v1::GetLimitsResponse>(
            bytes, [&](const auto& request, auto* response) {
              return listeners_operator_.GetLimits(request, deadline, response);
            });
        break;
      case 9:
        Ask<v1::SetLimitsRequest, v1::GetLimitsResponse>(
            bytes, [&](const auto& request, auto* response) {
              return listeners_operator_.SetLimits(request, caller, deadline,
                                                   response);
            });
        break;
      case 10:
        Ask<v1::DrainRequest, v1::DrainResponse>(bytes, [&](const auto& request,
                                                            auto* response) {
          return listeners_operator_.Drain(request, caller, deadline, response);
        });
        break;
      case 11:
        Ask<v1::RotateCookieSecretRequest, v1::RotateCookieSecretResponse>(
            bytes, [&](const auto& request, auto* response) {
              return secrets_.RotateCookieSecret(request, caller, deadline,
                                                 response);
            });
        break;
      default:
        Ask<v1::RotateTicketKeysRequest, v1::RotateTicketKeysResponse>(
            bytes, [&](const auto& request, auto* response) {
              return secrets_.RotateTicketKeys(request, caller, deadline,
                                               response);
            });
        break;
    }
  }

 private:
  template <typename Request, typename Response, typename Method>
  void Ask(absl::Span<const uint8_t> bytes, Method method) {
    Request request;
    // gRPC refuses such a request itself.
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return;
    }
    Response response;
    CheckStatus(method(request, &response));
    Response again;
    Require(again.ParseFromString(response.SerializeAsString()),
            "an answer can be read");
  }

  absl::Status SetPolicy(const v1::SetPolicyRequest& request,
                         const dtls::control::Caller& caller,
                         absl::Time deadline, v1::SetPolicyResponse* response) {
    absl::Status status = policies_.Set(request, caller, deadline, response);
    if (!status.ok()) return status;
    v1::GetPolicyRequest get;
    get.set_listener(request.listener());
    v1::PolicyVersion present;
    Require(policies_.Get(get, &present).ok() &&
                present.version() == response->version() &&
                *dtls::control::FromProto(present.policy()) ==
                    *dtls::control::FromProto(request.policy()),
            "the policy that was set is in force");
    return status;
  }

  // One page after another.
  void List(absl::Span<const uint8_t> bytes, absl::Time deadline) {
    v1::ListSessionsRequest request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return;
    }
    const bool from_the_first = request.page_token().empty();
    std::set<uint64_t> ids;
    size_t pages = 0;
    do {
      v1::ListSessionsResponse response;
      const absl::Status status = lister_.List(request, deadline, &response);
      CheckStatus(status);
      if (!status.ok()) {
        Require(pages == 0, "the pages that follow a good one are good");
        return;
      }
      for (const v1::Session& session : response.sessions()) {
        Require(ids.insert(session.id()).second, "no session is told twice");
      }
      request.set_page_token(response.next_page_token());
      Require(++pages <= kMaxPages, "there is a last page");
    } while (!request.page_token().empty());
    if (!from_the_first) return;
    request.set_page_size(0);
    request.set_order(v1::SESSION_ORDER_ID);
    v1::ListSessionsResponse all;
    Require(lister_.List(request, deadline, &all).ok() &&
                static_cast<size_t>(all.sessions_size()) == ids.size(),
            "all pages together have all sessions");
  }

  dtls::Registry registry_;
  dtls::control::Log log_;
  dtls::control::PolicyOperator policies_;
  dtls::control::ListenerOperator listeners_operator_;
  dtls::control::SecretOperator secrets_;
  dtls::control::SessionLister lister_;
  std::vector<std::unique_ptr<FakeListener>> listeners_;
};

}  // namespace
}  // namespace cordon::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cordon::testing::Input input(data, size);
  cordon::testing::Service service;
  for (size_t i = 0; i < cordon::testing::kMaxRequests && !input.empty(); ++i) {
    const uint8_t method = input.Byte();
    service.Serve(method, input.Counted());
  }
  return 0;
}
