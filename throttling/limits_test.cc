#include "throttling/limits.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::HasSubstr;

TEST(RecoveryActionTest, EveryNameIsReadBackInAnyCase) {
  for (const RecoveryAction action : kRecoveryActions) {
    const std::string name(ActionName(action));
    EXPECT_EQ(*ParseAction(name), action);
  }
  EXPECT_EQ(*ParseAction("rEBOOTsERVER"), RecoveryAction::kRebootServer);
}

TEST(RecoveryActionTest, AMistypedNameIsRefusedWithTheNearest) {
  const auto action = ParseAction("RestartServise");
  EXPECT_EQ(action.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(action.status().message()), HasSubstr("'RestartServise'"));
  EXPECT_THAT(std::string(action.status().message()), HasSubstr("RestartService"));
}

TEST(RecoveryActionTest, ANameNearNothingIsRefusedWithAllThatAreKnown) {
  const auto action = ParseAction("zzzzzzzzzzzz");
  EXPECT_THAT(std::string(action.status().message()), HasSubstr("TakeOffline"));
}

TEST(RecoveryActionTest, TheTypeNameOfItsResponderIsCamelCase) {
  EXPECT_EQ(ResponderTypeName(RecoveryAction::kResetPool), "ResetPoolResponder");
}

TEST(LimitsTest, DisabledLimitsAreAllOffInForce) {
  Limits limits = {false, 60, 1, 2, 3, 4};
  EXPECT_EQ(limits.InForce(), (Limits{false, -1, -1, -1, -1, -1}));
  EXPECT_FALSE(limits.HasGroupLimit());
  limits.enabled = true;
  EXPECT_EQ(limits.InForce(), limits);
  EXPECT_TRUE(limits.HasGroupLimit());
}

TEST(LimitsTest, StricterIsMoreMinutesAndFewerAttemptsAndMinusOneIsTheLeast) {
  const LimitAttribute& minutes = kLimitAttributes[0];
  const LimitAttribute& maximum = kLimitAttributes[1];
  EXPECT_EQ(StricterLimit(minutes, 10, 60), 60);
  EXPECT_EQ(StricterLimit(minutes, 0, -1), 0);
  EXPECT_EQ(StricterLimit(maximum, 10, 60), 10);
  EXPECT_EQ(StricterLimit(maximum, -1, 60), 60);
  EXPECT_EQ(StricterLimit(maximum, 0, -1), 0);
  EXPECT_EQ(StricterLimit(maximum, -1, -1), -1);
}

TEST(LimitsTest, XmlHasAllSixAttributesInOrder) {
  EXPECT_EQ(LimitsXml({true, 60, -1, 4, 5, 0}),
            "<ThrottleConfig Enabled=\"True\" LocalMinimumMinutesBetweenAttempts=\"60\" "
            "LocalMaximumAllowedAttemptsInOneHour=\"-1\" "
            "LocalMaximumAllowedAttemptsInADay=\"4\" GroupMinimumMinutesBetweenAttempts=\"5\" "
            "GroupMaximumAllowedAttemptsInADay=\"0\" />");
}

TEST(RefusalMessageTest, NamesTheLocalThrottleAndAllChecks) {
  EXPECT_EQ(RefusalMessage(RecoveryAction::kRestartService, "MSExchangeRepl", "R1",
                           {Check::kLocalMinimumMinutes, Check::kLocalMaxInDay}),
            "Active Monitoring Recovery action failed. An operation was rejected during local "
            "throttling. (ActionId=RestartService, ResourceName=MSExchangeRepl, Requester=R1, "
            "FailedChecks=LocalMinimumMinutes, LocalMaxInDay)");
}

TEST(RefusalMessageTest, NamesTheGroupThrottleWhenTheGroupRefused) {
  EXPECT_THAT(RefusalMessage(RecoveryAction::kRebootServer, "a", "R1",
                             {Check::kGroupMinimumMinutes, Check::kGroupRecoveryInProgress}),
              HasSubstr("rejected during group throttling."));
}

}  // namespace
}  // namespace salve
