#include "config/dependencies.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "config/loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One set a line, in a file "t"; what is refused is returned, or "".
std::string Refused(const std::string& sets) {
  ConfigurationSource source;
  source.health_sets.push_back({"t", sets});
  const auto loaded = ParseConfiguration(std::move(source), {.host_name = "h", .checks = {}});
  return std::string(loaded.status().message());
}
std::string Set(const std::string& name, const std::string& more = "") {
  return absl::StrCat("health_set { name: \"", name, "\" ", more, " }\n");
}
std::string On(const std::string& name) { return absl::StrCat("depends_on: \"", name, "\" "); }

TEST(DependenciesTest, AreReadInTheirOrderAndMayBeWrittenBeforeTheSetsTheyName) {
  ConfigurationSource source;
  source.health_sets.push_back(
      {"t", Set("Web", On("Network") + On("Disk")) + Set("Network") + Set("Disk")});
  const auto loaded = ParseConfiguration(std::move(source), {.host_name = "h", .checks = {}});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->health_sets[0].depends_on, ElementsAre("Network", "Disk"));
  EXPECT_TRUE(loaded->health_sets[1].depends_on.empty());
}

TEST(DependenciesTest, AnUnknownNameIsRefusedWithTheNearest) {
  EXPECT_EQ(Refused(Set("Web", On("Netwrok")) + Set("Network")),
            "t:1:26: health set 'Web': depends_on[0]: there is no health set 'Netwrok' (did you "
            "mean 'Network'?)");
  EXPECT_THAT(Refused(Set("Web", On("network")) + Set("Network")), HasSubstr("did you mean"));
}

TEST(DependenciesTest, TheSetItselfIsRefused) {
  EXPECT_THAT(Refused(Set("Web", On("Web"))), HasSubstr("depends_on[0]: is the set itself"));
}

TEST(DependenciesTest, ANameThatIsThereTwiceIsRefused) {
  EXPECT_THAT(Refused(Set("Web", On("Disk") + On("Disk")) + Set("Disk")),
              HasSubstr("depends_on[1]: 'Disk' is there twice"));
}

TEST(DependenciesTest, ACircleIsToldOnceAndWithoutWhatOnlyLeadsToIt) {
  EXPECT_EQ(Refused(Set("A", On("B")) + Set("B", On("C")) + Set("C", On("B")) + Set("D")),
            "t:2:24: health set 'B': depends_on: goes in a circle: B -> C -> B");
}

TEST(DependenciesTest, SeveralWaysToOneSetAreNoCircle) {
  EXPECT_EQ(Refused(Set("A", On("B") + On("C")) + Set("B", On("D")) + Set("C", On("D")) + Set("D")),
            "");
}

TEST(DependenciesTest, ALongChainIsNoCircleAndALongCircleIsToldInShort) {
  std::string sets;
  for (int i = 0; i < 5000; ++i) {
    sets += Set(absl::StrCat("S", i), On(absl::StrCat("S", i + 1)));
  }
  EXPECT_EQ(Refused(sets + Set("S5000")), "");
  const std::string circle = Refused(sets + Set("S5000", On("S0")));
  EXPECT_THAT(circle, HasSubstr("goes in a circle: S0 -> S1 -> "));
  EXPECT_THAT(circle, HasSubstr("… -> S0"));
  EXPECT_LT(circle.size(), 300u);
}

}  // namespace
}  // namespace salve
