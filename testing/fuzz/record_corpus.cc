// Writes the inputs that fuzz targets begin with, as far as they are made of
// real handshakes, certificates and messages:
//
//   bazel run //testing/fuzz:record_corpus -- "$PWD/testing/fuzz/corpus"
//
// Handshakes are never the same twice: run it when the format of an input has
// changed, not before.
#include <google/protobuf/text_format.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/pkcs8.h>
#include <openssl/x509.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cordon/dtls/control/control.pb.h"
#include "cordon/dtls/internal/peer_verifier.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/fuzz/datagram_script.h"
#include "cordon/testing/fuzz/engine_wire.h"
#include "cordon/testing/fuzz/input.h"
#include "cordon/testing/fuzz/scenarios.h"
#include "cordon/testing/sim/virtual_clock.h"

namespace cordon::testing {
namespace {

namespace v1 = ::cordon::control::v1;
using Bytes = std::vector<uint8_t>;

class Corpus {
 public:
  explicit Corpus(std::filesystem::path folder) : folder_(std::move(folder)) {}

  void Write(const std::string& target, const std::string& name,
             const Bytes& bytes) const {
    std::filesystem::create_directories(folder_ / target);
    std::ofstream file(folder_ / target / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    Require(file.good(), "the folder can be written");
  }

 private:
  const std::filesystem::path folder_;
};

void Append(Bytes& to, absl::string_view text) {
  to.insert(to.end(), text.begin(), text.end());
}

Bytes Counted(absl::string_view text) {
  Bytes bytes = {static_cast<uint8_t>(text.size() >> 8),
                 static_cast<uint8_t>(text.size())};
  Append(bytes, text);
  return bytes;
}

std::string ToText(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

Bytes Join(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

// What the two of a scenario send each other, up to a message each.
struct Recording {
  std::vector<Bytes> from_client;
  std::vector<Bytes> from_server;
};

Recording Record(size_t which) {
  const Scenario& scenario = GetScenario(which);
  auto ignore = [](absl::Span<const uint8_t>) {};
  EngineWire server(
      *dtls::Engine::Create(scenario.server_context, scenario.server),
      scenario.max_datagram, ignore);
  EngineWire client(
      *dtls::Engine::Create(scenario.client_context, scenario.client),
      scenario.max_datagram, ignore);
  const absl::Time now = VirtualClock::Epoch();
  server.Start(now);
  client.Start(now);
  auto move = [&](EngineWire& from, EngineWire& to) {
    while (!from.sent.empty()) {
      to.Receive(std::move(from.sent.front()), now);
      from.sent.pop_front();
      from.Decide(true, now);
      to.Decide(true, now);
    }
  };
  while (!server.sent.empty() || !client.sent.empty()) {
    move(client, server);
    move(server, client);
  }
  Require(server.connected() && client.connected(), "both come together");
  const Bytes message = {'h', 'e', 'l', 'l', 'o'};
  Require(client.Send(message) && server.Send(message), "messages are sent");
  client.Close(now);
  return {.from_client = client.history, .from_server = server.history};
}

void WriteHandshakes(const Corpus& corpus) {
  for (size_t i = 0; i < kScenarios; ++i) {
    const Recording recording = Record(i);
    const std::string name = absl::StrCat("scenario_", i);
    const auto number = static_cast<uint8_t>(i);
    corpus.Write("engine_server_fuzz", name,
                 Join({{number}, WriteScript(recording.from_client)}));
    corpus.Write("engine_client_fuzz", name,
                 Join({{number}, WriteScript(recording.from_server)}));
    const Bytes& hello = recording.from_client[0];
    corpus.Write("client_hello_fuzz", name, hello);
    // Twice without a cookie, with the first, from elsewhere, changed, after
    // some time, with another secret.
    corpus.Write("cookie_fuzz", name,
                 Join({Counted(ToText(hello)),
                       {0, 0,  1, 1, 2, 0, 0,   2, 1, 1, 2, 2, 0, 4, 0, 0, 0,
                        0, 40, 1, 6, 0, 0, 100, 2, 0, 0, 7, 0, 0, 2, 0, 0, 7,
                        0, 0,  2, 0, 0, 6, 3,   1, 0, 2, 3, 0, 3, 3, 1}}));
  }
}

// Steps of the target, see there: 0 delivers what the client has sent, 0x80
// what the server has.
void WriteInterference(const Corpus& corpus) {
  const Bytes both = {0x00, 0x80, 0x00, 0x80, 0x80, 0x80, 0x00, 0x00,
                      0x80, 0x80, 0x00, 0x00, 0x00, 0x80, 0x80, 0x80};
  const std::vector<std::pair<std::string, Bytes>> scripts = {
      {"delivered", Join({both, both})},
      {"messages",
       Join({both,
             both,
             {0x0d, 0x8d, 0x0d, 0x00, 0x80, 0x00, 0x0a, 0x05, 0x8a, 0x05}})},
      {"decided",
       Join({both, {0x0e, 1, 0x8e, 1}, both, {0x0e, 1, 0x8e, 1}, both})},
      {"refused", Join({both, {0x0e, 0, 0x8e, 0}, both})},
      {"lost", Join({{0x04, 0x0c, 0x00, 0x84, 0x8c}, both, {0x0c}, both})},
      {"repeated", Join({{0x05, 0x00, 0x00, 0x85, 0x85}, both, both})},
      {"separated", Join({{0x00, 0x8f, 1, 0x83, 2, 0x83, 1},
                          both,
                          {0x0f, 1, 0x03, 1},
                          both})},
      {"flipped", Join({{0x00, 0x86, 0, 0, 60, 1}, both, both})},
      {"fragmented", Join({{0x06, 8, 0, 40, 0x8f, 1, 0x0f, 1}, both, both})},
      {"field", Join({{0x06, 1, 0, 7, 255, 0x00, 0x86, 1, 0, 2, 1}, both})},
      {"alert", Join({{0x00, 0x89, 15, 21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9,
                       0, 2, 2, 40},
                      both,
                      both})},
      {"alert_later", Join({both,
                            both,
                            {0x89, 15, 21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9,
                             0, 2, 2, 40, 0x0d, 0x00}})},
      {"closed", Join({both, both, {0x0f, 0, 0x00, 0x0d, 0x8d}})},
      {"late", Join({{0x00, 0x0b, 200, 0x8b, 200, 0x8c, 0x0c}, both, both})},
  };
  for (size_t i = 0; i < scripts.size(); ++i) {
    for (const size_t which : {i % kScenarios, (i + 3) % kScenarios}) {
      corpus.Write("handshake_fuzz", absl::StrCat(scripts[i].first, "_", which),
                   Join({{static_cast<uint8_t>(which)}, scripts[i].second}));
    }
  }
}

// Of strangers 0 to 2, which the highest bits choose: 0 begins, 1 sends, 2
// forges, 3 receives, 4 and 5 inject, 6 lets time pass, 7 acts.
void WriteSieges(const Corpus& corpus) {
  const Bytes exchange = {0x01, 0x06, 1, 0x03};
  const Bytes handshake =
      Join({{0x00}, exchange, exchange, exchange, exchange});
  const std::vector<std::pair<std::string, Bytes>> scripts = {
      {"handshake", handshake},
      {"closed", Join({handshake, {0x07, 0}, exchange})},
      {"came_back", Join({handshake, handshake})},
      {"message", Join({handshake, {0x07, 2}, exchange})},
      {"another_key",
       {0x80, 0x81, 0x06, 1, 0x83, 0x81, 0x06, 1, 0x83, 0x81, 0x06, 1, 0x83,
        0x81, 0x06, 1, 0x83}},
      {"half_open",
       {0x00, 0x01, 0x06, 1, 0x03, 0x01, 0x06, 200, 0x40, 0x41, 0x06, 1, 0x43,
        0x41, 0x06, 200}},
      {"replayed",
       Join({handshake,
             {0xc5, 0, 0xc5, 1, 0xc5, 2, 0xc5, 3, 0x45, 0, 0x45, 2, 0x85, 4}})},
      {"changed", Join({{0x00, 0x02, 0, 0, 60, 1, 0x06, 1, 0x03}, exchange})},
      {"forged_address",
       {0xcd, 0,    0, 0, 30, 1, 0xcd, 2, 0, 0, 50, 1, 0xc4, 15, 21,
        0xfe, 0xfd, 0, 0, 0,  0, 0,    0, 0, 9, 0,  2, 2,    40}},
      {"stolen_cookie",
       {0x00, 0x01, 0x06, 1, 0x03, 0x45, 0,    0x85, 1,    0x01,
        0x06, 1,    0x45, 6, 0x85, 7,    0xc5, 7,    0xc5, 8}},
  };
  for (const auto& [name, script] : scripts) {
    corpus.Write("listener_fuzz", name, script);
  }
}

std::string ToDer(X509* certificate) {
  uint8_t* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  Require(size > 0, "a certificate can be written");
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

std::string ToPkcs12(const dtls::Certificate& certificate) {
  const std::vector<bssl::UniquePtr<X509>> chain =
      *dtls::internal::ParseCertificates(certificate.chain_pem, "chain");
  const bssl::UniquePtr<BIO> key_bio(
      BIO_new_mem_buf(certificate.key_pem.data(),
                      static_cast<ossl_ssize_t>(certificate.key_pem.size())));
  const bssl::UniquePtr<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  const bssl::UniquePtr<PKCS12> pkcs12(PKCS12_create(
      "secret", "name", key.get(), chain[0].get(), nullptr, 0, 0, 100, 100, 0));
  uint8_t* der = nullptr;
  const int size = i2d_PKCS12(pkcs12.get(), &der);
  Require(size > 0, "a PKCS#12 file can be written");
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

void WriteCertificates(const Corpus& corpus) {
  const TestAuthority root("Test CA");
  const TestAuthority second = root.IssueAuthority("Test CA 2");
  const std::vector<std::pair<std::string, dtls::Certificate>> certificates = {
      {"plain", root.Issue({.dns_names = {"localhost"}})},
      {"chain", second.Issue({.dns_names = {"localhost", "*.example.com"},
                              .ip_addresses = {"192.0.2.1", "2001:db8::1"},
                              .uris = {"spiffe://example.com/ns/a/sa/web"}})},
      {"rsa", root.Issue({.common_name = "rsa", .key = KeyType::kRsa2048})},
      {"ed25519", root.Issue({.key = KeyType::kEd25519, .usage = ""})},
      {"self_signed", SelfSigned({.common_name = "localhost"})},
      {"by_a_leaf", IssuedByALeaf(root)},
      {"client", root.Issue({.usage = "clientAuth", .sha1 = true})},
  };
  const std::string crl = root.Crl({certificates[0].second});
  for (const auto& [name, certificate] : certificates) {
    const std::vector<bssl::UniquePtr<X509>> chain =
        *dtls::internal::ParseCertificates(certificate.chain_pem, "chain");
    Bytes ders;
    for (const bssl::UniquePtr<X509>& each : chain) {
      ders = Join({ders, Counted(ToDer(each.get()))});
    }
    corpus.Write("peer_certificate_fuzz", name, Join({{4}, ders}));
    Bytes texts = Join({{0}, Counted(certificate.chain_pem)});
    Append(texts, certificate.key_pem);
    corpus.Write("credentials_fuzz", "texts_" + name, texts);
    Bytes der = {2};
    Append(der, ToDer(chain[0].get()));
    corpus.Write("credentials_fuzz", "anchor_" + name, der);
  }
  Bytes pkcs12 = {1};
  Append(pkcs12, ToPkcs12(certificates[0].second));
  corpus.Write("credentials_fuzz", "pkcs12", pkcs12);
  Bytes crls = Join({{3}, Counted(root.certificate_pem())});
  Append(crls, crl);
  corpus.Write("credentials_fuzz", "crls", crls);
  Bytes both = {4};
  Append(both, certificates[0].second.chain_pem);
  Append(both, certificates[0].second.key_pem);
  corpus.Write("credentials_fuzz", "one_file", both);
  Bytes anchors = {5};
  Append(anchors, root.certificate_pem());
  Append(anchors, second.certificate_pem());
  corpus.Write("credentials_fuzz", "anchors", anchors);

  // Changes to a good chain: none, to the signature, to the name, cut, swapped.
  const std::vector<Bytes> changes = {
      {},           {0, 0, 1, 90, 1}, {0, 1, 0, 200, 7},
      {1, 0, 1, 0}, {2, 0, 0, 0, 1},  {3, 1, 0, 0, 3, 0, 0, 0}};
  for (size_t i = 0; i < changes.size(); ++i) {
    corpus.Write("peer_certificate_fuzz", absl::StrCat("changed_", i),
                 Join({{static_cast<uint8_t>(2 + i % 2)}, changes[i]}));
  }
}

template <typename Message>
Bytes Request(uint8_t method, const std::string& text) {
  Message message;
  Require(google::protobuf::TextFormat::ParseFromString(text, &message), text);
  return Join({{method}, Counted(message.SerializeAsString())});
}

void WriteRequests(const Corpus& corpus) {
  const Bytes first = Request<v1::SetPolicyRequest>(
      3, "policy { client_certificate: NONE } comment: \"first\"");
  const std::vector<std::pair<std::string, Bytes>> requests = {
      {"list", Request<v1::ListSessionsRequest>(0, "")},
      {"list_pages", Request<v1::ListSessionsRequest>(
                         0, "page_size: 2 order: SESSION_ORDER_PEER")},
      {"list_filtered",
       Request<v1::ListSessionsRequest>(
           0,
           "page_size: 3 order: SESSION_ORDER_TRAFFIC filter { states: "
           "SESSION_STATE_CONNECTED listener: \"a\" peer_prefix: "
           "\"10.0.0.0/16\" peer_name: \"dev\" fingerprint: \"0a\" min_age { "
           "seconds: 5 } max_age { seconds: 9000000000 } min_idle { nanos: 7 } "
           "min_bytes: 1 resumed: false policy_version_below: 9 }")},
      {"list_token",
       Request<v1::ListSessionsRequest>(0, "page_token: \"3\" page_size: 1")},
      {"list_other_token", Request<v1::ListSessionsRequest>(
                               0,
                               "order: SESSION_ORDER_AGE page_token: "
                               "\"00112233445566778899aabbccddeeff-2\"")},
      {"session", Request<v1::GetSessionRequest>(1, "id: 3")},
      {"close", Request<v1::CloseSessionsRequest>(
                    2, "ids: 1 ids: 77 reason: \"because\"")},
      {"close_filtered",
       Request<v1::CloseSessionsRequest>(
           2, "filter { peer_prefix: \"10.0.0.0/8\" } dry_run: true")},
      {"policies",
       Join({first, Request<v1::GetPolicyRequest>(4, ""),
             Request<v1::SetPolicyRequest>(
                 3,
                 "policy { client_certificate: REQUEST max_chain_depth: 3 "
                 "tolerated { error: \"expired\" name: \"*.example.com\" } "
                 "pins { sha256: \"" +
                     std::string(64, 'a') +
                     "\" } allowed_names: \"uri:spiffe://example.org/**\" "
                     "denied_names: \"dns:bad.example.com\" psk { "
                     "enabled_identities: \"device\" } min_version: "
                     "\"DTLSv1.2\" trust { system: true } } expected_version: "
                     "1 apply_to_sessions: true"),
             Request<v1::RollBackPolicyRequest>(
                 7, "version: 1 expected_version: 2"),
             Request<v1::ListPolicyVersionsRequest>(5, "page_size: 2")})},
      {"policy_of_one",
       Join({Request<v1::SetPolicyRequest>(
                 3, "listener: \"a\" policy { client_certificate: QUERY }"),
             Request<v1::ListPolicyVersionsRequest>(5, "listener: \"a\"")})},
      {"validate", Request<v1::ValidatePolicyRequest>(
                       6,
                       "policy { client_certificate: REQUIRE psk { "
                       "disabled_identities: \"device\" } }")},
      {"limits",
       Join({Request<v1::SetLimitsRequest>(9,
                                           "listener: \"b\" limits { name: "
                                           "\"max_sessions\" value: 5 }"),
             Request<v1::GetLimitsRequest>(8, "")})},
      {"drain", Request<v1::DrainRequest>(
                    10, "listener: \"a\" deadline { seconds: 3 }")},
      {"cookie_secret", Request<v1::RotateCookieSecretRequest>(
                            11, "secret: \"0123456789abcdef\"")},
      {"ticket_keys", Request<v1::RotateTicketKeysRequest>(12, "")},
  };
  for (const auto& [name, bytes] : requests) {
    corpus.Write("control_fuzz", name, bytes);
  }
}

}  // namespace
}  // namespace cordon::testing

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const cordon::testing::Corpus corpus(argv[1]);
  cordon::testing::WriteHandshakes(corpus);
  cordon::testing::WriteInterference(corpus);
  cordon::testing::WriteSieges(corpus);
  cordon::testing::WriteCertificates(corpus);
  cordon::testing::WriteRequests(corpus);
  return 0;
}
