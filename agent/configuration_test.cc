#include "agent/configuration.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ConfigurationTest : public ::testing::Test {
 protected:
  ConfigurationTest() : dir_(std::string(::testing::TempDir()) + "/configuration") {
    fs::remove_all(dir_);
    fs::create_directories(dir_ + "/conf.d");
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ + "/" + name) << text;
  }
  const std::string dir_;
};

TEST_F(ConfigurationTest, AnEmptyFolderIsTheSetsThatShipAndTheyOnlyObserve) {
  const auto checked = ReadConfiguration(dir_);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_TRUE(checked->is_default);
  EXPECT_THAT(checked->configuration.health_sets, Not(IsEmpty()));
  EXPECT_THAT(checked->patterns.some, Not(IsEmpty()));
  for (const HealthSetDefinition& set : checked->configuration.health_sets) {
    for (const ResponderDefinition& responder : set.responders) EXPECT_TRUE(responder.observe);
  }
  EXPECT_TRUE(CheckConfigurationFolder(dir_).ok());
}

TEST_F(ConfigurationTest, AnyFileEndsThat) {
  Write("salve.textproto", "");
  auto checked = ReadConfiguration(dir_);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_FALSE(checked->is_default);
  EXPECT_THAT(checked->configuration.health_sets, IsEmpty());
  fs::remove(dir_ + "/salve.textproto");
  Write("conf.d/a.textproto", "");
  checked = ReadConfiguration(dir_);
  EXPECT_FALSE(checked->is_default);
}

TEST_F(ConfigurationTest, AFolderThatIsNotThereIsAFault) {
  EXPECT_EQ(ReadConfiguration(dir_ + "/none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ConfigurationTest, ConditionsAreLookedUpOnThisServer) {
  const std::string path = dir_ + "/service";
  Write("conf.d/a.textproto", absl::StrCat("health_set { name: 'A' if_exists: '", path, "' }"));
  auto checked = ReadConfiguration(dir_);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_FALSE(checked->configuration.health_sets[0].applicable);
  Write("service", "");
  checked = ReadConfiguration(dir_);
  EXPECT_TRUE(checked->configuration.health_sets[0].applicable);
  EXPECT_THAT(checked->found.at(path), ::testing::SizeIs(1));
}

TEST_F(ConfigurationTest, ReadAgainTakesTheFilesAsTheyWere) {
  Write("conf.d/a.textproto", "health_set { name: 'A' if_exists: '/nowhere/at/all' }");
  const auto checked = ReadConfiguration(dir_);
  ASSERT_TRUE(checked.ok()) << checked.status();
  Write("conf.d/a.textproto", "in the middle of an edit");
  const auto again =
      ReadAgain(checked->configuration.source, {{"/nowhere/at/all", {"/nowhere/at/all"}}});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->health_sets[0].applicable);
  EXPECT_EQ(again->agent.server, checked->configuration.agent.server);
}

TEST_F(ConfigurationTest, CheckWithSeesTheFolderAsItWouldBe) {
  Write("conf.d/b.textproto", "health_set { name: 'B' depends_on: 'A' }");
  EXPECT_THAT(CheckConfigurationFolder(dir_).message(), HasSubstr("there is no health set 'A'"));
  EXPECT_TRUE(CheckConfigurationFolderWith(dir_, {"a.textproto", "health_set { name: 'A' }"}).ok());
  EXPECT_TRUE(CheckConfigurationFolderWith(dir_, {"b.textproto", ""}).ok());
  const absl::Status twice =
      CheckConfigurationFolderWith(dir_, {"c.textproto", "health_set { name: 'B' }"});
  EXPECT_THAT(twice.message(), HasSubstr("c.textproto:1:14: health set 'B': name: is taken at "
                                         "b.textproto:1"));
  EXPECT_FALSE(fs::exists(dir_ + "/conf.d/c.textproto"));
}

TEST_F(ConfigurationTest, TheFirstFileOfAnEmptyFolderIsCheckedAlone) {
  EXPECT_TRUE(
      CheckConfigurationFolderWith(dir_, {"a.textproto", "health_set { name: 'Nginx' }"}).ok());
}

}  // namespace
}  // namespace salve
