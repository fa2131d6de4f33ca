#include "cordon/dtls/policy.h"

#include <tuple>

namespace cordon::dtls {
namespace {

auto Fields(const Policy& p) {
  return std::tie(p.client_certificate, p.trust.pem, p.trust.system,
                  p.trust.crl_pem, p.max_chain_depth, p.blocked, p.tolerated,
                  p.pins, p.allowed_names, p.denied_names, p.psk_disabled,
                  p.psk_enabled_identities, p.psk_disabled_identities,
                  p.min_version);
}

}  // namespace

bool operator==(const Policy& a, const Policy& b) {
  return Fields(a) == Fields(b);
}

}  // namespace cordon::dtls
