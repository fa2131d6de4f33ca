// What the commands print: tables for people, JSON for programs.
#ifndef CORDON_TOOLS_CORDONCTL_OUTPUT_H_
#define CORDON_TOOLS_CORDONCTL_OUTPUT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace cordon::tools::ctl {

// --output=json
bool JsonWanted();

// To the standard output.
void Print(absl::string_view text);
// The message as one JSON document, with the names of the .proto file.
void PrintJson(const google::protobuf::Message& message);
// The same in one line, and at once.
void PrintJsonLine(const google::protobuf::Message& message);
// What is not a result, such as that there is more: to the standard error.
void PrintNote(absl::string_view line);

// An error if something of what was printed was not taken, as by a full disk.
absl::Status FinishOutput();

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_OUTPUT_H_
