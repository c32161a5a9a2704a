#include "config/errors.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

ErrorList Lines(int count) {
  ErrorList errors;
  for (int i = 1; i <= count; ++i) errors.Add(absl::StrCat("line ", i));
  return errors;
}

size_t LinesOf(const absl::Status& status) {
  return std::count(status.message().begin(), status.message().end(), '\n') + 1;
}

TEST(ErrorListTest, DoesNotQuoteThePasswordOfAUrl) {
  ErrorList errors;
  errors.Add("a.textproto:1:2: 'http://ann:hunter2@db' is no endpoint");
  EXPECT_EQ(errors.ToStatus().message(), "a.textproto:1:2: 'http://***@db' is no endpoint");
}

TEST(ErrorListTest, NoErrorIsOk) {
  EXPECT_TRUE(ErrorList().ToStatus().ok());
  EXPECT_TRUE(ErrorList().empty());
}

TEST(ErrorListTest, ErrorsAreLinesInTheirOrder) {
  const absl::Status status = Lines(2).ToStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "line 1\nline 2");
}

TEST(ErrorListTest, TwentyLinesAreKept) {
  EXPECT_EQ(LinesOf(Lines(20).ToStatus()), 20u);
  EXPECT_NE(Lines(20).ToStatus().message().find("line 20"), absl::string_view::npos);
  EXPECT_TRUE(Lines(20).full());
  EXPECT_FALSE(Lines(19).full());
}

TEST(ErrorListTest, OfMoreTheLastLineSaysHowMany) {
  const absl::Status status = Lines(25).ToStatus();
  EXPECT_EQ(LinesOf(status), 20u);
  EXPECT_NE(status.message().find("line 19\n... and 6 more errors"), absl::string_view::npos);
  EXPECT_EQ(Lines(25).count(), 25u);
}

TEST(QuotedTest, EscapesWhatWouldBreakTheLine) {
  EXPECT_EQ(Quoted("a\nb\x01"), "'a\\nb\\001'");
  EXPECT_EQ(Quoted("caf\xc3\xa9"), "'caf\xc3\xa9'");
}

TEST(QuotedTest, CutsBetweenCharacters) {
  EXPECT_EQ(Quoted(std::string(80, 'x')), "'" + std::string(80, 'x') + "'");
  EXPECT_EQ(Quoted(std::string(81, 'x')), "'" + std::string(80, 'x') + "...'");
  EXPECT_EQ(Quoted(std::string(79, 'x') + "\xc3\xa9"), "'" + std::string(79, 'x') + "...'");
}

}  // namespace
}  // namespace salve
