// What is known of a connection when it is accepted, for its calls to be judged
// by.
//
// gRPC's own name for the peer of a call is of no use here: a call may outlive
// its connection, and what then has the same descriptor may be somebody else's.
// The mark is kept with the connection itself.
#ifndef CORDON_DTLS_CONTROL_CONNECTION_MARK_H_
#define CORDON_DTLS_CONTROL_CONNECTION_MARK_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/auth_metadata_processor.h>

#include <memory>
#include <string>

namespace cordon::dtls::control {

// "uid:1000" and "loopback".
inline constexpr char kUserMark[] = "uid:";
inline constexpr char kLoopbackMark[] = "loopback";

// Puts `mark` on all connections that are accepted with the credentials that it
// is set on.
std::shared_ptr<grpc::AuthMetadataProcessor> MarkConnections(std::string mark);

// Empty if there is none.
std::string MarkOf(const grpc::AuthContext& connection);

}  // namespace cordon::dtls::control

#endif  // CORDON_DTLS_CONTROL_CONNECTION_MARK_H_
