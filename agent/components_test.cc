#include "agent/components.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "base/fake_host.h"
#include "base/simulated_loop.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ComponentsTest : public ::testing::Test {
 protected:
  ComponentsTest() {
    const char* tmp = getenv("TEST_TMPDIR");
    dir_ = std::string(tmp == nullptr ? "/tmp" : tmp) + "/components-XXXXXX";
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
    host_.SetProgram("off", {.takes = absl::Seconds(1)});
    host_.SetProgram("on", {.takes = absl::Seconds(1)});
    Start();
  }
  ~ComponentsTest() override {
    components_.reset();
    state_.reset();
    std::filesystem::remove_all(dir_);
  }

  // As at a start of the agent: the first, or one after a kill or a reboot.
  void Start() {
    components_.reset();
    state_.reset();
    state_ = *StateStore::Open(dir_ + "/state.db", worker_);
    components_ = std::make_unique<Components>(
        ComponentsParts{loop_, host_, worker_, *state_,
                        [this](const ComponentNews& news) { news_.push_back(news); }});
  }
  void Configure(const std::string& text) {
    config::Agent agent;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &agent));
    components_->Configure(agent.component());
    loop_.RunPending();
  }
  void VoteOffline(const std::string& requester,
                   absl::Duration duration = absl::InfiniteDuration()) {
    EXPECT_TRUE(components_->VoteOffline({"web", requester, "it is sick", duration}).ok());
    loop_.RunPending();
  }
  void TakeBack(const std::string& requester) {
    EXPECT_TRUE(components_->TakeBack("web", requester, "it is well").ok());
    loop_.RunPending();
  }
  bool IsOnline() { return *components_->IsOnline("web"); }
  v1::ComponentStatus Status() { return components_->List().components(0); }
  std::string path() const { return dir_ + "/web"; }
  std::string WithFile() const { return "component { name: 'web' state_file: '" + path() + "' }"; }
  static std::string ReadText(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  std::vector<std::string> Ran() const {
    std::vector<std::string> ran;
    for (const auto& started : host_.started()) ran.push_back(started.command.argv[0]);
    return ran;
  }

  std::string dir_;
  SimulatedLoop loop_;
  FakeHost host_{loop_};
  InlineWorker worker_;
  std::unique_ptr<StateStore> state_;
  std::unique_ptr<Components> components_;
  std::vector<ComponentNews> news_;
};

constexpr char kPlain[] = "component { name: 'web' }";
constexpr char kCommands[] =
    "component { name: 'web' offline_command: 'off' online_command: 'on' }";

TEST_F(ComponentsTest, AnyVoteForOfflineWinsAndTheLastToGoBringsItBack) {
  Configure(kPlain);
  EXPECT_TRUE(IsOnline());
  VoteOffline("Front");
  VoteOffline("operator:ada");
  EXPECT_FALSE(IsOnline());
  TakeBack("Front");
  EXPECT_FALSE(IsOnline());
  TakeBack("operator:ada");
  EXPECT_TRUE(IsOnline());
  std::vector<std::string> told;
  for (const ComponentNews& news : news_) told.push_back(news.message);
  EXPECT_THAT(
      told,
      ElementsAre("component web is offline: vote of Front (it is sick)",
                  "component web stays offline: vote of operator:ada (it is sick)",
                  "component web stays offline: the vote of Front was taken back (it is well)",
                  "component web is online: the vote of operator:ada was taken back (it is well)"));
  EXPECT_EQ(news_[0].who, "Front");
}

TEST_F(ComponentsTest, AVoteSaysWhoWhenWhyAndUntilWhen) {
  Configure(kPlain);
  VoteOffline("Front");
  loop_.RunFor(absl::Seconds(7));
  VoteOffline("Back", absl::Minutes(2));
  ASSERT_EQ(Status().votes_size(), 2);
  EXPECT_EQ(Status().votes(0).requester(), "Front");
  EXPECT_EQ(Status().votes(0).reason(), "it is sick");
  EXPECT_FALSE(Status().votes(0).has_until());
  EXPECT_EQ(Status().votes(1).since().seconds() - Status().votes(0).since().seconds(), 7);
  EXPECT_EQ(Status().votes(1).until().seconds() - Status().votes(1).since().seconds(), 120);
}

TEST_F(ComponentsTest, ASecondVoteOfOneRequesterReplacesTheFirst) {
  Configure(kPlain);
  VoteOffline("Front", absl::Minutes(1));
  VoteOffline("Front");
  EXPECT_EQ(Status().votes_size(), 1);
  loop_.RunFor(absl::Hours(1));
  EXPECT_FALSE(IsOnline());
  TakeBack("Front");
  EXPECT_TRUE(IsOnline());
}

TEST_F(ComponentsTest, AVoteEndsByItselfOnTime) {
  Configure(kPlain);
  VoteOffline("Front", absl::Minutes(10));
  VoteOffline("Back", absl::Minutes(20));
  loop_.RunFor(absl::Minutes(20) - absl::Milliseconds(1));
  EXPECT_FALSE(IsOnline());
  EXPECT_EQ(Status().votes_size(), 1);
  loop_.RunFor(absl::Milliseconds(1));
  EXPECT_TRUE(IsOnline());
  EXPECT_EQ(news_.back().message, "component web is online: the time of the vote of Back is over");
}

TEST_F(ComponentsTest, ATimeThatIsOverByAStepOfTheClockIsSeenWithinAMinute) {
  Configure(kPlain);
  VoteOffline("Front", absl::Hours(10));
  loop_.simulated_clock().StepWall(absl::Hours(11));
  loop_.RunFor(absl::Minutes(1));
  EXPECT_TRUE(IsOnline());
}

TEST_F(ComponentsTest, VotesOutliveTheAgentAndEndWhileItIsAway) {
  Configure(kPlain);
  VoteOffline("Front");
  VoteOffline("Back", absl::Minutes(10));
  Start();
  Configure(kPlain);
  EXPECT_EQ(Status().votes_size(), 2);
  EXPECT_EQ(Status().votes(0).reason(), "it is sick");
  components_.reset();
  loop_.RunFor(absl::Minutes(11));
  Start();
  Configure(kPlain);
  EXPECT_EQ(Status().votes_size(), 1);
  EXPECT_EQ(Status().votes(0).requester(), "Front");
  TakeBack("Front");
  Start();
  Configure(kPlain);
  EXPECT_TRUE(IsOnline());
}

TEST_F(ComponentsTest, TheVotesOfRespondersAreTakenBackTogetherThoseOfPeopleStay) {
  Configure(kPlain);
  VoteOffline("Front");
  VoteOffline("operator:ada");
  VoteOffline("Back");
  EXPECT_THAT(*components_->TakeBackOfResponders("web", "Online"), ElementsAre("Front", "Back"));
  EXPECT_FALSE(IsOnline());
  EXPECT_THAT(*components_->TakeBackOfResponders("web", "Online"), IsEmpty());
}

TEST_F(ComponentsTest, AVoteWhoseResponderIsGoneIsTakenBack) {
  Configure(kPlain);
  VoteOffline("Front");
  VoteOffline("operator:ada");
  components_->KeepVotesOf({{"web", "Front"}});
  EXPECT_EQ(Status().votes_size(), 2);
  components_->KeepVotesOf({{"db", "Front"}, {"web", "Other"}});
  ASSERT_EQ(Status().votes_size(), 1);
  EXPECT_EQ(Status().votes(0).requester(), "operator:ada");
}

TEST_F(ComponentsTest, AComponentThatIsNotThereHasTheNearestNames) {
  Configure("component { name: 'web' } component { name: 'db' }");
  EXPECT_EQ(components_->VoteOffline({"wep", "Front", ""}).message(),
            "no component 'wep' (did you mean 'web'?)");
  EXPECT_EQ(components_->TakeBack("wep", "Front", "").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(components_->IsOnline("wep").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(components_->TakeBackOfResponders("wep", "").status().code(),
            absl::StatusCode::kNotFound);
  v1::VoteRequest request;
  request.set_component("wep");
  EXPECT_EQ(components_->Vote(request).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ComponentsTest, APersonVotesInTheirOwnName) {
  Configure(kPlain);
  v1::VoteRequest request;
  request.set_component("web");
  request.set_offline(true);
  request.set_user("ada");
  request.set_reason("a new disk");
  request.set_duration_seconds(60);
  const auto answer = components_->Vote(request);
  ASSERT_TRUE(answer.ok());
  EXPECT_FALSE(answer->component().online());
  EXPECT_EQ(answer->component().votes(0).requester(), "operator:ada");
  request.set_offline(false);
  EXPECT_EQ(components_->Vote(request).status().code(), absl::StatusCode::kInvalidArgument);
  request.set_duration_seconds(0);
  EXPECT_TRUE(components_->Vote(request)->component().online());
}

TEST_F(ComponentsTest, APersonsVoteLastsASecondToThirtyDays) {
  Configure(kPlain);
  v1::VoteRequest request;
  request.set_component("web");
  request.set_offline(true);
  for (const int64_t seconds : {int64_t{0}, int64_t{1}, int64_t{30 * 86400}}) {
    request.set_duration_seconds(seconds);
    EXPECT_TRUE(components_->Vote(request).ok()) << seconds;
  }
  for (const int64_t seconds : {int64_t{-1}, int64_t{30 * 86400 + 1}}) {
    request.set_duration_seconds(seconds);
    EXPECT_EQ(components_->Vote(request).status().message(), "duration: is not in [1s, 720h]");
  }
}

TEST_F(ComponentsTest, TheFileFollowsAtTheStartAndAtEachChange) {
  Configure(WithFile());
  EXPECT_EQ(ReadText(path()), "online\n");
  VoteOffline("Front");
  EXPECT_EQ(ReadText(path()), "offline\n");
  std::ofstream(path()) << "somebody's own";
  Start();
  Configure(WithFile());
  EXPECT_EQ(ReadText(path()), "offline\n");
  TakeBack("Front");
  EXPECT_EQ(ReadText(path()), "online\n");
}

TEST_F(ComponentsTest, ALinkInPlaceOfTheFileIsLeftAloneAndTold) {
  std::ofstream(dir_ + "/precious") << "do not touch";
  ASSERT_EQ(symlink((dir_ + "/precious").c_str(), path().c_str()), 0);
  Configure(WithFile());
  VoteOffline("Front");
  EXPECT_EQ(ReadText(dir_ + "/precious"), "do not touch");
  EXPECT_TRUE(std::filesystem::is_symlink(path()));
  EXPECT_EQ(Status().trouble(), path() + ": a symbolic link stands in its place and is left alone");
  EXPECT_FALSE(IsOnline());
  EXPECT_EQ(std::count_if(news_.begin(), news_.end(),
                          [](const ComponentNews& news) { return news.is_trouble; }),
            1);
  // It is followed as soon as it can be, without anybody's doing.
  unlink(path().c_str());
  loop_.RunFor(Components::kRetryAfter);
  EXPECT_EQ(ReadText(path()), "offline\n");
  EXPECT_EQ(Status().trouble(), "");
  EXPECT_THAT(news_.back().message, HasSubstr("follow again"));
}

TEST_F(ComponentsTest, ALinkWithoutATargetAndAPipeAreLeftAlone) {
  ASSERT_EQ(symlink((dir_ + "/nowhere").c_str(), path().c_str()), 0);
  EXPECT_EQ(WriteStateFile(path(), true).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/nowhere"));
  unlink(path().c_str());
  ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
  EXPECT_THAT(std::string(WriteStateFile(path(), true).message()), HasSubstr("no regular file"));
  EXPECT_EQ(WriteStateFile(dir_ + "/no/folder", true).code(), absl::StatusCode::kNotFound);
}

TEST_F(ComponentsTest, TheCommandRunsAtTheStartAndAtEachChange) {
  Configure(kCommands);
  EXPECT_THAT(Ran(), ElementsAre("on"));
  EXPECT_THAT(host_.started()[0].command.environment,
              ElementsAre("SALVE_COMPONENT=web", "SALVE_STATE=online"));
  loop_.RunFor(absl::Seconds(2));
  VoteOffline("Front");
  loop_.RunFor(absl::Seconds(2));
  VoteOffline("Back");  // Changes nothing.
  loop_.RunFor(absl::Hours(1));
  EXPECT_THAT(Ran(), ElementsAre("on", "off"));
  EXPECT_EQ(host_.running_count(), 0u);
}

TEST_F(ComponentsTest, OneCommandRunsAtATimeAndTheLastWishWins) {
  Configure(kCommands);
  VoteOffline("Front");
  TakeBack("Front");
  VoteOffline("Front");
  EXPECT_EQ(host_.running_count(), 1u);
  EXPECT_THAT(Ran(), ElementsAre("on"));
  loop_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Ran(), ElementsAre("on", "off"));
  TakeBack("Front");
  VoteOffline("Front");  // Back where it was going.
  loop_.RunFor(absl::Minutes(10));
  EXPECT_THAT(Ran(), ElementsAre("on", "off"));
}

TEST_F(ComponentsTest, ACommandThatHangsIsKilledAndTriedAgain) {
  host_.SetProgram("off", {.takes = absl::InfiniteDuration()});
  Configure(kCommands);
  loop_.RunFor(absl::Seconds(1));
  VoteOffline("Front");
  loop_.RunFor(Components::kCommandTime - absl::Milliseconds(1));
  EXPECT_EQ(Status().trouble(), "");
  loop_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(Status().trouble(), "offline_command: killed after 1m");
  host_.SetProgram("off", {});
  loop_.RunFor(Components::kRetryAfter);
  EXPECT_EQ(Status().trouble(), "");
}

TEST_F(ComponentsTest, ACommandThatFailsOrIsNotThereIsTold) {
  host_.SetProgram("off", {.result = {.exit_code = 3}});
  Configure(kCommands);
  loop_.RunFor(absl::Seconds(1));
  VoteOffline("Front");
  EXPECT_EQ(Status().trouble(), "offline_command: exit status 3");
  Configure("component { name: 'web' offline_command: 'gone' }");
  EXPECT_EQ(Status().trouble(), "cannot run 'gone': no such program");
  // Nothing hinders the way back.
  TakeBack("Front");
  EXPECT_EQ(Status().trouble(), "");
}

TEST_F(ComponentsTest, ANewConfigurationIsFollowedAndAnUnchangedOneDoesNothing) {
  Configure(kCommands);
  loop_.RunFor(absl::Seconds(2));
  Configure(kCommands);
  EXPECT_THAT(Ran(), ElementsAre("on"));
  host_.SetProgram("other", {});
  Configure("component { name: 'web' online_command: 'other' }");
  EXPECT_THAT(Ran(), ElementsAre("on", "other"));
}

TEST_F(ComponentsTest, AConfigurationThatComesWhileACommandRunsIsFollowedAfterIt) {
  host_.SetProgram("other", {});
  Configure(kCommands);
  Configure("component { name: 'web' online_command: 'other' }");
  EXPECT_THAT(Ran(), ElementsAre("on"));
  loop_.RunFor(absl::Seconds(2));
  EXPECT_THAT(Ran(), ElementsAre("on", "other"));
}

TEST_F(ComponentsTest, AComponentThatIsGoneTakesItsVotesWithIt) {
  Configure(kPlain);
  VoteOffline("operator:ada");
  Configure("");
  EXPECT_THAT(components_->List().components(), IsEmpty());
  Configure(kPlain);
  EXPECT_TRUE(IsOnline());
}

TEST_F(ComponentsTest, NothingGoesOnWhenItIsGone) {
  Configure(kCommands);
  VoteOffline("Front", absl::Minutes(1));
  const size_t told = news_.size();
  components_.reset();
  loop_.RunFor(absl::Hours(1));
  EXPECT_EQ(news_.size(), told);
}

}  // namespace
}  // namespace salve
