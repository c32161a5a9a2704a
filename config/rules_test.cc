#include "config/rules.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "config/errors.h"
#include "config/schema.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The faults that CheckRanges finds in a file of one health set.
std::vector<std::string> FaultsOf(const std::string& text) {
  const Schema schema;
  ErrorList errors;
  const auto file = TextFile::Parse("f", text, "HealthSetFile", schema, errors);
  EXPECT_NE(file, nullptr) << errors.ToStatus();
  std::vector<std::string> faults;
  CheckRanges(file->message(), file->root(), [&](const std::string& path, const std::string& why) {
    faults.push_back(absl::StrCat(path, ": ", why));
  });
  return faults;
}

TEST(RulesTest, WhatIsNotWrittenHasNoRange) {
  EXPECT_THAT(FaultsOf("health_set { probe {} monitor {} responder { throttle {} } }"), IsEmpty());
}

TEST(RulesTest, AFaultHasItsWholePath) {
  EXPECT_THAT(FaultsOf("health_set { monitor {} monitor { transition {} "
                       "transition { after: '25h' } } }"),
              ElementsAre("health_set[0].monitor[1].transition[1].after: "
                          "25h is not in [0s, 24h]"));
}

TEST(RulesTest, AZeroIsAnErrorOnlyWhereTheDefaultIsAnother) {
  EXPECT_THAT(FaultsOf("health_set { probe { log_match { threshold: 0 } } }"),
              ElementsAre("health_set[0].probe[0].log_match.threshold: 0 is not allowed; leave the "
                          "field out for its default"));
  EXPECT_THAT(FaultsOf("health_set { probe { process { max_count: 0 } } }"), IsEmpty());
}

TEST(RulesTest, AFieldThatIsNeededMustBeWrittenEvenAsZero) {
  EXPECT_THAT(FaultsOf("health_set { monitor { value_below {} } }"),
              ElementsAre("health_set[0].monitor[0].value_below.threshold: is needed"));
  EXPECT_THAT(FaultsOf("health_set { monitor { value_below { threshold: 0 } } }"), IsEmpty());
}

TEST(RulesTest, DurationsAndNumbersHaveTheirDefaults) {
  config::Responder responder;
  EXPECT_EQ(DurationOf(responder, "settle"), absl::Seconds(15));
  EXPECT_EQ(NumberOf(responder, "ineffective_after"), 3);
  responder.set_settle("1m");
  responder.set_ineffective_after(7);
  EXPECT_EQ(DurationOf(responder, "settle"), absl::Minutes(1));
  EXPECT_EQ(NumberOf(responder, "ineffective_after"), 7);
}

TEST(RulesTest, WhatCantBeReadHasItsDefaultToo) {
  config::Responder responder;
  responder.set_settle("soon");
  EXPECT_EQ(DurationOf(responder, "settle"), absl::Seconds(15));
}

TEST(RulesTest, DefaultsAreFilledInWhereNothingIs) {
  config::Responder responder;
  responder.set_settle("5s");
  FillDefaults(responder);
  EXPECT_EQ(responder.settle(), "5s");
  EXPECT_EQ(responder.timeout(), "2m");
  EXPECT_EQ(responder.ineffective_after(), 3u);
  EXPECT_TRUE(responder.enabled());
  EXPECT_FALSE(responder.has_throttle());
}

TEST(RulesTest, NoStateIsFilledIn) {
  config::Monitor monitor;
  monitor.add_transition();
  FillDefaults(monitor);
  EXPECT_EQ(monitor.transition(0).to(), config::HEALTH_STATE_UNSPECIFIED);
  EXPECT_EQ(monitor.transition(0).after(), "0s");
}

}  // namespace
}  // namespace salve
