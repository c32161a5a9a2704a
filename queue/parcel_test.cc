#include "queue/parcel.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/store_fixture.h"

namespace salve {
namespace {

using testing::HasSubstr;

TEST(ParcelTest, AMessageComesOutAsItWentIn) {
  for (const queue::Message& message : {NewLetter("web1-1-1"), NewAction("web1-1-2")}) {
    const auto parcel = MakeParcel(message);
    ASSERT_TRUE(parcel.ok()) << parcel.status();
    const auto opened = OpenParcel(*parcel);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->SerializeAsString(), message.SerializeAsString());
  }
}

TEST(ParcelTest, EveryFlippedByteIsFound) {
  const std::string parcel = *MakeParcel(NewLetter("web1-1-1"));
  for (size_t i = 0; i < parcel.size(); ++i) {
    std::string flipped = parcel;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x55);
    EXPECT_FALSE(OpenParcel(flipped).ok()) << i;
  }
}

TEST(ParcelTest, EveryCutIsFound) {
  const std::string parcel = *MakeParcel(NewLetter("web1-1-1"));
  for (size_t size = 0; size < parcel.size(); ++size) {
    EXPECT_FALSE(OpenParcel(absl::string_view(parcel).substr(0, size)).ok()) << size;
  }
}

TEST(ParcelTest, ANewerVersionIsSaidToBeOne) {
  queue::Parcel parcel;
  parcel.ParseFromString(*MakeParcel(NewLetter("a")));
  parcel.set_version(2);
  const auto opened = OpenParcel(parcel.SerializeAsString());
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("newer"));
  parcel.set_version(-1);
  EXPECT_EQ(OpenParcel(parcel.SerializeAsString()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ParcelTest, TheLargestMessageIsTakenAndOneByteMoreIsNot) {
  queue::Message letter = NewLetter("a");
  letter.mutable_letter()->set_message(std::string(MessageStore::kMessageBytesMax - 1000, 'x'));
  const size_t rest = MessageStore::kMessageBytesMax - letter.SerializeAsString().size();
  letter.mutable_letter()->mutable_message()->append(rest, 'x');
  const auto parcel = MakeParcel(letter);
  ASSERT_TRUE(parcel.ok());
  EXPECT_TRUE(OpenParcel(*parcel).ok());
  letter.mutable_letter()->mutable_message()->push_back('x');
  EXPECT_EQ(MakeParcel(letter).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(OpenParcel(std::string(MessageStore::kMessageBytesMax * 2, 'x')).ok());
}

TEST(ParcelTest, WhatIsNoMessageIsNotPackedAndSaysWhy) {
  const std::pair<std::function<void(queue::Message&)>, const char*> changes[] = {
      {[](queue::Message& m) { m.clear_mid(); }, "mid"},
      {[](queue::Message& m) { m.set_mid("../../etc/passwd"); }, "mid"},
      {[](queue::Message& m) { m.set_mid(".hidden"); }, "mid"},
      {[](queue::Message& m) { m.set_mid("a b"); }, "mid"},
      {[](queue::Message& m) { m.set_mid(std::string(257, 'a')); }, "mid"},
      {[](queue::Message& m) { m.clear_origin_mid(); }, "origin_mid"},
      {[](queue::Message& m) { m.clear_origin_server(); }, "origin_server"},
      {[](queue::Message& m) { m.set_origin_server("a\nb"); }, "origin_server"},
      {[](queue::Message& m) { m.clear_type(); }, "type 0"},
      {[](queue::Message& m) { m.set_type(static_cast<queue::Type>(9)); }, "type 9"},
      {[](queue::Message& m) { m.set_type(queue::UP); }, "UP holds an action"},
      {[](queue::Message& m) { m.set_created_ns(-1); }, "1970"},
      {[](queue::Message& m) { m.set_attempts(-1); }, "negative"},
      {[](queue::Message& m) { m.set_priority(11); }, "priority 11"},
      {[](queue::Message& m) { m.set_priority(-11); }, "priority -11"},
      {[](queue::Message& m) { m.clear_destination(); }, "destination"},
      {[](queue::Message& m) { m.clear_letter(); }, "letter"},
      {[](queue::Message& m) { m.mutable_deferred(); }, "letter alone"},
      {[](queue::Message& m) { m.mutable_letter()->set_kind(static_cast<queue::Letter::Kind>(7)); },
       "letter.kind"},
      {[](queue::Message& m) { m.set_submission_key("a\n"); }, "submission_key"},
      {[](queue::Message& m) { m.set_correlation("a\n"); }, "correlation"},
      {[](queue::Message& m) { m.set_subject("\xff"); }, "UTF-8"},
  };
  for (const auto& [change, why] : changes) {
    queue::Message message = NewLetter("web1-1-1");
    change(message);
    const auto parcel = MakeParcel(message);
    EXPECT_EQ(parcel.status().code(), absl::StatusCode::kInvalidArgument) << why;
    EXPECT_THAT(std::string(parcel.status().message()), HasSubstr(why));
  }
}

TEST(ParcelTest, AnActionNamesEitherAResponderOrAnAction) {
  queue::Message message = NewAction("a");
  message.mutable_deferred()->set_responder("Web/Restart");
  EXPECT_FALSE(MakeParcel(message).ok());
  message.mutable_deferred()->clear_action();
  EXPECT_TRUE(MakeParcel(message).ok());
  message.mutable_deferred()->clear_responder();
  EXPECT_FALSE(MakeParcel(message).ok());
  message = NewAction("a");
  message.mutable_deferred()->clear_resource();
  EXPECT_FALSE(MakeParcel(message).ok());
}

}  // namespace
}  // namespace salve
