#include "cordon/tools/cordonctl/policy_file.h"

#include <cstdint>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cordon/tools/cordonctl/printable.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/json_util.h"

namespace cordon::tools::ctl {
namespace {

using control::v1::Policy;
using control::v1::PolicyVersion;

// Keeps the first error.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!error_.empty()) return;
    error_ = absl::StrCat(line + 1, ":", column + 1, ": ", message);
  }

  const std::string& error() const { return error_; }

 private:
  std::string error_;
};

absl::StatusOr<Policy> ParseText(absl::string_view text,
                                 absl::string_view name) {
  Policy policy;
  FirstError errors;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  if (parser.ParseFromString(std::string(text), &policy)) return policy;
  return absl::InvalidArgumentError(
      absl::StrCat(name, ":", Printable(errors.error())));
}

absl::StatusOr<Policy> ParseJson(absl::string_view json,
                                 absl::string_view name) {
  PolicyVersion version;
  const auto as_version =
      google::protobuf::util::JsonStringToMessage(std::string(json), &version);
  if (as_version.ok() && version.has_policy()) return version.policy();
  Policy policy;
  const auto as_policy =
      google::protobuf::util::JsonStringToMessage(std::string(json), &policy);
  if (as_policy.ok()) return policy;
  // The error about the form that was meant.
  const bool meant_version = absl::StrContains(json, "\"policy\"");
  std::string why((meant_version ? as_version : as_policy).message());
  // Syntax errors end with a drawing of where they are.
  why = absl::StrReplaceAll(why, {{"\n", " "}});
  absl::RemoveExtraAsciiWhitespace(&why);
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", Printable(why)));
}

// Shows strings of several lines as several literals, which are read as one.
class LinePrinter : public google::protobuf::TextFormat::FastFieldValuePrinter {
 public:
  void PrintString(
      const std::string& value,
      google::protobuf::TextFormat::BaseTextGenerator* out) const override {
    std::vector<std::string> lines = absl::StrSplit(value, '\n');
    if (lines.back().empty() && lines.size() > 1) {
      lines.pop_back();
      for (std::string& line : lines) line += '\n';
    } else {
      for (size_t i = 0; i + 1 < lines.size(); ++i) lines[i] += '\n';
    }
    const bool several = lines.size() > 1;
    for (const std::string& line : lines) {
      out->PrintString(
          absl::StrCat(several ? "\n  " : "", "\"", absl::CEscape(line), "\""));
    }
  }
};

}  // namespace

absl::StatusOr<Policy> ParsePolicy(absl::string_view text,
                                   absl::string_view name) {
  const std::string shown = Printable(name);
  const absl::string_view begin = absl::StripLeadingAsciiWhitespace(text);
  if (begin.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(shown, " is empty"));
  }
  // A message in text form has no braces around it.
  return begin[0] == '{' ? ParseJson(text, shown) : ParseText(text, shown);
}

std::string PolicyText(const Policy& policy) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetDefaultFieldValuePrinter(new LinePrinter);
  std::string text;
  printer.PrintToString(policy, &text);
  return text;
}

}  // namespace cordon::tools::ctl
