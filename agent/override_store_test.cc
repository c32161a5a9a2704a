#include "agent/override_store.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/simulated_loop.h"
#include "config/override_xml.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "throttling/fake_shared_text.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = OverrideNews::Kind;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

Override Of(const std::string& item, const std::string& value, absl::Duration life) {
  Override override;
  override.item_type = ItemType::kProbe;
  override.identity = {"Web", item, ""};
  override.property = "interval";
  override.value = value;
  override.created = kNow;
  override.expiration = kNow + life;
  override.created_by = "ada";
  return override;
}

class OverrideStoreTest : public testing::Test {
 protected:
  OverrideStoreTest() {
    dir_ = std::string(getenv("TEST_TMPDIR")) + "/overrides-XXXXXX";
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
  }
  ~OverrideStoreTest() override {
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  void Open(SharedText* shared = nullptr) {
    store_.reset();
    OverrideStoreOptions options;
    options.local_file = Path("overrides.xml");
    options.global_file = Path("global-overrides.xml");
    options.local_copy = Path("overrides.last.xml");
    options.global_copy = Path("global-overrides.last.xml");
    options.shared = shared;
    store_ = std::make_unique<OverrideStore>(
        loop_, worker_, options,
        OverrideStore::Listener{
            .on_change = [this] { ++changes_; },
            .on_news = [this](const OverrideNews& news) { news_.push_back(news); }});
    store_->Load();
    loop_.RunPending();
  }
  std::string Path(const std::string& name) const { return dir_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(Path(name), text).ok());
  }
  // The simulated clock is not the file system's.
  void WrittenAt(const std::string& name, absl::Time time) {
    const timespec times[] = {absl::ToTimespec(time), absl::ToTimespec(time)};
    ASSERT_EQ(utimensat(AT_FDCWD, Path(name).c_str(), times, 0), 0);
  }
  std::string ReadBack(const std::string& name) const { return ReadFile(Path(name)).value_or(""); }

  absl::Status Add(OverrideScope scope, const Override& override) {
    std::optional<absl::Status> status;
    store_->Add(scope, override, [&](auto replaced) { status = replaced.status(); });
    for (int i = 0; i < 40 && !status.has_value(); ++i) loop_.RunFor(absl::Milliseconds(100));
    return status.value_or(absl::InternalError("no answer"));
  }
  absl::Status Remove(OverrideScope scope, const Override& like) {
    std::optional<absl::Status> status;
    store_->Remove(scope, like, "bob", [&](auto removed) { status = removed.status(); });
    for (int i = 0; i < 40 && !status.has_value(); ++i) loop_.RunFor(absl::Milliseconds(100));
    return status.value_or(absl::InternalError("no answer"));
  }
  // Those that have not ended: "local Ping=1m".
  std::vector<std::string> Alive() const {
    std::vector<std::string> alive;
    for (size_t i = 0; i < store_->overrides().size(); ++i) {
      const ScopedOverride& one = store_->overrides()[i];
      if (store_->ended()[i]) continue;
      alive.push_back(absl::StrCat(OverrideScopeName(one.scope), " ", one.override.identity.item,
                                   "=", one.override.value));
    }
    return alive;
  }
  std::vector<Kind> Kinds() const {
    std::vector<Kind> kinds;
    for (const OverrideNews& news : news_) kinds.push_back(news.kind);
    return kinds;
  }

  std::string dir_;
  SimulatedLoop loop_{SimulatedClock(kNow)};
  InlineWorker worker_;
  int changes_ = 0;
  std::vector<OverrideNews> news_;
  std::unique_ptr<OverrideStore> store_;
};

TEST_F(OverrideStoreTest, WhatIsAddedIsInTheFileAndThereAgain) {
  Open();
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Ping", "1m", absl::Hours(1))).ok());
  EXPECT_THAT(Alive(), ElementsAre("local Ping=1m"));
  EXPECT_EQ(changes_, 1);
  ASSERT_THAT(Kinds(), ElementsAre(Kind::kAdded));
  EXPECT_EQ(news_[0].who, "ada");
  EXPECT_THAT(news_[0].what, HasSubstr("Web\\Ping: interval=1m, until 2027-01-15T09:00:00Z"));
  Open();
  EXPECT_THAT(Alive(), ElementsAre("local Ping=1m"));
  EXPECT_EQ(changes_, 1);
}

TEST_F(OverrideStoreTest, TheSameAgainReplaces) {
  Open();
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Ping", "1m", absl::Hours(1))).ok());
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("PING", "2m", absl::Hours(1))).ok());
  EXPECT_THAT(Alive(), ElementsAre("local PING=2m"));
}

TEST_F(OverrideStoreTest, TwoVersionsStandSideBySideAndOneIsRemovedByItsVersion) {
  Open();
  Override one = Of("Ping", "1m", absl::Hours(1));
  one.version = "1.00";
  Override two = Of("Ping", "2m", absl::Hours(1));
  two.version = "2.0";
  ASSERT_TRUE(Add(OverrideScope::kLocal, one).ok());
  ASSERT_TRUE(Add(OverrideScope::kLocal, two).ok());
  EXPECT_THAT(Alive(), ElementsAre("local Ping=1m", "local Ping=2m"));
  Override like = one;
  like.version = "";
  EXPECT_EQ(Remove(OverrideScope::kLocal, like).code(), absl::StatusCode::kInvalidArgument);
  like.version = "1.0";
  EXPECT_TRUE(Remove(OverrideScope::kLocal, like).ok());
  like.version = "";
  EXPECT_TRUE(Remove(OverrideScope::kLocal, like).ok());
  EXPECT_THAT(Alive(), IsEmpty());
  EXPECT_EQ(news_.back().kind, Kind::kRemoved);
  EXPECT_EQ(news_.back().who, "bob");
}

TEST_F(OverrideStoreTest, WhatIsNotThereCannotBeRemoved) {
  Open();
  const Override ping = Of("Ping", "1m", absl::Hours(1));
  EXPECT_EQ(Remove(OverrideScope::kLocal, ping).code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Pong", "1m", absl::Hours(1))).ok());
  EXPECT_THAT(Remove(OverrideScope::kLocal, ping).message(), HasSubstr("Web\\Pong: interval=1m"));
}

TEST_F(OverrideStoreTest, AnEditedFileHoldsWithinASecond) {
  Open();
  Write("overrides.xml", OverridesXml({Of("Ping", "3m", absl::Hours(1))}));
  loop_.RunFor(absl::Milliseconds(600));
  EXPECT_THAT(Alive(), ElementsAre("local Ping=3m"));
  Write("global-overrides.xml", OverridesXml({Of("Pong", "4m", absl::Hours(1))}));
  loop_.RunFor(absl::Milliseconds(600));
  EXPECT_THAT(Alive(), ElementsAre("local Ping=3m", "global Pong=4m"));
  EXPECT_EQ(changes_, 2);
  EXPECT_THAT(Kinds(), ElementsAre(Kind::kAdded, Kind::kAdded));
}

TEST_F(OverrideStoreTest, AFileThatGoesTakesItsOverridesWithIt) {
  Open();
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Ping", "1m", absl::Hours(1))).ok());
  std::filesystem::remove(Path("overrides.xml"));
  loop_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Alive(), IsEmpty());
  EXPECT_THAT(Kinds(), ElementsAre(Kind::kAdded, Kind::kRemoved));
  Open();
  EXPECT_THAT(Alive(), IsEmpty());
}

TEST_F(OverrideStoreTest, AFaultyFileLeavesTheLastGoodInForceAndIsSaidOnce) {
  Open();
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Ping", "1m", absl::Hours(1))).ok());
  Write("overrides.xml", "<MonitoringOverrides>\n <Overide/></MonitoringOverrides>");
  loop_.RunFor(absl::Seconds(10));
  EXPECT_THAT(Alive(), ElementsAre("local Ping=1m"));
  ASSERT_THAT(Kinds(), ElementsAre(Kind::kAdded, Kind::kRejectedFile));
  EXPECT_THAT(news_[1].why, HasSubstr("overrides.xml:2:2: unknown element <Overide>"));
  ASSERT_EQ(store_->faults().size(), 1u);
  EXPECT_EQ(changes_, 1);
  // A person's text is not written over.
  const absl::Status refused = Add(OverrideScope::kLocal, Of("Pong", "1m", absl::Hours(1)));
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("must be repaired first"));
  Write("overrides.xml", OverridesXml({Of("Ping", "5m", absl::Hours(1))}));
  loop_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Alive(), ElementsAre("local Ping=5m"));
  EXPECT_THAT(store_->faults(), IsEmpty());
}

TEST_F(OverrideStoreTest, AFaultyFileAtTheStartLeavesTheLastGoodInForce) {
  Open();
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Ping", "1m", absl::Hours(1))).ok());
  Write("overrides.xml", "nonsense");
  Open();
  EXPECT_THAT(Alive(), ElementsAre("local Ping=1m"));
  EXPECT_EQ(news_.back().kind, Kind::kRejectedFile);
}

TEST_F(OverrideStoreTest, TheLastGoodMayBeAnEditedOneAndOutlivesAnEmptyMoment) {
  Open();
  Write("overrides.xml", OverridesXml({Of("Ping", "3m", absl::Hours(1))}));
  loop_.RunFor(absl::Seconds(1));
  std::ofstream(Path("overrides.xml")) << "";
  loop_.RunFor(kOverrideLookInterval);
  std::ofstream(Path("overrides.xml")) << "nonsense";
  loop_.RunFor(absl::Seconds(1));
  Open();
  EXPECT_THAT(Alive(), ElementsAre("local Ping=3m"));
}

TEST_F(OverrideStoreTest, AFileThatIsBeingWrittenIsWaitedFor) {
  Open();
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Ping", "1m", absl::Hours(1))).ok());
  const std::string text = OverridesXml({Of("Ping", "2m", absl::Hours(1))});
  for (const size_t length : {size_t{0}, text.size() / 2, text.size()}) {
    std::ofstream(Path("overrides.xml")) << text.substr(0, length);
    loop_.RunFor(kOverrideLookInterval);
    EXPECT_EQ(Alive().size(), 1u);
  }
  EXPECT_THAT(Alive(), ElementsAre("local Ping=2m"));
  EXPECT_THAT(Kinds(), ElementsAre(Kind::kAdded, Kind::kAdded));
}

TEST_F(OverrideStoreTest, AnEditJustBeforeAnAddIsKept) {
  Open();
  Write("overrides.xml", OverridesXml({Of("Ping", "3m", absl::Hours(1))}));
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Pong", "1m", absl::Hours(1))).ok());
  EXPECT_THAT(Alive(), ElementsAre("local Ping=3m", "local Pong=1m"));
}

TEST_F(OverrideStoreTest, EndsByItselfAtItsTime) {
  Open();
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Ping", "1m", absl::Hours(1))).ok());
  loop_.RunFor(kNow + absl::Hours(1) - loop_.clock().WallNow() - absl::Milliseconds(1));
  EXPECT_THAT(Alive(), ElementsAre("local Ping=1m"));
  loop_.RunFor(kOverrideLookInterval);
  EXPECT_THAT(Alive(), IsEmpty());
  EXPECT_EQ(changes_, 2);
  EXPECT_THAT(Kinds(), ElementsAre(Kind::kAdded, Kind::kExpired));
  EXPECT_EQ(store_->overrides().size(), 1u);  // Still listed.
}

TEST_F(OverrideStoreTest, OfAVersionItEndsAfter365Days) {
  Open();
  Override override = Of("Ping", "1m", absl::Hours(24 * 500));
  override.version = "1.0";
  ASSERT_TRUE(Add(OverrideScope::kLocal, override).ok());
  loop_.simulated_clock().Advance(absl::Hours(24 * 365) - absl::Minutes(1));
  loop_.RunFor(kOverrideLookInterval);
  EXPECT_EQ(Alive().size(), 1u);
  loop_.RunFor(absl::Minutes(1));
  EXPECT_THAT(Alive(), IsEmpty());
}

// Written by hand, without a CreatedTime: 365 days from when its file was written.
TEST_F(OverrideStoreTest, OfAVersionWithoutADateItEndsAfter365DaysToo) {
  Override override = Of("Ping", "1m", absl::Hours(24 * 500));
  override.version = "1.0";
  override.created = absl::InfinitePast();
  Write("overrides.xml", OverridesXml({override}));
  WrittenAt("overrides.xml", kNow);
  Open();
  loop_.simulated_clock().Advance(absl::Hours(24 * 364));
  Open();  // A restart prolongs nothing.
  loop_.simulated_clock().Advance(absl::Hours(24) - absl::Minutes(1));
  loop_.RunFor(kOverrideLookInterval);
  EXPECT_EQ(Alive().size(), 1u);
  // Nor does a file that is written anew for another one.
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Pong", "1m", absl::Hours(24 * 500))).ok());
  loop_.RunFor(absl::Minutes(1));
  EXPECT_THAT(Alive(), ElementsAre("local Pong=1m"));
}

TEST_F(OverrideStoreTest, AnEarlierEndHoldsAlsoWithoutADate) {
  Override override = Of("Ping", "1m", absl::Hours(1));
  override.version = "1.0";
  override.created = absl::InfinitePast();
  Write("overrides.xml", OverridesXml({override}));
  WrittenAt("overrides.xml", kNow);
  Open();
  EXPECT_EQ(store_->overrides()[0].override.created, absl::InfinitePast());
  loop_.RunFor(absl::Hours(1));
  EXPECT_THAT(Alive(), IsEmpty());
}

TEST_F(OverrideStoreTest, WhatAKilledWriteLeftIsRemovedAtTheStart) {
  for (const char* name : {"overrides.xml.new-aB3dE6", "overrides.last.xml.new-aB3dE6",
                           "global-overrides.last.xml.new-aB3dE6", "overrides.xml.backup"}) {
    Write(name, "x");
  }
  Open();
  EXPECT_FALSE(std::filesystem::exists(Path("overrides.xml.new-aB3dE6")));
  EXPECT_FALSE(std::filesystem::exists(Path("overrides.last.xml.new-aB3dE6")));
  EXPECT_FALSE(std::filesystem::exists(Path("global-overrides.last.xml.new-aB3dE6")));
  EXPECT_TRUE(std::filesystem::exists(Path("overrides.xml.backup")));
}

TEST_F(OverrideStoreTest, AClockThatIsSetForwardEndsIt) {
  Open();
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Ping", "1m", absl::Hours(1))).ok());
  loop_.simulated_clock().StepWall(absl::Hours(2));
  loop_.RunFor(kOverrideLookInterval);
  EXPECT_THAT(Alive(), IsEmpty());
  // It was wrong and is put right: what has not run its time holds again.
  loop_.simulated_clock().StepWall(-absl::Hours(2));
  loop_.RunFor(kOverrideLookInterval);
  EXPECT_THAT(Alive(), ElementsAre("local Ping=1m"));
}

TEST_F(OverrideStoreTest, AClockThatIsSetBackProlongsNothing) {
  Open();
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Ping", "1m", absl::Hours(1))).ok());
  loop_.RunFor(absl::Minutes(59));
  loop_.simulated_clock().StepWall(-absl::Hours(24));
  loop_.RunFor(absl::Seconds(30));
  EXPECT_EQ(Alive().size(), 1u);
  loop_.RunFor(absl::Seconds(31));
  EXPECT_THAT(Alive(), IsEmpty());
}

TEST_F(OverrideStoreTest, WhatEndedAWeekAgoIsDroppedAtTheNextWrite) {
  Open();
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Ping", "1m", absl::Hours(1))).ok());
  loop_.simulated_clock().Advance(absl::Hours(1 + 7 * 24) + absl::Seconds(1));
  Override pong = Of("Pong", "1m", absl::Hours(500));
  ASSERT_TRUE(Add(OverrideScope::kLocal, pong).ok());
  EXPECT_EQ(store_->overrides().size(), 1u);
}

TEST_F(OverrideStoreTest, TooManyAreRefused) {
  Open();
  std::vector<Override> many;
  while (OverridesXml(many).size() < kOverridesBytesMax - 3000) {
    many.push_back(Of(absl::StrCat("p", many.size()), "1m", absl::Hours(1)));
    many.back().reason = std::string(1000, 'x');
  }
  Write("overrides.xml", OverridesXml(many));
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Alive().size(), many.size());
  absl::Status status;
  for (int i = 0; i < 4 && status.ok(); ++i) {
    Override more = Of(absl::StrCat("q", i), "1m", absl::Hours(1));
    more.reason = std::string(1000, 'x');
    status = Add(OverrideScope::kLocal, more);
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("too many"));
}

TEST_F(OverrideStoreTest, WithoutASharedTextGlobalOnesAreChangedInTheFile) {
  Open();
  const absl::Status status = Add(OverrideScope::kGlobal, Of("Ping", "1m", absl::Hours(1)));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(Path("global-overrides.xml")));
  EXPECT_EQ(Remove(OverrideScope::kGlobal, Of("Ping", "", absl::Hours(1))).code(),
            absl::StatusCode::kFailedPrecondition);
}

class SharedOverridesTest : public OverrideStoreTest {
 protected:
  FakeSharedText shared_{loop_};
};

TEST_F(SharedOverridesTest, AreAddedAndRemovedForAllServers) {
  Open(&shared_);
  ASSERT_TRUE(Add(OverrideScope::kGlobal, Of("Ping", "1m", absl::Hours(1))).ok());
  EXPECT_THAT(Alive(), ElementsAre("global Ping=1m"));
  EXPECT_THAT(shared_.text(), HasSubstr("Web\\Ping"));
  EXPECT_EQ(changes_, 1);  // The own change is not taken for another's.
  ASSERT_TRUE(Remove(OverrideScope::kGlobal, Of("Ping", "", absl::Hours(1))).ok());
  EXPECT_THAT(Alive(), IsEmpty());
  EXPECT_EQ(shared_.text(), OverridesXml({}));
}

TEST_F(SharedOverridesTest, OfAnotherServerAreTakenUp) {
  Open(&shared_);
  shared_.Set(OverridesXml({Of("Ping", "1m", absl::Hours(1))}));
  loop_.RunPending();
  EXPECT_THAT(Alive(), ElementsAre("global Ping=1m"));
  EXPECT_EQ(news_.back().who, "ada");
}

// By hand, with etcdctl: 365 days from when this server saw it first.
TEST_F(SharedOverridesTest, OfAVersionWithoutADateItEndsAfter365DaysToo) {
  Override override = Of("Ping", "1m", absl::Hours(24 * 500));
  override.version = "1.0";
  override.created = absl::InfinitePast();
  Open(&shared_);
  shared_.Set(OverridesXml({override}));
  loop_.RunPending();
  WrittenAt("global-overrides.last.xml", kNow);
  loop_.simulated_clock().Advance(absl::Hours(24 * 364));
  Open(&shared_);  // A restart prolongs nothing.
  loop_.simulated_clock().Advance(absl::Hours(24) - absl::Minutes(1));
  loop_.RunFor(kOverrideLookInterval);
  EXPECT_EQ(Alive().size(), 1u);
  loop_.RunFor(absl::Minutes(1));
  EXPECT_THAT(Alive(), IsEmpty());
}

TEST_F(SharedOverridesTest, ALostRaceIsTriedAgain) {
  Open(&shared_);
  shared_.LoseRaces(3);
  EXPECT_TRUE(Add(OverrideScope::kGlobal, Of("Ping", "1m", absl::Hours(1))).ok());
  shared_.LoseRaces(100);
  EXPECT_EQ(Add(OverrideScope::kGlobal, Of("Pong", "1m", absl::Hours(1))).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_THAT(Alive(), ElementsAre("global Ping=1m"));
}

TEST_F(SharedOverridesTest, TheLastSeenHoldWhileTheCoordinatorIsAway) {
  Open(&shared_);
  ASSERT_TRUE(Add(OverrideScope::kGlobal, Of("Ping", "1m", absl::Hours(1))).ok());
  shared_.SetAway(true);
  Open(&shared_);  // Another start of the agent.
  EXPECT_THAT(Alive(), ElementsAre("global Ping=1m"));
  EXPECT_EQ(Add(OverrideScope::kGlobal, Of("Pong", "1m", absl::Hours(1))).code(),
            absl::StatusCode::kUnavailable);
  shared_.Set("");
  shared_.SetAway(false);
  loop_.RunPending();
  EXPECT_THAT(Alive(), IsEmpty());
}

TEST_F(SharedOverridesTest, AFaultyTextLeavesTheLastGoodInForce) {
  Open(&shared_);
  ASSERT_TRUE(Add(OverrideScope::kGlobal, Of("Ping", "1m", absl::Hours(1))).ok());
  shared_.Set("nonsense");
  loop_.RunPending();
  EXPECT_THAT(Alive(), ElementsAre("global Ping=1m"));
  EXPECT_EQ(news_.back().kind, Kind::kRejectedFile);
  EXPECT_THAT(news_.back().why, HasSubstr("the shared overrides:1:1:"));
  EXPECT_EQ(Add(OverrideScope::kGlobal, Of("Pong", "1m", absl::Hours(1))).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(shared_.text(), "nonsense");
}

TEST_F(SharedOverridesTest, TheFileOfTheConfigurationFolderIsNotLookedAt) {
  Write("global-overrides.xml", OverridesXml({Of("Ping", "1m", absl::Hours(1))}));
  Open(&shared_);
  loop_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Alive(), IsEmpty());
}

// Kills the process in the middle of an `add`, at each step of the writing.
class OverrideCrashTest : public OverrideStoreTest,
                          public testing::WithParamInterface<std::pair<const char*, bool>> {};

TEST_P(OverrideCrashTest, LeavesTheOldOrTheNewSetAndNothingInBetween) {
  const auto [fault, is_added] = GetParam();
  Open();
  ASSERT_TRUE(Add(OverrideScope::kLocal, Of("Ping", "1m", absl::Hours(1))).ok());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    setenv("SALVE_FAULT", fault, 1);
    Add(OverrideScope::kLocal, Of("Pong", "1m", absl::Hours(1))).IgnoreError();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << fault << " was not passed";
  Open();
  EXPECT_THAT(store_->faults(), IsEmpty());
  EXPECT_EQ(Alive().size(), is_added ? 2u : 1u);
  for (const auto& file : std::filesystem::directory_iterator(dir_)) {
    EXPECT_THAT(file.path().filename().string(), testing::EndsWith(".xml"));
  }
}

INSTANTIATE_TEST_SUITE_P(All, OverrideCrashTest,
                         testing::Values(std::pair("overrides.write.before", false),
                                         std::pair("file.opened", false),
                                         std::pair("file.synced", false),
                                         std::pair("file.renamed", true),
                                         std::pair("overrides.written", true)));

}  // namespace
}  // namespace salve
