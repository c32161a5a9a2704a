#include "config/schema.h"

#include <string>

#include "config/config.pb.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(SchemaTest, EveryFieldThatIsNotRepeatedHasPresence) {
  const Schema schema;
  const auto& file = schema.file();
  ASSERT_EQ(file.message_type_count(), config::Agent::descriptor()->file()->message_type_count());
  for (int m = 0; m < file.message_type_count(); ++m) {
    for (int f = 0; f < file.message_type(m)->field_count(); ++f) {
      const auto* field = file.message_type(m)->field(f);
      EXPECT_TRUE(field->is_repeated() || field->has_presence()) << field->full_name();
    }
  }
}

TEST(SchemaTest, ItsMessagesAreReadAsThoseOfTheLanguage) {
  const Schema schema;
  const std::string text =
      "name: \"P\" max_retry_attempts: 2 enabled: false http { url: \"u\" expected_status: \"2xx\" "
      "}";
  const auto twin = schema.NewMessage("Probe");
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, twin.get()));
  config::Probe probe;
  ASSERT_TRUE(probe.ParseFromString(twin->SerializeAsString()));
  EXPECT_EQ(probe.ShortDebugString(), twin->ShortDebugString());
  EXPECT_TRUE(probe.has_enabled());
  EXPECT_TRUE(probe.has_http());
}

}  // namespace
}  // namespace salve
