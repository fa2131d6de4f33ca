// Echoes without encryption: recvmmsg and sendmmsg.
#include "cordon/testing/bench/peers/batch_socket.h"

int main() {
  using namespace cordon::bench;  // NOLINT(google-build-using-namespace)
  const int fd = BindLoopback(0, false);
  static BatchSocket socket(fd);
  Announce(fd);
  while (true) {
    const size_t count = socket.Receive(-1);
    for (size_t i = 0; i < count; ++i) {
      socket.Queue(socket.peer(i), socket.data(i), socket.size(i));
    }
    socket.Flush();
  }
}
