#include "base/user_table.h"

#include <unistd.h>

#include <map>
#include <string>
#include <utility>

#include "base/simulated_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::Contains;

class UserTableTest : public testing::Test {
 protected:
  // A worker that works when the test says so.
  class LazyWorker final : public Worker {
   public:
    void Post(Task task) override { tasks.push_back(std::move(task)); }
    void Work() {
      for (Task& task : std::exchange(tasks, {})) task();
    }
    std::vector<Task> tasks;
  };

  void Add(const std::string& name, uid_t uid) { known_[name] = uid; }
  absl::StatusOr<UserIdentity> LookUp(const std::string& name) {
    ++look_ups_;
    if (!error_.ok()) return error_;
    const auto found = known_.find(name);
    if (found == known_.end()) return absl::NotFoundError("no user " + name);
    return UserIdentity{.name = name, .uid = found->second};
  }

  SimulatedLoop loop_;
  LazyWorker worker_;
  std::map<std::string, uid_t> known_;
  absl::Status error_;
  int look_ups_ = 0;
  UserTable table_{loop_.clock(), [this](const std::string& name) { return LookUp(name); },
                   &worker_};
};

TEST_F(UserTableTest, TellsWhomItHasLearntWithoutAskingAgain) {
  Add("nagios", 107);
  table_.Learn({"nagios"});
  EXPECT_EQ(table_.Find("nagios")->uid, 107u);
  loop_.RunFor(absl::Hours(1));
  EXPECT_EQ(table_.Find("nagios")->uid, 107u);
  EXPECT_EQ(look_ups_, 1);
}

TEST_F(UserTableTest, LearnsAgainWhoHasChanged) {
  Add("nagios", 107);
  table_.Learn({"nagios"});
  Add("nagios", 108);
  table_.Learn({"nagios"});
  EXPECT_EQ(table_.Find("nagios")->uid, 108u);
}

TEST_F(UserTableTest, LooksUpBehindTheLoopWhomItDoesNotKnow) {
  Add("nagios", 107);
  EXPECT_TRUE(absl::IsUnavailable(table_.Find("nagios").status()));
  EXPECT_TRUE(absl::IsUnavailable(table_.Find("nagios").status()));
  EXPECT_EQ(look_ups_, 0);
  EXPECT_EQ(worker_.tasks.size(), 1u);  // However often it is asked.
  worker_.Work();
  EXPECT_EQ(table_.Find("nagios")->uid, 107u);
}

TEST_F(UserTableTest, FindsAUserWhoWasAddedWithinAMinute) {
  table_.Learn({"nagios"});
  EXPECT_TRUE(absl::IsNotFound(table_.Find("nagios").status()));
  Add("nagios", 107);
  loop_.RunFor(UserTable::kAgainAfter - absl::Milliseconds(1));
  EXPECT_TRUE(absl::IsNotFound(table_.Find("nagios").status()));
  EXPECT_TRUE(worker_.tasks.empty());
  loop_.RunFor(absl::Milliseconds(1));
  EXPECT_TRUE(absl::IsNotFound(table_.Find("nagios").status()));  // What is known as yet.
  worker_.Work();
  EXPECT_TRUE(table_.Find("nagios").ok());
}

TEST_F(UserTableTest, SaysWhenTheDatabaseDoesNotAnswer) {
  error_ = absl::UnavailableError("timed out");
  table_.Learn({"nagios"});
  EXPECT_EQ(table_.Find("nagios").status(), error_);
}

TEST_F(UserTableTest, HasAThreadOfItsOwnWithoutAWorker) {
  UserTable table(loop_.clock());
  EXPECT_TRUE(absl::IsUnavailable(table.Find("root").status()));
}  // Joins it.

TEST(LookUpUserTest, KnowsRootWithItsGroups) {
  const absl::StatusOr<UserIdentity> root = LookUpUser("root");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->uid, 0u);
  EXPECT_EQ(root->home, "/root");
  EXPECT_THAT(root->groups, Contains(root->gid));
}

TEST(LookUpUserTest, DoesNotFindANameThatNobodyHas) {
  EXPECT_TRUE(absl::IsNotFound(LookUpUser("nobody-has-this-name").status()));
  EXPECT_TRUE(absl::IsNotFound(LookUpUser("").status()));
}

}  // namespace
}  // namespace salve
