// What the tests of our programs have in common: an authority, a server's
// certificate by it, and the programs' command lines.
#ifndef CORDON_TESTING_SYSTEM_TOOLS_FIXTURE_H_
#define CORDON_TESTING_SYSTEM_TOOLS_FIXTURE_H_

#include <string>
#include <vector>

#include "cordon/dtls/credentials.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/process/process.h"
#include "gtest/gtest.h"

namespace cordon::testing {

class ToolsTest : public ::testing::Test {
 protected:
  ToolsTest();

  // Waits until an echo_server listens; its address.
  static Process& Started(Process& server);
  static std::string AddressOf(const Process& server);

  std::vector<std::string> ServerCommand(
      const std::vector<std::string>& more = {},
      const std::string& listen = "127.0.0.1:0") const;
  // With another certificate than the usual one, which it writes to files.
  std::vector<std::string> ServerCommandWith(
      const dtls::Certificate& certificate,
      const std::vector<std::string>& more = {}) const;
  // Trusts the authority and expects "localhost".
  std::vector<std::string> ClientCommand(
      const std::string& address,
      const std::vector<std::string>& more = {}) const;

  // The client sends a line, gets it back, and ends well; what it printed.
  static std::string ExpectEcho(std::vector<std::string> client_command);
  // The program ends with `code` and one line on stderr that contains `why`.
  // That line.
  static std::string ExpectFailure(std::vector<std::string> command, int code,
                                   const std::string& why);
  // A program that does something and ends with 0; what it printed.
  static std::string Run(std::vector<std::string> command);

  // Of the line of `output` that begins with `label`, what follows.
  static std::string Shown(const std::string& output, const std::string& label);

  std::string File(const std::string& name) const;
  static std::string ReadFile(const std::string& path);
  // The permissions of a file, such as 0600; -1 if there is none.
  static int ModeOf(const std::string& path);

  TestAuthority authority_;
  TemporaryFolder folder_;
  std::string ca_;
  std::string cert_;
  std::string key_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_SYSTEM_TOOLS_FIXTURE_H_
