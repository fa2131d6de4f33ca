// Sessions as people read them.
#ifndef CORDON_TOOLS_CORDONCTL_SESSION_VIEW_H_
#define CORDON_TOOLS_CORDONCTL_SESSION_VIEW_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/tools/cordonctl/style.h"

namespace cordon::tools::ctl {

// One line for each.
std::string SessionTable(const std::vector<control::v1::Session>& sessions,
                         absl::Time now, const Style& style);

// All there is to know about one.
std::string SessionDetails(const control::v1::Session& session, absl::Time now,
                           const Style& style);

// One line for what happened.
std::string EventLine(const control::v1::SessionEvent& event,
                      const Style& style);

// The peer's name: a DNS name, URI or subject of its certificate, or its PSK
// identity; printable. Empty if it has none.
std::string PeerName(const control::v1::Session& session);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_SESSION_VIEW_H_
