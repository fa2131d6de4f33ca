#include "cordon/dtls/control/credential_reloader.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cordon/testing/certs/certs.h"
#include "cordon/testing/fake_listener/fake_listener.h"
#include "cordon/testing/fake_listener/reactor_thread.h"
#include "cordon/testing/process/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

namespace v1 = ::cordon::control::v1;
using ::cordon::testing::FakeListener;
using ::cordon::testing::kPatience;
using ::cordon::testing::ReactorThread;
using ::cordon::testing::TemporaryFolder;
using ::cordon::testing::TestAuthority;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

Certificate Issue(const std::string& name) {
  static const TestAuthority authority("Reload CA");
  return authority.Issue({.common_name = name});
}

Context ServerWith(const std::string& name) {
  return *Context::Server({.certificates = {Issue(name)}});
}

class CredentialReloaderTest : public ::testing::Test {
 protected:
  ~CredentialReloaderTest() override {
    thread_.Do([&] { listeners_.clear(); });
  }

  // A listener with a certificate for `certificate`.
  Context Listen(const std::string& name, const Context& context) {
    thread_.Do([&] {
      listeners_.push_back(
          std::make_unique<FakeListener>(thread_.reactor(), registry_, name));
      listeners_.back()->set_context(context);
    });
    return context;
  }
  // Certificates of the files are put there one after the other.
  void Write(const Certificate& certificate) {
    folder_.Write("chain", certificate.chain_pem);
    folder_.Write("key", certificate.key_pem);
  }
  // As an editor or a deployment does: never half written.
  void Move(const Certificate& certificate) {
    for (const auto& [path, text] : {std::pair(chain_, certificate.chain_pem),
                                     std::pair(key_, certificate.key_pem)}) {
      folder_.Write("next", text);
      ASSERT_EQ(std::rename((folder_.path() + "/next").c_str(), path.c_str()),
                0);
    }
  }
  void Start(std::vector<CredentialSource> sources,
             absl::Duration interval = absl::InfiniteDuration()) {
    reloader_ = std::make_unique<CredentialReloader>(
        &registry_, &log_, std::move(sources), interval);
  }
  CredentialSource Files(const std::string& listener = "") const {
    CredentialSource source = CertificateFiles(chain_, key_);
    source.listener = listener;
    return source;
  }

  // The lines that came since the last look.
  std::vector<std::string> Told() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(told_, {});
  }
  void WaitForLine() {
    absl::MutexLock lock(&mutex_);
    const auto any = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return !told_.empty();
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&any), kPatience));
  }
  absl::Status Reload(const std::string& listener,
                      v1::ReloadCredentialsResponse* response) {
    v1::ReloadCredentialsRequest request;
    request.set_listener(listener);
    return reloader_->Reload(request, {.name = "alice"},
                             absl::Now() + kPatience, response);
  }

  static bool Has(const Context& context, const Certificate& certificate) {
    return context.OwnCertificates() ==
           Context::Server({.certificates = {certificate}})->OwnCertificates();
  }

  const TemporaryFolder folder_;
  const std::string chain_ = folder_.path() + "/chain";
  const std::string key_ = folder_.path() + "/key";
  Registry registry_;
  ReactorThread thread_;
  std::vector<std::unique_ptr<FakeListener>> listeners_;
  absl::Mutex mutex_;
  std::vector<std::string> told_ ABSL_GUARDED_BY(mutex_);
  Log log_{[this](LogLevel, absl::string_view line) {
    absl::MutexLock lock(&mutex_);
    told_.emplace_back(line);
  }};
  std::unique_ptr<CredentialReloader> reloader_;
};

TEST_F(CredentialReloaderTest, LoadsOnlyWhatHasChanged) {
  const Context context = Listen("a", ServerWith("first"));
  Write(Issue("first"));
  int loads = 0;
  CredentialSource source = Files();
  source.load = [&, load = source.load] {
    ++loads;
    return load();
  };
  Start({source});
  reloader_->CheckFiles();
  EXPECT_EQ(loads, 0);
  const Certificate second = Issue("second");
  Write(second);
  reloader_->CheckFiles();
  reloader_->CheckFiles();
  EXPECT_EQ(loads, 1);
  EXPECT_TRUE(Has(context, second));
  EXPECT_THAT(Told(), ElementsAre(AllOf(
                          StartsWith("the file watch replaces certificates of "
                                     "all listeners: "),
                          HasSubstr("CN=first ("), HasSubstr(" -> "),
                          HasSubstr("CN=second ("))));
}

TEST_F(CredentialReloaderTest, FilesThatChangeBackAreLoadedBack) {
  const Certificate first = Issue("first");
  const Context context =
      Listen("a", *Context::Server({.certificates = {first}}));
  Write(first);
  Start({Files()});
  // The old files themselves come back, with all that they had.
  for (const std::string& path : {chain_, key_}) {
    ASSERT_EQ(std::rename(path.c_str(), (path + ".old").c_str()), 0);
  }
  const Certificate second = Issue("second");
  Write(second);
  reloader_->CheckFiles();
  EXPECT_TRUE(Has(context, second));
  for (const std::string& path : {chain_, key_}) {
    ASSERT_EQ(std::rename((path + ".old").c_str(), path.c_str()), 0);
  }
  reloader_->CheckFiles();
  EXPECT_TRUE(Has(context, first));
  EXPECT_EQ(Told().size(), 2U);
}

TEST_F(CredentialReloaderTest, FilesThatAreMissingAreToldOnce) {
  const Certificate first = Issue("first");
  const Context context =
      Listen("a", *Context::Server({.certificates = {first}}));
  Write(first);
  Start({Files()});
  ASSERT_EQ(std::rename(key_.c_str(), (key_ + ".old").c_str()), 0);
  reloader_->CheckFiles();
  reloader_->CheckFiles();
  EXPECT_THAT(Told(),
              ElementsAre(AllOf(
                  StartsWith("the certificates in use stay, because those in "),
                  HasSubstr(chain_ + " and " + key_))));
  EXPECT_TRUE(Has(context, first));

  ASSERT_EQ(std::rename((key_ + ".old").c_str(), key_.c_str()), 0);
  reloader_->CheckFiles();
  reloader_->CheckFiles();
  EXPECT_TRUE(Has(context, first));
  const Certificate second = Issue("second");
  Move(second);
  reloader_->CheckFiles();
  EXPECT_TRUE(Has(context, second));
}

TEST_F(CredentialReloaderTest, FilesThatComeLaterAreLoaded) {
  const Context context = Listen("a", ServerWith("first"));
  Start({Files()});
  reloader_->CheckFiles();
  EXPECT_THAT(Told(), IsEmpty());
  const Certificate second = Issue("second");
  Write(second);
  reloader_->CheckFiles();
  EXPECT_TRUE(Has(context, second));
}

TEST_F(CredentialReloaderTest, AChainWithoutItsKeyYetChangesNothing) {
  const Certificate first = Issue("first");
  const Context context =
      Listen("a", *Context::Server({.certificates = {first}}));
  Write(first);
  Start({Files()});
  const Certificate second = Issue("second");
  folder_.Write("chain", second.chain_pem);
  reloader_->CheckFiles();
  EXPECT_TRUE(Has(context, first));
  EXPECT_THAT(Told(), ElementsAre(AllOf(HasSubstr(chain_),
                                        Not(HasSubstr("PRIVATE KEY")))));
  folder_.Write("key", second.key_pem);
  reloader_->CheckFiles();
  EXPECT_TRUE(Has(context, second));
}

TEST_F(CredentialReloaderTest, EachBadVersionIsTold) {
  Listen("a", ServerWith("first"));
  Write(Issue("first"));
  Start({Files()});
  Move({.chain_pem = "rubbish", .key_pem = "rubbish"});
  reloader_->CheckFiles();
  reloader_->CheckFiles();
  Move({.chain_pem = "rubbish", .key_pem = "rubbish"});
  reloader_->CheckFiles();
  EXPECT_EQ(Told().size(), 2U);
}

// The listener may come after the change.
TEST_F(CredentialReloaderTest, WhatNoListenerTakesIsTriedAgain) {
  Write(Issue("first"));
  Start({Files("a")});
  const Certificate second = Issue("second");
  Write(second);
  reloader_->CheckFiles();
  reloader_->CheckFiles();
  EXPECT_THAT(Told(), ElementsAre(HasSubstr("there is no listener \"a\"")));
  const Context context = Listen("a", ServerWith("first"));
  reloader_->CheckFiles();
  EXPECT_TRUE(Has(context, second));
  EXPECT_THAT(Told(), ElementsAre(HasSubstr("replaces certificates")));
  reloader_->CheckFiles();
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(CredentialReloaderTest, EachListenerGetsThoseOfItsName) {
  const Context a = Listen("a", ServerWith("a"));
  const Context b = Listen("b", ServerWith("b"));
  Write(Issue("first"));
  Start({Files("b")});
  const std::vector<std::string> own = a.OwnCertificates();
  const Certificate second = Issue("second");
  Write(second);
  reloader_->CheckFiles();
  EXPECT_EQ(a.OwnCertificates(), own);
  EXPECT_TRUE(Has(b, second));
}

TEST_F(CredentialReloaderTest, AContextOfSeveralListenersIsChangedOnce) {
  const Context context = ServerWith("first");
  Listen("a", context);
  Listen("a", context);
  Listen("b", context);
  Write(Issue("first"));
  Start({Files()});
  Write(Issue("second"));
  reloader_->CheckFiles();
  EXPECT_EQ(Told().size(), 1U);
}

TEST_F(CredentialReloaderTest, ListenersWithPreSharedKeysOnlyAreNotMeant) {
  const PreSharedKey key = {.identity = "sensor",
                            .key = std::vector<uint8_t>(16, 0x5a)};
  const Context psk =
      Listen("psk", *Context::Server({.pre_shared_keys = {key}}));
  const Context context = Listen("a", ServerWith("first"));
  Write(Issue("first"));
  Start({Files()});
  const Certificate second = Issue("second");
  Write(second);
  reloader_->CheckFiles();
  EXPECT_TRUE(Has(context, second));
  EXPECT_THAT(psk.OwnCertificates(), IsEmpty());
  EXPECT_THAT(Told(), ElementsAre(HasSubstr("replaces certificates")));
  // Meant alone, it is an error.
  v1::ReloadCredentialsResponse response;
  EXPECT_TRUE(absl::IsFailedPrecondition(Reload("psk", &response)));
}

TEST_F(CredentialReloaderTest, WhatAnOperatorHasLoadedIsNotLoadedAgain) {
  const Context context = Listen("a", ServerWith("first"));
  Write(Issue("first"));
  Start({Files()});
  const Certificate second = Issue("second");
  Write(second);
  v1::ReloadCredentialsResponse response;
  ASSERT_EQ(Reload("", &response), absl::OkStatus());
  ASSERT_EQ(response.certificates_size(), 1);
  EXPECT_THAT(response.certificates(0).subject(), HasSubstr("CN=second"));
  EXPECT_THAT(Told(), ElementsAre(StartsWith("alice replaces certificates")));
  reloader_->CheckFiles();
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_TRUE(Has(context, second));
}

TEST_F(CredentialReloaderTest, WhatAnOperatorHasLoadedForOneOthersStillGet) {
  const Context a = Listen("a", ServerWith("first"));
  const Context b = Listen("b", ServerWith("first"));
  Write(Issue("first"));
  Start({Files()});
  const Certificate second = Issue("second");
  Write(second);
  v1::ReloadCredentialsResponse response;
  ASSERT_EQ(Reload("a", &response), absl::OkStatus());
  EXPECT_TRUE(Has(a, second));
  EXPECT_FALSE(Has(b, second));
  reloader_->CheckFiles();
  EXPECT_TRUE(Has(b, second));
}

TEST_F(CredentialReloaderTest, AnOperatorIsToldThatNobodyUsesThem) {
  Write(Issue("first"));
  Start({Files()});
  v1::ReloadCredentialsResponse response;
  const absl::Status nobody = Reload("", &response);
  EXPECT_TRUE(absl::IsNotFound(nobody)) << nobody;
  Start({});
  Listen("a", ServerWith("first"));
  const absl::Status unknown = Reload("", &response);
  EXPECT_TRUE(absl::IsFailedPrecondition(unknown)) << unknown;
}

TEST_F(CredentialReloaderTest, ItsThreadSeesChanges) {
  const Context context = Listen("a", ServerWith("first"));
  Write(Issue("first"));
  Start({Files()}, absl::Milliseconds(1));
  const Certificate second = Issue("second");
  // Once both are there, whichever it saw first.
  Move(second);
  while (!Has(context, second)) WaitForLine(), Told();
  EXPECT_TRUE(Has(context, second));
}

TEST_F(CredentialReloaderTest, ItsThreadEndsWithoutWaitingForItsNextLook) {
  Write(Issue("first"));
  Start({Files()}, absl::Hours(24));
  reloader_.reset();
}

}  // namespace
}  // namespace cordon::dtls::control
