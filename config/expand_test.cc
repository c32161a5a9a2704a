#include "config/expand.h"

#include <string>

#include "config/config.pb.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

template <typename Item>
std::string Expanded(const std::string& text, const std::string& target) {
  Item item;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &item));
  ExpandItem(target, item);
  return item.ShortDebugString();
}

TEST(IsValidTargetTest, LettersDigitsAndSomeSignsAreAllowed) {
  for (const char* target : {"a", "postgres@14", "a.b_c-d:5", "dev/sda", "a//b"}) {
    EXPECT_TRUE(IsValidTarget(target)) << target;
  }
}

TEST(IsValidTargetTest, EverythingElseIsRefused) {
  for (const char* target : {"", "/", "/a", "a/", "a b", "{target}", "a\"b", "a\\b", "\xc3\xa9"}) {
    EXPECT_FALSE(IsValidTarget(target)) << target;
  }
}

TEST(IsValidTargetTest, AHundredCharactersAreAllowedAndOneMoreIsNot) {
  EXPECT_TRUE(IsValidTarget(std::string(100, 'x')));
  EXPECT_FALSE(IsValidTarget(std::string(101, 'x')));
}

TEST(ExpandItemTest, TheNameGetsTheTargetBehindIt) {
  EXPECT_EQ(Expanded<config::Probe>("name: 'P'", "a"), "name: \"P/a\"");
}

TEST(ExpandItemTest, NamesOfOtherItemsAreOfTheSameTarget) {
  EXPECT_EQ(Expanded<config::Monitor>("name: 'M' probe: 'P' probe: 'Q'", "a"),
            "name: \"M/a\" probe: \"P/a\" probe: \"Q/a\"");
  EXPECT_EQ(Expanded<config::Responder>("monitor: 'M'", "a"), "monitor: \"M/a\"");
}

TEST(ExpandItemTest, APlaceholderInANameIsLeftForTheCheckOfNames) {
  EXPECT_EQ(Expanded<config::Probe>("name: 'P{target}'", "a"), "name: \"P{target}/a\"");
}

TEST(ExpandItemTest, AllOtherStringsAreEditedAtAnyDepth) {
  EXPECT_EQ(Expanded<config::Probe>("interval: '{target}s' http { header { name: '{target}' "
                                    "value: 'x{target}{target}' } expected_status: '{target}' }",
                                    "7"),
            "interval: \"7s\" http { header { name: \"7\" value: \"x77\" } "
            "expected_status: \"7\" }");
}

TEST(ExpandItemTest, OnlyTheWholeWordIsReplaced) {
  EXPECT_EQ(Expanded<config::Probe>("tcp { host: '{Target} target {target' }", "a"),
            "tcp { host: \"{Target} target {target\" }");
}

}  // namespace
}  // namespace salve
