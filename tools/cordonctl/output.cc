#include "cordon/tools/cordonctl/output.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/flags/flag.h"
#include "cordon/tools/cordonctl/exit_code.h"
#include "cordon/tools/cordonctl/printable.h"
#include "google/protobuf/util/json_util.h"

namespace cordon::tools::ctl {

enum class OutputFormat { kTable, kJson };

bool AbslParseFlag(absl::string_view text, OutputFormat* format,
                   std::string* error) {
  if (text == "table") {
    *format = OutputFormat::kTable;
  } else if (text == "json") {
    *format = OutputFormat::kJson;
  } else {
    *error = "is not table or json";
    return false;
  }
  return true;
}

std::string AbslUnparseFlag(OutputFormat format) {
  return format == OutputFormat::kJson ? "json" : "table";
}

}  // namespace cordon::tools::ctl

ABSL_FLAG(cordon::tools::ctl::OutputFormat, output,
          cordon::tools::ctl::OutputFormat::kTable,
          "table (for people) or json (for programs: one document, or for what "
          "is watched one object in each line).");

namespace cordon::tools::ctl {
namespace {

std::string ToJson(const google::protobuf::Message& message, bool whitespace) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = whitespace;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status =
      google::protobuf::util::MessageToJsonString(message, &json, options);
  // Only times out of range fail.
  if (!status.ok()) return "{}\n";
  json = PrintableJson(json);
  if (json.empty() || json.back() != '\n') json += "\n";
  return json;
}

}  // namespace

bool JsonWanted() { return absl::GetFlag(FLAGS_output) == OutputFormat::kJson; }

void Print(absl::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void PrintJson(const google::protobuf::Message& message) {
  Print(ToJson(message, /*whitespace=*/true));
}

void PrintJsonLine(const google::protobuf::Message& message) {
  Print(ToJson(message, /*whitespace=*/false));
  std::fflush(stdout);
}

void PrintNote(absl::string_view line) {
  // After what it is about.
  std::fflush(stdout);
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

absl::Status FinishOutput() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) {
    return absl::OkStatus();
  }
  return LocalError("the standard output does not take what was printed");
}

}  // namespace cordon::tools::ctl
