// A relay between one UDP client and a server, which keeps what passes as a
// capture file, as tshark reads them. Needs no right to capture.
//
//   DatagramRelay relay(server_port);
//   ... a client talks to 127.0.0.1:`relay.port()` ...
//   folder.Write("capture.pcap", relay.Stop());
#ifndef CORDON_TESTING_INTEROP_DATAGRAM_RELAY_H_
#define CORDON_TESTING_INTEROP_DATAGRAM_RELAY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

#include "absl/strings/string_view.h"
#include "cordon/net/base/unique_fd.h"

namespace cordon::testing {

class DatagramRelay {
 public:
  // The server is at this port of 127.0.0.1.
  explicit DatagramRelay(uint16_t server_port);
  DatagramRelay(const DatagramRelay&) = delete;
  DatagramRelay& operator=(const DatagramRelay&) = delete;
  ~DatagramRelay();

  // Where the client finds the server, on 127.0.0.1.
  uint16_t port() const { return port_; }
  // Ends it; the capture file's content.
  const std::string& Stop();

 private:
  void Relay();
  // Writes down a datagram, with the addresses that it would have without us.
  void Record(uint16_t from, uint16_t to, absl::string_view payload);

  const uint16_t server_port_;
  uint16_t port_ = 0;
  net::UniqueFd client_side_;
  net::UniqueFd server_side_;
  net::UniqueFd end_;
  std::string capture_;
  std::thread thread_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_INTEROP_DATAGRAM_RELAY_H_
