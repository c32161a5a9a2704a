#include "config/found_paths.h"

#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FoundPathsTest : public ::testing::Test {
 protected:
  FoundPathsTest() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    dir_ = fs::path(absl::StrCat(::testing::TempDir(), "/found-", info->name())).lexically_normal();
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void Touch(const std::string& name) {
    fs::create_directories(fs::path(dir_ + "/" + name).parent_path());
    std::ofstream(dir_ + "/" + name) << "x";
  }
  // Below the folder of the test.
  std::vector<std::string> Each(const std::string& pattern) {
    const std::string whole = dir_ + pattern;
    const auto found = FindPaths({.each = {whole}});
    EXPECT_TRUE(found.ok()) << found.status();
    std::vector<std::string> paths;
    for (const std::string& path : found->at(whole)) paths.push_back(path.substr(dir_.size()));
    return paths;
  }

  std::string dir_;
};

TEST_F(FoundPathsTest, APathWithoutMagicIsThereOrNot) {
  Touch("a");
  EXPECT_THAT(Each("/a"), ElementsAre("/a"));
  EXPECT_THAT(Each("/b"), IsEmpty());
  EXPECT_THAT(Each("/a/below-a-file"), IsEmpty());
  EXPECT_THAT(Each("//a"), ElementsAre("/a"));
}

TEST_F(FoundPathsTest, TheRootIsThere) {
  EXPECT_THAT(FindPaths({.some = {"/"}})->at("/"), ElementsAre("/"));
}

TEST_F(FoundPathsTest, StarsStandForAPartAndTheResultIsSorted) {
  for (const char* name : {"php8.2/fpm", "php7.4/fpm", "php8.3/cli", ".php/fpm"}) Touch(name);
  EXPECT_THAT(Each("/php*/fpm"), ElementsAre("/php7.4/fpm", "/php8.2/fpm"));
  EXPECT_THAT(Each("/*/fpm"), ElementsAre("/php7.4/fpm", "/php8.2/fpm"));
  EXPECT_THAT(Each("/.p*/fpm"), ElementsAre("/.php/fpm"));
  EXPECT_THAT(Each("/*"), ElementsAre("/php7.4", "/php8.2", "/php8.3"));
}

TEST_F(FoundPathsTest, KnowsQuestionMarksSetsAndWhatIsMeantAsItIs) {
  for (const char* name : {"a1", "a2", "a3", "a*"}) Touch(name);
  EXPECT_THAT(Each("/a?"), ElementsAre("/a*", "/a1", "/a2", "/a3"));
  EXPECT_THAT(Each("/a[12]"), ElementsAre("/a1", "/a2"));
  EXPECT_THAT(Each("/a[\\*]"), ElementsAre("/a*"));
}

TEST_F(FoundPathsTest, ALinkThatLeadsNowhereIsNothing) {
  Touch("unit");
  fs::create_symlink(dir_ + "/unit", dir_ + "/enabled");
  fs::create_symlink(dir_ + "/removed", dir_ + "/left-over");
  EXPECT_THAT(Each("/enabled"), ElementsAre("/enabled"));
  EXPECT_THAT(Each("/left-*"), IsEmpty());
}

TEST_F(FoundPathsTest, OfOneThatOnlySomeNeedsOneIsFound) {
  Touch("a1");
  Touch("a2");
  const std::string pattern = dir_ + "/a*";
  EXPECT_THAT(FindPaths({.some = {pattern}})->at(pattern), SizeIs(1));
  EXPECT_THAT(FindPaths({.some = {pattern}, .each = {pattern}})->at(pattern), SizeIs(2));
}

TEST_F(FoundPathsTest, MorePathsThanTargetsMayBeAreNotCollected) {
  for (int i = 0; i < 1005; ++i) Touch(absl::StrCat("a", i));
  EXPECT_THAT(Each("/a*"), SizeIs(1001));
}

TEST_F(FoundPathsTest, ATreeThatIsReadForEverIsRefused) {
  // Each turn through the links doubles what there is to read.
  for (int i = 0; i < 300; ++i) Touch(absl::StrCat("a", i));
  fs::create_directory_symlink(dir_, dir_ + "/x");
  fs::create_directory_symlink(dir_, dir_ + "/y");
  const std::string pattern = dir_ + "/[xy]/[xy]/[xy]/[xy]/[xy]/[xy]/[xy]/[xy]/[xy]/[xy]/none";
  const auto found = FindPaths({.each = {pattern}});
  EXPECT_EQ(found.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(found.status().message(), HasSubstr("more than 100000 names"));
}

TEST_F(FoundPathsTest, WithoutADescriptorNothingIsKnown) {
  Touch("a");
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const absl::Status status = FindPaths({.each = {dir_ + "/*"}}).status();
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr(dir_));
}

TEST(PathPatternsTest, AreThoseOfAllFilesThatCanBeRead) {
  ConfigurationSource source;
  source.health_sets = {
      {"a.textproto", "health_set { name: 'A' if_exists: '/a' if_exists: '/b*' }"},
      {"b.textproto", "health_set { name: 'B' for_each { glob: '/c/*' } }"},
      {"c.textproto", "health_set { name: 'C' if_exists: '/faulty' nonsense: 1 }"},
      {"d.textproto", "health_set { name: 'D' for_each { value: 'glob' } }"}};
  const PathPatterns patterns = PathPatternsOf(source);
  EXPECT_THAT(patterns.some, ElementsAre("/a", "/b*"));
  EXPECT_THAT(patterns.each, ElementsAre("/c/*"));
  EXPECT_FALSE(patterns.empty());
  EXPECT_TRUE(PathPatternsOf({}).empty());
}

TEST(FoundAmongTest, MatchesAsTheDiskWould) {
  const FoundPaths found =
      FoundAmong({.some = {"/a", "/none"}, .each = {"/b/*/c"}},
                 {"/b/2/c", "/a", "/b/1/c", "/b/c", "/b/x/y/c", "/b/.h/c", "/b/1/c"});
  EXPECT_THAT(found.at("/a"), ElementsAre("/a"));
  EXPECT_THAT(found.at("/none"), IsEmpty());
  EXPECT_THAT(found.at("/b/*/c"), ElementsAre("/b/1/c", "/b/2/c"));
}

TEST(MeansSameTest, OfSomeOnlyWhetherThereIsAnyCounts) {
  const PathPatterns patterns{.some = {"/s*"}};
  EXPECT_TRUE(MeansSame(patterns, {{"/s*", {"/s1"}}}, {{"/s*", {"/s2"}}}));
  EXPECT_FALSE(MeansSame(patterns, {{"/s*", {"/s1"}}}, {{"/s*", {}}}));
  EXPECT_FALSE(MeansSame(patterns, {{"/s*", {"/s1"}}}, {}));
  EXPECT_TRUE(MeansSame(patterns, {{"/s*", {}}}, {}));
}

TEST(MeansSameTest, OfEachAllCount) {
  const PathPatterns patterns{.each = {"/e*"}};
  EXPECT_TRUE(MeansSame(patterns, {{"/e*", {"/e1"}}}, {{"/e*", {"/e1"}}}));
  EXPECT_FALSE(MeansSame(patterns, {{"/e*", {"/e1"}}}, {{"/e*", {"/e2"}}}));
  EXPECT_TRUE(MeansSame(patterns, {{"/other", {"/e1"}}}, {}));
}

}  // namespace
}  // namespace salve
