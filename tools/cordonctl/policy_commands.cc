#include <cstdint>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cordon/tools/cordonctl/command.h"
#include "cordon/tools/cordonctl/connection.h"
#include "cordon/tools/cordonctl/input_file.h"
#include "cordon/tools/cordonctl/output.h"
#include "cordon/tools/cordonctl/policy_change.h"
#include "cordon/tools/cordonctl/policy_file.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/shared_flags.h"
#include "cordon/tools/cordonctl/style.h"
#include "cordon/tools/cordonctl/table.h"
#include "cordon/tools/cordonctl/units.h"

ABSL_FLAG(uint64_t, version, 0, "Which version. By default the present one.");
ABSL_FLAG(uint64_t, before_version, 0,
          "Only versions before this one. By default from the newest on.");
ABSL_FLAG(std::string, trust_pem, "",
          "Authorities that may vouch for peers, a PEM file; instead of those "
          "in the policy (trust.pem).");
ABSL_FLAG(std::string, crl_pem, "",
          "Revocation lists, a PEM file; instead of those in the policy "
          "(trust.crl_pem).");

namespace cordon::tools::ctl {
namespace {

absl::StatusOr<pb::Policy> PolicyFromFile(const std::string& path) {
  absl::StatusOr<std::string> text = ReadInputFile(path);
  if (!text.ok()) return text.status();
  absl::StatusOr<pb::Policy> policy = ParsePolicy(
      *text, path == "-" ? absl::string_view("the standard input") : path);
  if (!policy.ok()) return policy;
  if (const std::string file = absl::GetFlag(FLAGS_trust_pem); !file.empty()) {
    absl::StatusOr<std::string> pem = ReadPemFile("trust_pem", file);
    if (!pem.ok()) return pem.status();
    policy->mutable_trust()->set_pem(*std::move(pem));
  }
  if (const std::string file = absl::GetFlag(FLAGS_crl_pem); !file.empty()) {
    absl::StatusOr<std::string> pem = ReadPemFile("crl_pem", file);
    if (!pem.ok()) return pem.status();
    policy->mutable_trust()->set_crl_pem(*std::move(pem));
  }
  return policy;
}

absl::StatusOr<pb::PolicyVersion> Fetch(uint64_t version,
                                        Connection* connection) {
  pb::GetPolicyRequest request;
  request.set_listener(absl::GetFlag(FLAGS_listener));
  request.set_version(version);
  return connection->Call(&Stub::GetPolicy, request);
}

std::string Scope(const pb::PolicyVersion& version) {
  return version.listener().empty()
             ? "all listeners"
             : absl::StrCat("listener \"", Printable(version.listener()), "\"");
}

absl::Status GetPolicy(const Arguments& /*arguments*/) {
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  auto version = Fetch(absl::GetFlag(FLAGS_version), &*connection);
  if (!version.ok()) return version.status();
  if (JsonWanted()) {
    PrintJson(*version);
    return absl::OkStatus();
  }
  std::string head =
      absl::StrCat("# Version ", version->version(), " for ", Scope(*version),
                   version->current() ? "" : " (not the present one)", ", ",
                   FormatTime(version->time()));
  if (!version->author().empty()) {
    absl::StrAppend(&head, ", by ", PrintableText(version->author()));
  }
  head += "\n";
  if (!version->comment().empty()) {
    absl::StrAppend(&head, "# ", Printable(version->comment()), "\n");
  }
  Print(StyleOf(1).In(Colour::kDim, head));
  Print(PolicyText(version->policy()));
  return absl::OkStatus();
}

void PrintVerdicts(const pb::ValidatePolicyResponse& response) {
  Table table({{"SESSION", Align::kRight}, {"PEER"}, {"NAME"}, {"ERRORS"}});
  for (const pb::SessionVerdict& verdict : response.failing()) {
    std::string errors;
    for (const pb::VerificationError& error : verdict.errors()) {
      absl::StrAppend(&errors, errors.empty() ? "" : ", ",
                      Printable(error.code()));
    }
    table.Add({absl::StrCat(verdict.session()),
               Printable(verdict.peer_address()),
               Printable(verdict.peer_name()), errors});
  }
  if (!table.empty()) Print(table.Render(StyleOf(1)));
  const auto told = static_cast<uint64_t>(response.failing_size());
  if (told < response.sessions_failing()) {
    Print(absl::StrCat("and ", FormatCount(response.sessions_failing() - told),
                       " more\n"));
  }
  if (response.sessions_failing() == 0) {
    Print(absl::StrCat("The policy is good, and each of the ",
                       FormatCount(response.sessions_judged()),
                       " sessions would pass.\n"));
  }
}

absl::Status ValidatePolicy(const Arguments& arguments) {
  absl::StatusOr<pb::Policy> policy = PolicyFromFile(arguments[0]);
  if (!policy.ok()) return policy.status();
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  pb::ValidatePolicyRequest request;
  request.set_listener(absl::GetFlag(FLAGS_listener));
  *request.mutable_policy() = *std::move(policy);
  auto response = connection->Call(&Stub::ValidatePolicy, request);
  if (!response.ok()) return response.status();
  if (JsonWanted()) {
    PrintJson(*response);
  } else {
    PrintVerdicts(*response);
  }
  if (response->sessions_failing() == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(FormatCount(response->sessions_failing()), " of ",
                   FormatCount(response->sessions_judged()),
                   " sessions would fail under this policy (present version ",
                   response->present_version(), ")"));
}

absl::Status SetPolicy(const Arguments& arguments) {
  absl::StatusOr<pb::Policy> policy = PolicyFromFile(arguments[0]);
  if (!policy.ok()) return policy.status();
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  return ChangePolicy({.policy = *std::move(policy)}, &*connection);
}

absl::Status ShowHistory(const Arguments& /*arguments*/) {
  Remaining remaining;
  if (remaining.none()) return UsageError("--limit must be at least 1");
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  pb::ListPolicyVersionsRequest request;
  request.set_listener(absl::GetFlag(FLAGS_listener));
  request.set_before_version(absl::GetFlag(FLAGS_before_version));
  pb::ListPolicyVersionsResponse all;
  while (!remaining.none()) {
    request.set_page_size(remaining.PageSize());
    auto page = connection->Call(&Stub::ListPolicyVersions, request);
    if (!page.ok()) return page.status();
    if (page->versions().empty()) break;
    remaining.Take(static_cast<uint64_t>(page->versions_size()));
    request.set_before_version(
        page->versions(page->versions_size() - 1).version());
    for (pb::PolicyVersion& version : *page->mutable_versions()) {
      *all.add_versions() = std::move(version);
    }
    // There is nothing before the first.
    if (request.before_version() <= 1) break;
  }
  if (JsonWanted()) {
    PrintJson(all);
    return absl::OkStatus();
  }
  Table table({{"VERSION", Align::kRight},
               {"FOR"},
               {"TIME"},
               {"AUTHOR"},
               {"PRESENT"},
               {"COMMENT"}});
  for (const pb::PolicyVersion& version : all.versions()) {
    std::string comment = Printable(version.comment());
    if (version.rolled_back_to() > 0) {
      absl::StrAppend(&comment, comment.empty() ? "" : " ", "(version ",
                      version.rolled_back_to(), " brought back)");
    }
    table.Add({absl::StrCat(version.version()), Scope(version),
               FormatTime(version.time()), PrintableText(version.author()),
               version.current() ? "yes" : "", comment});
  }
  Print(table.Render(StyleOf(1)));
  return absl::OkStatus();
}

absl::Status RollBack(const Arguments& arguments) {
  uint64_t version = 0;
  if (!absl::SimpleAtoi(arguments[0], &version) || version == 0) {
    return UsageError(absl::StrCat("\"", Printable(arguments[0]),
                                   "\" is not a version, a number"));
  }
  auto connection = Connection::Open();
  if (!connection.ok()) return connection.status();
  auto old = Fetch(version, &*connection);
  if (!old.ok()) return old.status();
  return ChangePolicy({.policy = old->policy(), .version = version},
                      &*connection);
}

}  // namespace

std::vector<Command> PolicyCommands() {
  return {
      {
          .path = "policy get",
          .summary = "Shows the policy, in the form in which `set` reads it",
          .description = "A listener without a policy of its own shows that "
                         "for all listeners.",
          .flags = {"listener", "version"},
          .examples = {"policy get > policy.txtpb",
                       "policy get --version=3 --output=json"},
          .run = &GetPolicy,
      },
      {
          .path = "policy validate",
          .synopsis = "FILE",
          .summary = "Tells which of the present sessions a policy would fail",
          .description =
              "Changes nothing. Exits with 0 if all would pass, with 7 if some "
              "would fail or the policy is bad. FILE is as for `policy set`.",
          .flags = {"listener", "trust_pem", "crl_pem"},
          .examples = {"policy validate policy.txtpb",
                       "policy validate - < policy.json"},
          .min_arguments = 1,
          .max_arguments = 1,
          .argument_values = "@file",
          .run = &ValidatePolicy,
      },
      {
          .path = "policy set",
          .synopsis = "FILE",
          .summary = "Puts a policy in force, after showing what changes",
          .description =
              "FILE holds a Policy of control.proto in text form or in JSON; - "
              "is the standard input. What it would change is shown and has to "
              "be confirmed, unless --yes is given. If somebody else sets a "
              "policy in the meantime, nothing happens (exit code 6).\n\n"
              "A policy in text form:\n\n"
              "    client_certificate: REQUIRE\n"
              "    trust { system: true }\n"
              "    allowed_names: \"*.example.com\"\n"
              "    tolerated { error: \"expired\" name: "
              "\"old.example.com\" }\n\n"
              "Errors with which anybody can have made a certificate, such as "
              "self_signed, are tolerated by fingerprint or spki, not by "
              "name.\n\n"
              "Sessions that are there stay, unless --apply_to_sessions is "
              "given.",
          .flags = {"listener", "trust_pem", "crl_pem", "yes",
                    "expected_version", "comment", "apply_to_sessions"},
          .examples = {"policy set policy.txtpb --comment=\"no old devices\"",
                       "policy set policy.txtpb --trust_pem=ca.pem "
                       "--apply_to_sessions",
                       "policy set - --listener=public --yes < policy.json"},
          .min_arguments = 1,
          .max_arguments = 1,
          .argument_values = "@file",
          .run = &SetPolicy,
      },
      {
          .path = "policy history",
          .summary = "Lists the versions of the policy, the newest first",
          .flags = {"listener", "limit", "all", "before_version"},
          .examples = {"policy history --limit=10"},
          .run = &ShowHistory,
      },
      {
          .path = "policy rollback",
          .synopsis = "VERSION",
          .summary = "Puts an old version in force again, as a new one",
          .description = "What it would change is shown and has to be "
                         "confirmed, unless --yes is given.",
          .flags = {"listener", "yes", "expected_version", "comment",
                    "apply_to_sessions"},
          .examples = {"policy rollback 3 --comment=\"4 was too strict\""},
          .min_arguments = 1,
          .max_arguments = 1,
          .run = &RollBack,
      },
  };
}

}  // namespace cordon::tools::ctl
