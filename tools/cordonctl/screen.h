// A terminal of which the whole screen is used, and which is given back as it
// was.
#ifndef CORDON_TOOLS_CORDONCTL_SCREEN_H_
#define CORDON_TOOLS_CORDONCTL_SCREEN_H_

#include <termios.h>

#include <string>
#include <vector>

#include "cordon/tools/cordonctl/live_view.h"

namespace cordon::tools::ctl {

// At most one at a time: the signals that end a program, and the one that tells
// of a new size, are caught while it is there.
class Screen {
 public:
  enum class Event {
    kQuit,     // a signal, q, Ctrl-C or Ctrl-D
    kResized,  // draw again
    kWoken,    // there is something to read from the file descriptor
  };

  Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen();

  FrameSize size() const;
  // In the place of what was drawn before.
  void Draw(const std::vector<std::string>& lines);
  // Waits for something to happen.
  Event Wait(int wake_fd);

 private:
  bool has_keys_ = false;
  termios before_ = {};
};

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_SCREEN_H_
