#include "cordon/tools/command_line.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <type_traits>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cordon/net/base/line_writer.h"
#include "cordon/net/base/printable.h"

namespace cordon::tools {
namespace {

// Between the values of a repeated flag; cannot be typed by accident.
constexpr char kSeparator = '\x1f';

bool IsOurs(const absl::CommandLineFlag& flag) {
  return absl::StrContains(flag.Filename(), "tools/") ||
         absl::StrContains(flag.Filename(), "testing/");
}

// If one of the three is closed, the next file that is opened would be taken
// for it.
void OpenStandardStreams() {
  int fd = 0;
  do {
    fd = open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

void PrintHelp(const Usage& usage) {
  std::printf("%s\n\n  %s %s\n\nFlags:\n", std::string(usage.summary).c_str(),
              std::string(usage.program).c_str(),
              std::string(usage.synopsis).c_str());
  std::map<std::string, absl::CommandLineFlag*> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (IsOurs(*flag)) flags.emplace(std::string(name), flag);
  }
  for (const auto& [name, flag] : flags) {
    const std::string value = flag->DefaultValue();
    std::printf("  --%s\n      %s%s\n", name.c_str(), flag->Help().c_str(),
                value.empty() || value == "false"
                    ? ""
                    : absl::StrCat(" [", value, "]").c_str());
  }
}

}  // namespace

bool AbslParseFlag(absl::string_view text, RepeatedFlag* flag, std::string*) {
  flag->values.clear();
  if (!text.empty()) flag->values = absl::StrSplit(text, kSeparator);
  return true;
}

std::string AbslUnparseFlag(const RepeatedFlag& flag) {
  return absl::StrJoin(flag.values, std::string(1, kSeparator));
}

void Die(absl::string_view program, absl::string_view message, int code) {
  // Messages may have words of a peer, of a server, or of a file.
  const std::string line = net::PrintableText(
      absl::StrReplaceAll(message, {{"\n", " "}, {"\r", " "}}),
      net::kMaxLineBytes);
  // After what was said before, and even if nobody reads it.
  net::LineWriter& writer = net::LineWriter::StandardError();
  writer.Write(absl::StrCat(program, ": ", line));
  writer.Flush(net::LineWriter::kPatienceAtExit);
  std::fflush(nullptr);
  std::_Exit(code);
}

void DieOfUsage(absl::string_view program, absl::string_view message) {
  Die(program, absl::StrCat(message, " (see ", program, " --help)"), 2);
}

std::vector<std::string> ParseCommandLine(int argc, char** argv,
                                          const Usage& usage) {
  OpenStandardStreams();
  std::vector<std::string> positional;
  bool only_positional = false;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (only_positional || argument.size() < 2 || argument[0] != '-') {
      positional.emplace_back(argument);
      continue;
    }
    if (argument == "--") {
      only_positional = true;
      continue;
    }
    absl::string_view body = argument.substr(1);
    absl::ConsumePrefix(&body, "-");
    if (body == "help" || body == "h") {
      PrintHelp(usage);
      std::exit(0);  // NOLINT(concurrency-mt-unsafe): no other threads yet
    }
    const size_t equals = body.find('=');
    const absl::string_view name = body.substr(0, equals);
    std::string value;
    absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    if (flag != nullptr && !IsOurs(*flag)) flag = nullptr;
    if (equals != absl::string_view::npos) {
      value = std::string(body.substr(equals + 1));
    } else if (flag != nullptr && flag->IsOfType<bool>()) {
      value = "true";
    } else if (flag == nullptr && absl::StartsWith(name, "no") &&
               absl::FindCommandLineFlag(name.substr(2)) != nullptr &&
               absl::FindCommandLineFlag(name.substr(2))->IsOfType<bool>()) {
      flag = absl::FindCommandLineFlag(name.substr(2));
      value = "false";
    } else if (flag != nullptr) {
      if (i + 1 >= argc) {
        DieOfUsage(usage.program, absl::StrCat("--", name, " needs a value"));
      }
      value = argv[++i];
    }
    if (flag == nullptr) {
      DieOfUsage(usage.program, absl::StrCat("there is no flag --", name));
    }
    if (std::find(usage.repeated.begin(), usage.repeated.end(), name) !=
        usage.repeated.end()) {
      const std::string before = flag->CurrentValue();
      if (!before.empty()) {
        value = absl::StrCat(before, std::string(1, kSeparator), value);
      }
    }
    if (std::string error; !flag->ParseFrom(value, &error)) {
      DieOfUsage(usage.program,
                 absl::StrCat("--", name, "=", value, ": ",
                              absl::StrReplaceAll(error, {{"\n", " "}})));
    }
  }
  return positional;
}

}  // namespace cordon::tools
