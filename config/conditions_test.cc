// Through the loader, as conditions are read.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "config/found_paths.h"
#include "config/loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::StatusOr<Configuration> Parse(const std::string& text, const FoundPaths& found) {
  LoadOptions options{.host_name = "web-1", .found = found};
  options.checks.probe = [](const config::Probe& probe) {
    if (probe.tcp().port() <= 65535) return absl::OkStatus();
    return absl::InvalidArgumentError("tcp.port: is too large");
  };
  return ParseConfiguration({.health_sets = {{"f.textproto", text}}}, options);
}

HealthSetDefinition SetOf(const std::string& text, const FoundPaths& found) {
  auto configuration = Parse(text, found);
  EXPECT_TRUE(configuration.ok()) << configuration.status();
  return configuration.ok() ? configuration->health_sets.at(0) : HealthSetDefinition();
}

std::string ErrorOf(const std::string& text, const FoundPaths& found = {}) {
  return std::string(Parse(text, found).status().message());
}

std::vector<std::string> NamesOf(const auto& items) {
  std::vector<std::string> names;
  for (const auto& item : items) names.push_back(item.name);
  return names;
}

constexpr char kGlob[] = R"(health_set { name: "Pg" for_each { glob: "/run/pg@*.service" }
  probe { name: "P" tcp { host: "{target}" port: 1 } }
  monitor { name: "M" probe: "P" consecutive_failures {} }
  monitor { name: "C" all_of { monitor: "M" } }
  responder { name: "R" monitor: "M" on: DEGRADED escalate {} } })";

TEST(IfExistsTest, WithoutOneASetIsApplicable) {
  EXPECT_TRUE(SetOf("health_set { name: 'A' }", {}).applicable);
}

TEST(IfExistsTest, IsApplicableWhileSomePathIsThere) {
  const std::string text = "health_set { name: 'A' if_exists: '/a' if_exists: '/b*' }";
  EXPECT_FALSE(SetOf(text, {}).applicable);
  EXPECT_FALSE(SetOf(text, {{"/a", {}}, {"/b*", {}}}).applicable);
  EXPECT_TRUE(SetOf(text, {{"/a", {}}, {"/b*", {"/b1"}}}).applicable);
  EXPECT_FALSE(SetOf(text, {{"/c", {"/c"}}}).applicable);
}

TEST(IfExistsTest, OneThatIsNotApplicableIsNotActiveAndKeepsItsItems) {
  const HealthSetDefinition set =
      SetOf("health_set { name: 'A' if_exists: '/a' probe { name: 'P' tcp {} } }", {});
  EXPECT_FALSE(set.active());
  EXPECT_TRUE(set.enabled);
  EXPECT_THAT(NamesOf(set.probes), ElementsAre("P"));
}

TEST(IfExistsTest, ADisabledSetIsNotActive) {
  const HealthSetDefinition set = SetOf("health_set { name: 'A' enabled: false }", {});
  EXPECT_TRUE(set.applicable);
  EXPECT_FALSE(set.active());
}

TEST(IfExistsTest, TheItemsOfOneThatIsNotApplicableAreChecked) {
  EXPECT_EQ(ErrorOf("health_set { name: 'A' if_exists: '/a'\nprobe { name: 'P' tcp { port: 70000 "
                    "} } }"),
            "f.textproto:2:25: probe 'A/P': tcp.port: is too large");
}

TEST(IfExistsTest, FaultsHaveTheirPlace) {
  EXPECT_EQ(ErrorOf("health_set { name: 'A'\nif_exists: ['/a', 'b', '/a', ''] }"),
            "f.textproto:2:19: health set 'A': if_exists[1]: 'b' is no path from / on\n"
            "f.textproto:2:24: health set 'A': if_exists[2]: '/a' is there twice\n"
            "f.textproto:2:30: health set 'A': if_exists[3]: '' is no path from / on");
}

TEST(IfExistsTest, APathHasAtMostFourKibibytes) {
  const std::string longest = "/" + std::string(4095, 'a');
  EXPECT_EQ(ErrorOf(absl::StrCat("health_set { name: 'A' if_exists: '", longest, "' }")), "");
  EXPECT_THAT(ErrorOf(absl::StrCat("health_set { name: 'A' if_exists: '", longest, "b' }")),
              HasSubstr("if_exists[0]: has 4097 bytes; at most 4096 may be"));
}

TEST(IfExistsTest, AThousandPathsMayBe) {
  std::string text = "health_set { name: 'A' ";
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&text, "if_exists: '/", i, "' ");
  EXPECT_EQ(ErrorOf(text + "}"), "");
  EXPECT_THAT(ErrorOf(text + "if_exists: '/more' }"),
              HasSubstr("if_exists: has 1001 paths; at most 1000 may be"));
}

TEST(GlobTest, EachPathIsATarget) {
  const HealthSetDefinition set =
      SetOf(kGlob, {{"/run/pg@*.service", {"/run/pg@14-main.service", "/run/pg@15-main.service"}}});
  EXPECT_TRUE(set.applicable);
  EXPECT_THAT(NamesOf(set.probes), ElementsAre("P/14-main", "P/15-main"));
  EXPECT_EQ(set.probes[0].config.tcp().host(), "14-main");
  EXPECT_THAT(NamesOf(set.responders), ElementsAre("R/14-main", "R/15-main"));
}

TEST(GlobTest, WithoutAPathTheSetIsNotApplicableAndHasNoItems) {
  for (const FoundPaths& found : {FoundPaths{}, FoundPaths{{"/run/pg@*.service", {}}}}) {
    const HealthSetDefinition set = SetOf(kGlob, found);
    EXPECT_FALSE(set.applicable);
    EXPECT_THAT(set.probes, IsEmpty());
    EXPECT_THAT(set.monitors, IsEmpty());
    EXPECT_THAT(set.responders, IsEmpty());
  }
}

TEST(GlobTest, WithoutAPathTheItemsAreCheckedForASample) {
  EXPECT_EQ(
      ErrorOf("health_set { name: 'A' for_each { glob: '/a*' }\nprobe { name: 'P' tcp { port: "
              "70000 } } }"),
      "f.textproto:2:25: probe 'A/P/sample': tcp.port: is too large");
}

TEST(GlobTest, TheSampleTakesNoNameOfAResponder) {
  const std::string other = R"(health_set { name: "B" for_each { value: "sample" }
    probe { name: "P" tcp { port: 1 } } monitor { name: "M" probe: "P" consecutive_failures {} }
    responder { name: "R" monitor: "M" on: DEGRADED escalate {} } })";
  EXPECT_EQ(ErrorOf(kGlob + other), "");
}

TEST(GlobTest, IfExistsMustHoldToo) {
  const std::string text = "health_set { name: 'A' if_exists: '/a' for_each { glob: '/b*' } }";
  EXPECT_FALSE(SetOf(text, {{"/b*", {"/b1"}}}).applicable);
  EXPECT_FALSE(SetOf(text, {{"/a", {"/a"}}}).applicable);
  EXPECT_TRUE(SetOf(text, {{"/a", {"/a"}}, {"/b*", {"/b1"}}}).applicable);
}

TEST(GlobTest, APathThatGivesNoTargetIsPassedOver) {
  const HealthSetDefinition set =
      SetOf("health_set { name: 'A' for_each { glob: '/b*c' } probe { name: 'P' tcp {} } }",
            {{"/b*c", {"/bc", "/b c", "/b1c", "/"}}});
  EXPECT_THAT(NamesOf(set.probes), ElementsAre("P/1"));
  EXPECT_THAT(set.skipped_paths, ElementsAre("/bc", "/b c", "/"));
}

TEST(GlobTest, AThousandTargetsMayBe) {
  FoundPaths found;
  std::vector<std::string>& paths = found["/b*"];
  for (int i = 0; i < 1000; ++i) paths.push_back(absl::StrCat("/b", i));
  const std::string text = "health_set { name: 'A'\nfor_each { glob: '/b*' } }";
  EXPECT_EQ(ErrorOf(text, found), "");
  paths.push_back("/bmore");
  EXPECT_EQ(
      ErrorOf(text, found),
      "f.textproto:2:12: health set 'A': for_each.glob: stands for more than 1000 paths here");
}

TEST(GlobTest, ItsFormIsChecked) {
  const auto error_of = [](const std::string& glob) {
    return ErrorOf(absl::StrCat("health_set { name: 'A' for_each { glob: '", glob, "' } }"));
  };
  EXPECT_EQ(error_of("/a*/b"), "");
  EXPECT_THAT(error_of("a*"), HasSubstr("f.textproto:1:35: health set 'A': for_each.glob: 'a*' is "
                                        "no path from / on"));
  for (const char* glob : {"/a", "/a*b*", "/a?*", "/a[b]*", "/a\\\\*"}) {
    EXPECT_THAT(error_of(glob), HasSubstr("needs exactly one *")) << glob;
  }
}

TEST(GlobTest, ValuesAndAGlobExcludeEachOther) {
  EXPECT_EQ(ErrorOf("health_set { name: 'A'\nfor_each { glob: '/a*' value: 'b' } }"),
            "f.textproto:2:1: health set 'A': for_each: has values and a glob; one of the two is "
            "needed");
}

TEST(GlobTest, ACombinationMayNameATargetThatIsNotThereNow) {
  const std::string other = R"(health_set { name: "B" monitor { name: "All" all_of {
    monitor: "Pg/M/15-main" } } })";
  EXPECT_EQ(ErrorOf(kGlob + other), "");
  for (const char* name : {"Pg/M", "Pg/N/15-main", "Pg/M/", "X/M/15-main"}) {
    EXPECT_THAT(ErrorOf(absl::StrCat(kGlob,
                                     "health_set { name: 'B' monitor { name: 'All' all_of { "
                                     "monitor: '",
                                     name, "' } } }")),
                HasSubstr("there is no monitor"))
        << name;
  }
}

TEST(DescriptionTest, HasAtMostAKibibyte) {
  const std::string longest(1024, 'a');
  EXPECT_EQ(ErrorOf(absl::StrCat("health_set { name: 'A' description: '", longest, "' }")), "");
  EXPECT_THAT(ErrorOf(absl::StrCat("health_set { name: 'A' description: '", longest, "b' }")),
              HasSubstr("f.textproto:1:24: health set 'A': description: has 1025 bytes; at most "
                        "1024 may be"));
}

}  // namespace
}  // namespace salve
