#include "cordon/tools/common_flags.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <system_error>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cordon/dtls/context.h"
#include "cordon/net/base/line_writer.h"
#include "cordon/tools/command_line.h"
#include "cordon/tools/secret_file.h"

ABSL_FLAG(std::string, ca, "",
          "Who may have issued the other side's certificate: a file with "
          "certificates, or a folder of such files. A client without it asks "
          "the system's trust store.");
ABSL_FLAG(std::string, crl, "",
          "Revocation lists that the other side's certificate must not be on, "
          "a file.");
ABSL_FLAG(
    std::string, blocked, "",
    "Certificates that are not accepted, nor any below them, with commas: "
    "SHA-256 fingerprints; spki: and that of a public key; or "
    "serial:SERIAL@ISSUER, as in serial:0a1b@CN=Example CA.");
ABSL_FLAG(int, verify_depth, 10,
          "How many authorities may stand between the other side's certificate "
          "and the trusted one.");
ABSL_FLAG(std::string, cert, "",
          "Our own certificate chain, a file in PEM form, or in DER form if it "
          "is a single one.");
ABSL_FLAG(std::string, key, "", "Its private key, a PEM or DER file.");
ABSL_FLAG(std::string, p12, "",
          "Certificate and key in one PKCS#12 file, instead of --cert and "
          "--key.");
ABSL_FLAG(std::string, password_file, "",
          "A file with the password of --p12, or of an encrypted --key, in its "
          "first line.");
ABSL_FLAG(std::string, password, "",
          "The password itself. Better --password_file: every user of the "
          "machine can see command lines.");
ABSL_FLAG(std::string, ciphers, "",
          "Cipher suites, OpenSSL's names with \":\" between them. By default "
          "all with AEAD.");
ABSL_FLAG(std::string, groups, "",
          "Groups for the key exchange, with \":\" between them. By default "
          "X25519:P-256:P-384.");
ABSL_FLAG(std::string, alpn, "",
          "Application protocols, the preferred one first, with commas.");
ABSL_FLAG(std::string, srtp, "",
          "SRTP protection profiles to negotiate, the preferred one first, "
          "with commas.");
ABSL_FLAG(uint32_t, replay_window, cordon::dtls::kDefaultReplayWindow,
          "How many records of a session may overtake one that is still taken, "
          "from 64 to 1024.");
ABSL_FLAG(std::string, keylog, "",
          "Append the sessions' secrets to this file, in the format of NSS, "
          "with which Wireshark decrypts them. What is there already must be a "
          "file of ours that nobody else may read.");

namespace cordon::tools {
namespace {

SecretFile SecretOrDie(absl::string_view program, absl::string_view flag,
                       const std::string& path) {
  absl::StatusOr<SecretFile> file = ReadSecretFile(path);
  if (!file.ok()) {
    Die(program, absl::StrCat("--", flag, ": ", file.status().message()));
  }
  return *std::move(file);
}

// A file that is open to others is used, and that is told: where secrets are
// mounted, its mode may not be ours to choose.
void WarnIfOpen(absl::string_view program, absl::string_view flag,
                const SecretFile& file) {
  if (file.privacy.ok()) return;
  std::fprintf(stderr, "%s: warning: --%s: %s\n", std::string(program).c_str(),
               std::string(flag).c_str(),
               std::string(file.privacy.message()).c_str());
}

void CheckNotBothOrDie(absl::string_view program, absl::string_view flag,
                       bool file_given, bool text_given) {
  if (!file_given || !text_given) return;
  DieOfUsage(program,
             absl::StrCat("give --", flag, "_file or --", flag, ", not both"));
}

// The first line, which may have any characters but line ends.
std::string FirstLine(absl::string_view text) {
  text = text.substr(0, text.find('\n'));
  absl::ConsumeSuffix(&text, "\r");
  return std::string(text);
}

std::string HexOrDie(absl::string_view program, absl::string_view flag,
                     absl::string_view text, size_t min_bytes) {
  const bool digits =
      std::all_of(text.begin(), text.end(),
                  [](unsigned char c) { return absl::ascii_isxdigit(c); });
  if (!digits || text.size() % 2 != 0) {
    DieOfUsage(program, absl::StrCat("--", flag,
                                     " needs an even number of hexadecimal "
                                     "digits and nothing else"));
  }
  if (text.size() / 2 < min_bytes) {
    DieOfUsage(program, absl::StrCat("--", flag, " has ", text.size() / 2,
                                     " bytes; it needs at least ", min_bytes));
  }
  return absl::HexStringToBytes(text);
}

std::vector<std::string> List(const std::string& text) {
  return absl::StrSplit(text, ',', absl::SkipEmpty());
}

// The names of issuers have commas, too.
std::vector<std::string> BlockList(const std::string& text) {
  std::vector<std::string> entries;
  for (std::string& part : List(text)) {
    const bool more = absl::StrContains(part, '=') &&
                      !absl::StartsWith(part, "serial:") && !entries.empty() &&
                      absl::StartsWith(entries.back(), "serial:");
    if (more) {
      absl::StrAppend(&entries.back(), ",", part);
    } else {
      entries.push_back(std::move(part));
    }
  }
  return entries;
}

template <typename Options>
void SetProtocolOf(absl::string_view program, Options* options) {
  options->ciphers = absl::GetFlag(FLAGS_ciphers);
  options->groups = absl::GetFlag(FLAGS_groups);
  options->alpn = List(absl::GetFlag(FLAGS_alpn));
  options->srtp_profiles = List(absl::GetFlag(FLAGS_srtp));
  dtls::ClientOptions ciphers;
  ciphers.ciphers = options->ciphers;
  CheckOrDie(program, "ciphers", std::move(ciphers));
  dtls::ClientOptions alpn;
  alpn.alpn = options->alpn;
  CheckOrDie(program, "alpn", std::move(alpn));
  dtls::ClientOptions groups;
  groups.groups = options->groups;
  CheckOrDie(program, "groups", std::move(groups));
  dtls::ClientOptions srtp;
  srtp.srtp_profiles = options->srtp_profiles;
  CheckOrDie(program, "srtp", std::move(srtp));
  if (const std::string path = absl::GetFlag(FLAGS_keylog); !path.empty()) {
    absl::StatusOr<std::function<void(absl::string_view)>> log = OpenSecretLog(
        path, [program = std::string(program)](const absl::Status& status) {
          net::LineWriter::StandardError().Write(
              absl::StrCat(program, ": warning: --keylog: ", status.message(),
                           "; secrets are missing there"));
        });
    if (!log.ok()) Die(program, log.status().message());
    options->key_log = *std::move(log);
  }
}

}  // namespace

void CheckOrDie(absl::string_view program, absl::string_view flag,
                dtls::ClientOptions options) {
  options.verification.mode = dtls::PeerVerification::kNone;
  const absl::Status status =
      dtls::Context::Client(std::move(options)).status();
  if (!status.ok()) {
    DieOfUsage(program, absl::StrCat("--", flag, ": ", status.message()));
  }
}

void CheckNotNegativeOrDie(absl::string_view program, absl::string_view flag,
                           absl::Duration value) {
  if (value >= absl::ZeroDuration()) return;
  DieOfUsage(program, absl::StrCat("--", flag, "=", absl::FormatDuration(value),
                                   " is negative"));
}

void SetProtocol(absl::string_view program, dtls::ServerOptions* options) {
  SetProtocolOf(program, options);
}

void SetProtocol(absl::string_view program, dtls::ClientOptions* options) {
  SetProtocolOf(program, options);
}

void SetReplayWindow(absl::string_view program, dtls::SessionOptions* session) {
  dtls::ClientOptions alone;
  alone.session.replay_window = absl::GetFlag(FLAGS_replay_window);
  session->replay_window = alone.session.replay_window;
  CheckOrDie(program, "replay_window", std::move(alone));
}

void SetVerification(absl::string_view program,
                     dtls::VerificationOptions* options) {
  options->max_chain_depth = absl::GetFlag(FLAGS_verify_depth);
  options->blocked = BlockList(absl::GetFlag(FLAGS_blocked));
  dtls::ClientOptions depth;
  depth.verification.max_chain_depth = options->max_chain_depth;
  CheckOrDie(program, "verify_depth", std::move(depth));
  dtls::ClientOptions blocked;
  blocked.verification.blocked = options->blocked;
  CheckOrDie(program, "blocked", std::move(blocked));
}

dtls::TrustAnchors Trust(absl::string_view program) {
  dtls::TrustAnchors trust;
  if (const std::string ca = absl::GetFlag(FLAGS_ca); !ca.empty()) {
    absl::StatusOr<dtls::TrustAnchors> loaded = dtls::LoadTrustAnchors(ca);
    if (!loaded.ok()) Die(program, loaded.status().message());
    trust = *std::move(loaded);
  }
  if (const std::string crl = absl::GetFlag(FLAGS_crl); !crl.empty()) {
    absl::StatusOr<std::string> loaded = dtls::LoadCrls(crl);
    if (!loaded.ok()) Die(program, loaded.status().message());
    trust.crl_pem = *std::move(loaded);
  }
  return trust;
}

absl::StatusOr<std::string> Password() {
  const std::string path = absl::GetFlag(FLAGS_password_file);
  if (path.empty()) return absl::GetFlag(FLAGS_password);
  const auto read = [&path]() -> absl::StatusOr<std::string> {
    absl::StatusOr<SecretFile> file = ReadSecretFile(path);
    if (!file.ok()) {
      return absl::Status(
          file.status().code(),
          absl::StrCat("--password_file: ", file.status().message()));
    }
    return FirstLine(file->content);
  };
  static const auto* const first = new absl::StatusOr<std::string>(read());
  std::error_code error;
  return std::filesystem::is_regular_file(path, error) ? read() : *first;
}

absl::StatusOr<dtls::Certificate> ReadOwnCertificate() {
  const std::string p12 = absl::GetFlag(FLAGS_p12);
  const std::string certificate = absl::GetFlag(FLAGS_cert);
  if (p12.empty() && certificate.empty()) return dtls::Certificate();
  absl::StatusOr<std::string> password = Password();
  if (!password.ok()) return password.status();
  if (!p12.empty()) return dtls::LoadPkcs12(p12, *password);
  return dtls::LoadCertificate(certificate, absl::GetFlag(FLAGS_key),
                               *password);
}

std::vector<std::string> OwnCertificateFiles() {
  std::vector<std::string> files = {absl::GetFlag(FLAGS_cert),
                                    absl::GetFlag(FLAGS_key),
                                    absl::GetFlag(FLAGS_p12)};
  files.erase(std::remove(files.begin(), files.end(), ""), files.end());
  return files;
}

dtls::Certificate OwnCertificate(absl::string_view program) {
  const std::string certificate = absl::GetFlag(FLAGS_cert);
  if (certificate.empty() != absl::GetFlag(FLAGS_key).empty()) {
    DieOfUsage(program, "--cert and --key go together");
  }
  if (!certificate.empty() && !absl::GetFlag(FLAGS_p12).empty()) {
    DieOfUsage(program, "--p12 takes the place of --cert and --key");
  }
  const std::string password_file = absl::GetFlag(FLAGS_password_file);
  CheckNotBothOrDie(program, "password", !password_file.empty(),
                    !absl::GetFlag(FLAGS_password).empty());
  if (std::error_code error;
      std::filesystem::is_regular_file(password_file, error)) {
    WarnIfOpen(program, "password_file",
               SecretOrDie(program, "password_file", password_file));
  }
  absl::StatusOr<dtls::Certificate> loaded = ReadOwnCertificate();
  if (!loaded.ok()) Die(program, loaded.status().message());
  return *std::move(loaded);
}

std::vector<dtls::PreSharedKey> PsksOrDie(
    absl::string_view program, const std::vector<std::string>& files,
    const std::vector<std::string>& texts) {
  CheckNotBothOrDie(program, "psk", !files.empty(), !texts.empty());
  std::vector<dtls::PreSharedKey> keys;
  for (const std::string& path : files) {
    const SecretFile file = SecretOrDie(program, "psk_file", path);
    const size_t before = keys.size();
    int number = 0;
    for (absl::string_view line : absl::StrSplit(file.content, '\n')) {
      ++number;
      line = absl::StripTrailingAsciiWhitespace(line);
      if (line.empty()) continue;
      absl::StatusOr<dtls::PreSharedKey> psk = dtls::ParsePreSharedKey(line);
      if (!psk.ok()) {
        Die(program, absl::StrCat("--psk_file: ", path, ": line ", number, ": ",
                                  psk.status().message()));
      }
      keys.push_back(*std::move(psk));
    }
    if (keys.size() == before) {
      Die(program, absl::StrCat("--psk_file: ", path,
                                " has no key, a line IDENTITY:HEX"));
    }
    WarnIfOpen(program, "psk_file", file);
  }
  for (const std::string& text : texts) {
    absl::StatusOr<dtls::PreSharedKey> psk = dtls::ParsePreSharedKey(text);
    if (!psk.ok()) {
      DieOfUsage(program, absl::StrCat("--psk: ", psk.status().message()));
    }
    keys.push_back(*std::move(psk));
  }
  return keys;
}

std::optional<dtls::PreSharedKey> PskOrDie(absl::string_view program,
                                           const std::string& file,
                                           const std::string& text) {
  const auto list = [](const std::string& value) {
    return value.empty() ? std::vector<std::string>()
                         : std::vector<std::string>{value};
  };
  std::vector<dtls::PreSharedKey> keys =
      PsksOrDie(program, list(file), list(text));
  if (keys.empty()) return std::nullopt;
  if (keys.size() > 1) {
    Die(program, absl::StrCat("--psk_file: ", file, " has more than one key: ",
                              program, " takes one"));
  }
  return std::move(keys.front());
}

std::string HexSecretOrDie(absl::string_view program, absl::string_view flag,
                           const std::string& file, const std::string& text,
                           size_t min_bytes) {
  CheckNotBothOrDie(program, flag, !file.empty(), !text.empty());
  if (!text.empty()) return HexOrDie(program, flag, text, min_bytes);
  if (file.empty()) return "";
  const std::string file_flag = absl::StrCat(flag, "_file");
  const SecretFile secret = SecretOrDie(program, file_flag, file);
  std::string bytes =
      HexOrDie(program, file_flag, absl::StripAsciiWhitespace(secret.content),
               min_bytes);
  WarnIfOpen(program, file_flag, secret);
  return bytes;
}

std::vector<std::string> IdsOf(
    const std::vector<dtls::VerificationError>& errors) {
  std::vector<std::string> ids;
  for (const dtls::VerificationError& error : errors) {
    std::string id(dtls::VerificationErrorId(error.code));
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) {
      ids.push_back(std::move(id));
    }
  }
  return ids;
}

}  // namespace cordon::tools
