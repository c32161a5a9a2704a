#include "channels/event_text.h"

#include <gtest/gtest.h>

#include <string>

namespace salve {
namespace {

TEST(EventTextTest, KnowsUtf8) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("plain"));
  EXPECT_TRUE(IsUtf8("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"));
  EXPECT_TRUE(IsUtf8("\xf4\x8f\xbf\xbf")) << "the last code point";
}

TEST(EventTextTest, RefusesWhatIsNotUtf8) {
  EXPECT_FALSE(IsUtf8("\xff"));
  EXPECT_FALSE(IsUtf8("\xc3")) << "cut short";
  EXPECT_FALSE(IsUtf8("\xc3(")) << "no continuation";
  EXPECT_FALSE(IsUtf8("\xc0\xaf")) << "overlong";
  EXPECT_FALSE(IsUtf8("\xe0\x9f\xbf")) << "overlong";
  EXPECT_FALSE(IsUtf8("\xf0\x8f\xbf\xbf")) << "overlong";
  EXPECT_FALSE(IsUtf8("\xed\xa0\x80")) << "a surrogate";
  EXPECT_FALSE(IsUtf8("\xf4\x90\x80\x80")) << "beyond U+10FFFF";
}

TEST(EventTextTest, ReplacesBytesThatAreNotUtf8) {
  EXPECT_EQ(CleanText("a\xff\xc3\xa9\xc3z", 100), "a?\xc3\xa9?z");
}

TEST(EventTextTest, CutsAtACharacterAndSaysSo) {
  EXPECT_EQ(CleanText("123456", 6), "123456");
  EXPECT_EQ(CleanText("1234567", 6), "123…");
  EXPECT_EQ(CleanText("12\xc3\xa9 567", 6), "12…") << "not within a character";
}

TEST(EventTextTest, MakesEveryTextOfAnEventStorable) {
  v1::Event event;
  event.set_name("n\xff");
  event.mutable_monitor_definition()->add_sample_mask("m\xff");
  MakeStorable(&event);
  EXPECT_EQ(event.name(), "n?");
  EXPECT_EQ(event.monitor_definition().sample_mask(0), "m?");
}

TEST(EventTextTest, CutsALongTextAndKeepsOneThatJustFits) {
  v1::Event event;
  v1::ProbeResultEvent& result = *event.mutable_probe_result();
  result.set_error(std::string(kTextBytesMax + 1, 'e'));
  result.set_result_name(std::string(kTextBytesMax, 'n'));
  result.add_attributes()->set_text("t\xff");
  MakeStorable(&event);
  EXPECT_EQ(result.error().size(), kTextBytesMax);
  EXPECT_EQ(result.error().substr(kTextBytesMax - 4), "e…");
  EXPECT_EQ(result.result_name(), std::string(kTextBytesMax, 'n'));
  EXPECT_EQ(result.attributes(0).text(), "t?");
}

TEST(EventTextTest, DropsElementsBeyondTheBound) {
  v1::Event event;
  for (int i = 0; i < kRepeatedMax + 1; ++i) {
    event.mutable_monitor_result()->add_evidence_record_ids(i);
  }
  MakeStorable(&event);
  EXPECT_EQ(event.monitor_result().evidence_record_ids_size(), kRepeatedMax);
  EXPECT_EQ(event.monitor_result().evidence_record_ids(kRepeatedMax - 1), 999u);
}

TEST(EventTextTest, WhatItMadeStorableCanBeReadAgain) {
  v1::Event event;
  event.mutable_agent()->set_message("\xff\xfe");
  MakeStorable(&event);
  v1::Event again;
  EXPECT_TRUE(again.ParseFromString(event.SerializeAsString()));
}

}  // namespace
}  // namespace salve
