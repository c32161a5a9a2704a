#include "base/check.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(CheckTest, GoesOnWhenTheConditionHolds) {
  int evaluated = 0;
  CHECK(++evaluated == 1);
  EXPECT_EQ(evaluated, 1);
}

TEST(CheckDeathTest, EndsTheProcessAndNamesTheCondition) {
  EXPECT_DEATH(CHECK(1 == 2), "<2>base/check_test.cc:[0-9]+: CHECK failed: 1 == 2");
}

}  // namespace
}  // namespace salve
