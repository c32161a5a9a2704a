#include "base/status_macros.h"

#include <memory>
#include <utility>

#include "gtest/gtest.h"

namespace salve {
namespace {

absl::StatusOr<int> AddOne(absl::StatusOr<int> input) {
  ASSIGN_OR_RETURN(const int value, input);
  return value + 1;
}

absl::Status Check(const absl::Status& first, int& reached) {
  RETURN_IF_ERROR(first);
  ++reached;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<int>> Move(absl::StatusOr<std::unique_ptr<int>> input) {
  ASSIGN_OR_RETURN(std::unique_ptr<int> value, std::move(input));
  return value;
}

TEST(StatusMacrosTest, AssignTheValue) {
  EXPECT_EQ(AddOne(1).value(), 2);
  EXPECT_EQ(*Move(std::make_unique<int>(3)).value(), 3);
}

TEST(StatusMacrosTest, ReturnTheError) {
  EXPECT_EQ(AddOne(absl::NotFoundError("x")).status(), absl::NotFoundError("x"));
  EXPECT_EQ(Move(absl::NotFoundError("x")).status(), absl::NotFoundError("x"));
}

TEST(StatusMacrosTest, EndTheFunctionAtAnErrorOnly) {
  int reached = 0;
  EXPECT_EQ(Check(absl::DataLossError("x"), reached), absl::DataLossError("x"));
  EXPECT_EQ(reached, 0);
  EXPECT_TRUE(Check(absl::OkStatus(), reached).ok());
  EXPECT_EQ(reached, 1);
}

}  // namespace
}  // namespace salve
