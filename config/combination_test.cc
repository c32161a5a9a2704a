#include "config/combination.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "config/loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::StatusOr<Configuration> Parse(const std::string& health_sets) {
  return ParseConfiguration(
      {.agent = {"salve.textproto", ""}, .health_sets = {{"web.textproto", health_sets}}},
      {.host_name = "web-1", .checks = {}});
}

// A set "Web" with a monitor "A" and these.
std::string Web(const std::string& more) {
  return absl::StrCat(R"(health_set { name: "Web" probe { name: "P" tcp { port: 80 } }
monitor { name: "A" probe: "P" consecutive_failures {} }
)",
                      more, "\n}");
}

std::string ErrorOf(const std::string& more) {
  return std::string(Parse(Web(more)).status().message());
}

TEST(CombinationConfigTest, NamesAreOfTheSameSetOrWithTheirSet) {
  const auto configuration =
      Parse(Web(R"(monitor { name: "B" all_of { monitor: "A" monitor: "Db/Down/a" } })") +
            R"(health_set { name: "Db" for_each { value: "a" value: "b" } probe { name: "P" tcp {} }
         monitor { name: "Down" probe: "P" flapping {} }
         monitor { name: "Any" any_of { monitor: "Down" monitor: "Web/A" } } })");
  ASSERT_TRUE(configuration.ok()) << configuration.status();
  EXPECT_THAT(InputsOf(configuration->health_sets[0].monitors[1]),
              ElementsAre("Web/A", "Db/Down/a"));
  EXPECT_THAT(InputsOf(configuration->health_sets[1].monitors[1]),
              ElementsAre("Db/Down/a", "Web/A"));
  EXPECT_THAT(InputsOf(configuration->health_sets[1].monitors[3]),
              ElementsAre("Db/Down/b", "Web/A"));
  EXPECT_THAT(InputsOf(configuration->health_sets[0].monitors[0]), IsEmpty());
  EXPECT_EQ(CombinationOf(configuration->health_sets[0].monitors[0].config), nullptr);
}

TEST(CombinationConfigTest, AnUnknownMonitorIsRefusedWithTheNearest) {
  EXPECT_EQ(ErrorOf(R"(monitor { name: "Both" all_of { monitor: "A" monitor: "AA" } })"),
            "web.textproto:3:46: monitor 'Web/Both': all_of.monitor[1]: there is no monitor "
            "'Web/AA' (did you mean 'Web/A'?)");
}

TEST(CombinationConfigTest, ACircleIsRefused) {
  EXPECT_THAT(ErrorOf(R"(monitor { name: "B" all_of { monitor: "B" } })"),
              HasSubstr("monitor 'Web/B': all_of: is made of itself: Web/B of Web/B"));
  EXPECT_THAT(ErrorOf(R"(monitor { name: "B" any_of { monitor: "C" }}
                         monitor { name: "C" any_of { monitor: "A" monitor: "D" }}
                         monitor { name: "D" any_of { monitor: "A" monitor: "B" }}
                         monitor { name: "Over" any_of { monitor: "D" }})"),
              HasSubstr("monitor 'Web/B': any_of: is made of itself: "
                        "Web/B of Web/C of Web/D of Web/B"));
}

TEST(CombinationConfigTest, ADiamondIsNoCircle) {
  EXPECT_EQ(ErrorOf(R"(monitor { name: "Top" all_of { monitor: "L" monitor: "R" }}
                       monitor { name: "L" any_of { monitor: "A" }}
                       monitor { name: "R" any_of { monitor: "A" }})"),
            "");
}

TEST(CombinationConfigTest, AFaultOfAForEachIsToldOnce) {
  const std::string error(
      Parse(R"(health_set { name: "Db" for_each { value: "a" value: "b" } probe { name: "P" tcp {} }
               monitor { name: "Any" any_of { monitor: "Nowhere" } } })")
          .status()
          .message());
  EXPECT_THAT(error, HasSubstr("there is no monitor 'Db/Nowhere/a'"));
  EXPECT_THAT(error, ::testing::Not(HasSubstr("Db/Nowhere/b")));
}

TEST(CombinationConfigTest, NamesOneToAHundredMonitorsAndNoProbe) {
  EXPECT_THAT(ErrorOf(R"(monitor { name: "B" all_of {} })"),
              HasSubstr("monitor 'Web/B': all_of: needs a monitor"));
  EXPECT_THAT(ErrorOf(R"(monitor { name: "B" probe: "P" all_of { monitor: "A" } })"),
              HasSubstr("probe: a combination has no probes of its own"));
  EXPECT_THAT(ErrorOf(R"(monitor { name: "B" any_of { monitor: "A" monitor: "A" } })"),
              HasSubstr("any_of.monitor[1]: 'A' is there twice"));
  for (const int count : {100, 101}) {
    std::string monitors;
    std::string named;
    for (int i = 0; i < count; ++i) {
      absl::StrAppend(&monitors, "monitor { name: \"M", i, "\" probe: \"P\" flapping {} }\n");
      absl::StrAppend(&named, "monitor: \"M", i, "\" ");
    }
    const std::string error =
        ErrorOf(absl::StrCat(monitors, "monitor { name: \"B\" any_of { ", named, "} }"));
    EXPECT_THAT(error, HasSubstr(count == 100 ? "" : "has 101 monitors; at most 100 may be"));
    EXPECT_EQ(error.empty(), count == 100);
  }
}

TEST(CombinationConfigTest, OnlyAnEscalateMayAnswerUnavailable) {
  EXPECT_EQ(
      ErrorOf(R"(responder { name: "R" monitor: "A" on: UNAVAILABLE after: "1h" escalate {} })"),
      "");
  EXPECT_EQ(ErrorOf(R"(responder { name: "R" monitor: "A" on: UNAVAILABLE
                                   restart_service { service: "x" } })"),
            "web.textproto:3:36: responder 'Web/R': on: UNAVAILABLE is for escalate alone");
  EXPECT_THAT(ErrorOf(R"(responder { name: "R" monitor: "A" on: REPAIRING escalate {} })"),
              HasSubstr("on: REPAIRING is not DEGRADED, UNHEALTHY or UNRECOVERABLE"));
}

TEST(CombinationConfigTest, ClearAfterIsReadAndHasARange) {
  const auto with = [](const std::string& clear_after) {
    return Parse(Web(R"(monitor { name: "B" probe: "P" clear_after: ")" + clear_after +
                     R"(" flapping {} })"));
  };
  EXPECT_EQ(with("24h")->health_sets[0].monitors[1].clear_after, absl::Hours(24));
  EXPECT_EQ(with("0s")->health_sets[0].monitors[0].clear_after, absl::ZeroDuration());
  EXPECT_THAT(with("24h1s").status().message(),
              HasSubstr("clear_after: 24h1s is not in [0s, 24h]"));
}

// However long the chain: 20,000 deep.
TEST(CombinationConfigTest, ALongChainIsCheckedWithoutRecursion) {
  std::string chain;
  for (int i = 0; i < 20000; ++i) {
    absl::StrAppend(&chain, "monitor { name: \"M", i, "\" any_of { monitor: \"",
                    i == 0 ? "A" : absl::StrCat("M", i - 1), "\" } }\n");
  }
  EXPECT_EQ(ErrorOf(chain), "");
}

}  // namespace
}  // namespace salve
