#include "agent/condition_watch.h"

#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/simulated_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Does what it is given when the test says so.
class LateWorker final : public Worker {
 public:
  void Post(Task task) override { tasks.push_back(std::move(task)); }
  void RunAll() {
    for (auto& task : std::exchange(tasks, {})) task();
  }
  std::vector<Task> tasks;
};

class ConditionWatchTest : public ::testing::Test {
 protected:
  ConditionWatchTest()
      : dir_(fs::path(std::string(::testing::TempDir()) + "/conditions").lexically_normal()),
        pattern_(dir_ + "/*"),
        watch_(loop_, worker_,
               {.on_change = [this](FoundPaths found) { told_.push_back(found.at(pattern_)); },
                .on_trouble = [this](const absl::Status& why) { trouble_.push_back(why); }}) {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void Touch(const std::string& name) { std::ofstream(dir_ + "/" + name) << "x"; }
  // Until the next look has ended.
  void PassALook() {
    loop_.RunFor(kConditionLookInterval);
    worker_.RunAll();
    loop_.RunFor(absl::ZeroDuration());
  }

  const std::string dir_;
  const std::string pattern_;
  SimulatedLoop loop_;
  LateWorker worker_;
  std::vector<std::vector<std::string>> told_;
  std::vector<absl::Status> trouble_;
  ConditionWatch watch_;
};

TEST_F(ConditionWatchTest, LooksEveryMinute) {
  watch_.Configure({.each = {pattern_}}, {});
  loop_.RunFor(kConditionLookInterval - absl::Milliseconds(1));
  EXPECT_THAT(worker_.tasks, IsEmpty());
  loop_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(worker_.tasks.size(), 1u);
}

TEST_F(ConditionWatchTest, SleepsWithoutPaths) {
  watch_.Configure({.each = {pattern_}}, {});
  watch_.Configure({}, {});
  loop_.RunFor(10 * kConditionLookInterval);
  EXPECT_THAT(worker_.tasks, IsEmpty());
}

TEST_F(ConditionWatchTest, TellsOnceWhatHasChanged) {
  watch_.Configure({.each = {pattern_}}, {});
  PassALook();
  EXPECT_THAT(told_, IsEmpty());
  Touch("a");
  PassALook();
  PassALook();
  EXPECT_THAT(told_, ElementsAre(std::vector<std::string>{dir_ + "/a"}));
  fs::remove(dir_ + "/a");
  PassALook();
  EXPECT_EQ(told_.size(), 2u);
}

TEST_F(ConditionWatchTest, WhatIsKnownIsNoNews) {
  Touch("a");
  watch_.Configure({.each = {pattern_}}, {{pattern_, {dir_ + "/a"}}});
  PassALook();
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(ConditionWatchTest, MakesOneLookAtATime) {
  watch_.Configure({.each = {pattern_}}, {});
  loop_.RunFor(3 * kConditionLookInterval);
  EXPECT_EQ(worker_.tasks.size(), 1u);
  worker_.RunAll();
  loop_.RunFor(kConditionLookInterval);
  EXPECT_EQ(worker_.tasks.size(), 1u);
}

TEST_F(ConditionWatchTest, ALookOfAnEarlierConfigurationSaysNothing) {
  Touch("a");
  watch_.Configure({.each = {pattern_}}, {});
  loop_.RunFor(kConditionLookInterval);
  watch_.Configure({.each = {pattern_}}, {{pattern_, {dir_ + "/a"}}});
  fs::remove(dir_ + "/a");
  worker_.RunAll();
  loop_.RunFor(absl::ZeroDuration());
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(ConditionWatchTest, TroubleIsToldOnceAndChangesNothing) {
  watch_.Configure({.each = {pattern_}}, {{pattern_, {"/was/there"}}});
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  PassALook();
  PassALook();
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(trouble_.size(), 1u);
  EXPECT_THAT(told_, IsEmpty());
  PassALook();  // What is so after it is news.
  EXPECT_EQ(told_.size(), 1u);
}

TEST_F(ConditionWatchTest, MayEndDuringALook) {
  auto watch = std::make_unique<ConditionWatch>(
      loop_, worker_,
      ConditionWatch::Listener{.on_change = [](FoundPaths) { FAIL(); },
                               .on_trouble = [](const absl::Status&) { FAIL(); }});
  Touch("a");
  watch->Configure({.each = {pattern_}}, {});
  loop_.RunFor(kConditionLookInterval);
  watch.reset();
  worker_.RunAll();
  loop_.RunFor(kConditionLookInterval);
}

HealthSetDefinition SetOf(const std::string& name, bool applicable,
                          const std::vector<std::string>& targets = {}) {
  HealthSetDefinition set{.name = name, .applicable = applicable};
  for (const std::string& target : targets) set.probes.push_back({.target = target});
  return set;
}

TEST(DescribeConditionChangesTest, SaysWhatHasBecomeOtherwise) {
  EXPECT_EQ(DescribeConditionChanges({SetOf("A", false), SetOf("B", true), SetOf("C", true)},
                                     {SetOf("A", true), SetOf("B", false), SetOf("C", true)}),
            "A applies here now; B does not apply here any more");
  EXPECT_EQ(
      DescribeConditionChanges({SetOf("A", true, {"1", "2"})}, {SetOf("A", true, {"2", "3", "4"})}),
      "A has now 3, 4; A has no more 1");
  EXPECT_EQ(DescribeConditionChanges({SetOf("A", true)}, {SetOf("A", true), SetOf("B", false)}),
            "");
}

TEST(DescribeConditionChangesTest, OfManyTheFirstAreTold) {
  std::vector<HealthSetDefinition> before, after;
  std::vector<std::string> targets;
  for (int i = 0; i < 21; ++i) {
    before.push_back(SetOf("S" + std::to_string(i), false));
    after.push_back(SetOf("S" + std::to_string(i), true));
    targets.push_back("t" + std::to_string(10 + i));
  }
  EXPECT_THAT(DescribeConditionChanges(before, after), ::testing::EndsWith("; and 1 more"));
  EXPECT_THAT(DescribeConditionChanges({SetOf("A", true)}, {SetOf("A", true, targets)}),
              ::testing::EndsWith(", t29, …"));
}

}  // namespace
}  // namespace salve
