#include "config/names.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(NamesTest, LettersDigitsDotUnderscoreAndDashAreAllowed) {
  EXPECT_TRUE(IsValidName("a"));
  EXPECT_TRUE(IsValidName("Nginx-1.2_x"));
}

TEST(NamesTest, EverythingElseIsRefused) {
  for (const char* name : {"", "a b", "a/b", "a:b", "\xc3\xa9", "a\n", "{target}"}) {
    EXPECT_FALSE(IsValidName(name)) << name;
  }
}

TEST(NamesTest, AHundredCharactersAreAllowedAndOneMoreIsNot) {
  EXPECT_TRUE(IsValidName(std::string(100, 'x')));
  EXPECT_FALSE(IsValidName(std::string(101, 'x')));
}

TEST(NamesTest, AUserMayBeOfADirectoryToo) {
  for (const char* name : {"nagios", "_apt", "EXAMPLE\\ann", "ann@example.org", "j\xc3\xb6rg"}) {
    EXPECT_TRUE(IsValidUserName(name)) << name;
  }
  EXPECT_TRUE(IsValidUserName(std::string(256, 'x')));
}

TEST(NamesTest, WhatNoUserCanBeCalledIsRefused) {
  for (const char* name : {"", "a b", "a:b", "../a", "-a", "a\n", "a\x7f"}) {
    EXPECT_FALSE(IsValidUserName(name)) << name;
  }
  EXPECT_FALSE(IsValidUserName(std::string(257, 'x')));
}

TEST(NamesTest, FindsASlipOfTheKeys) {
  EXPECT_THAT(NearestNames("intervl", {"name", "interval", "timeout"}), ElementsAre("interval"));
}

TEST(NamesTest, SwappedNeighboursAreOneStep) {
  EXPECT_THAT(NearestNames("htpt", {"http", "exec"}), ElementsAre("http"));
  EXPECT_THAT(NearestNames("ab", {"ba"}), ElementsAre("ba"));
}

TEST(NamesTest, CaseDoesNotMatter) {
  EXPECT_THAT(NearestNames("NGINXPING", {"NginxPing"}), ElementsAre("NginxPing"));
}

TEST(NamesTest, AThirdOfTheLengthMayDifferAndNoMore) {
  EXPECT_THAT(NearestNames("abcdef", {"abcdXY"}), ElementsAre("abcdXY"));
  EXPECT_THAT(NearestNames("abcdef", {"abcXYZ"}), IsEmpty());
}

TEST(NamesTest, OneStepIsNearHoweverShortTheName) {
  EXPECT_THAT(NearestNames("a", {"b"}), ElementsAre("b"));
  EXPECT_THAT(NearestNames("a", {"bc"}), IsEmpty());
}

TEST(NamesTest, ThreeLettersOfALongerNameAreNearAndTwoAreNot) {
  EXPECT_THAT(NearestNames("web", {"ProductionWebFrontend"}), ElementsAre("ProductionWebFrontend"));
  EXPECT_THAT(NearestNames("we", {"ProductionWebFrontend"}), IsEmpty());
}

TEST(NamesTest, TheBestComesFirstAndTheNumberIsBounded) {
  EXPECT_THAT(NearestNames("ping", {"MyPingProbe", "pong", "ping2", "ping"}, 3),
              ElementsAre("ping", "pong", "ping2"));
}

TEST(NamesTest, NothingIsNearToNothingOrToAWall) {
  EXPECT_THAT(NearestNames("", {"a", ""}), IsEmpty());
  EXPECT_THAT(NearestNames(std::string(201, 'a'), {std::string(201, 'a')}), IsEmpty());
  EXPECT_THAT(NearestNames(std::string(200, 'a'), {std::string(200, 'a')}),
              ElementsAre(std::string(200, 'a')));
}

TEST(NamesTest, DidYouMeanIsAPhraseOrNothing) {
  EXPECT_EQ(DidYouMean("htp", {"http"}), " (did you mean 'http'?)");
  EXPECT_EQ(DidYouMean("disk1", {"disk2", "disk3"}), " (did you mean 'disk2', 'disk3'?)");
  EXPECT_EQ(DidYouMean("zebra", {"http"}), "");
}

}  // namespace
}  // namespace salve
