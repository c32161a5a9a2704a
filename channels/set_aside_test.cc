#include "channels/set_aside.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "channels/test_events.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

class SetAsideTest : public testing::Test {
 protected:
  void Create(const std::string& name) { std::ofstream(folder_.path(name)) << name; }
  bool Exists(const std::string& name) { return fs::exists(folder_.path(name)); }

  TestFolder folder_;
  const std::string path_ = folder_.path("events.db");
  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
};

TEST_F(SetAsideTest, RenamesTheDatabaseAndItsLog) {
  for (const char* name : {"events.db", "events.db-wal", "events.db-shm"}) Create(name);
  const auto aside = SetAside(path_, now_);
  ASSERT_TRUE(aside.ok()) << aside.status();
  EXPECT_EQ(*aside, path_ + ".damaged-20270115T080000.000000Z");
  EXPECT_TRUE(fs::exists(*aside));
  EXPECT_TRUE(fs::exists(*aside + "-wal"));
  EXPECT_FALSE(Exists("events.db"));
  EXPECT_FALSE(Exists("events.db-wal"));
  EXPECT_FALSE(Exists("events.db-shm"));
}

TEST_F(SetAsideTest, NeverReplacesAnEarlierOne) {
  Create("events.db");
  const auto first = SetAside(path_, now_);
  Create("events.db");
  const auto second = SetAside(path_, now_);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(*first, *second);
  EXPECT_TRUE(fs::exists(*first));
}

TEST_F(SetAsideTest, KeepsTheNewestTwo) {
  std::vector<std::string> names;
  for (int i = 0; i < 3; ++i) {
    Create("events.db");
    Create("events.db-wal");
    const auto aside = SetAside(path_, now_ + absl::Seconds(i));
    ASSERT_TRUE(aside.ok());
    names.push_back(*aside);
  }
  EXPECT_FALSE(fs::exists(names[0]));
  EXPECT_FALSE(fs::exists(names[0] + "-wal"));
  EXPECT_TRUE(fs::exists(names[1]));
  EXPECT_TRUE(fs::exists(names[2]));
}

TEST_F(SetAsideTest, SaysWhatItCouldNotRename) {
  const auto aside = SetAside(path_, now_);
  EXPECT_EQ(aside.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(aside.status().message().find(path_), absl::string_view::npos);
}

}  // namespace
}  // namespace salve
