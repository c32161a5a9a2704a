#include "channels/event_json.h"

#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <limits>

#include "channels/test_events.h"

namespace salve {
namespace {

TEST(EventJsonTest, PutsEnvelopeAndContentAtTheTop) {
  v1::Event event = ActionEvent(2051, "0192ab34cd56ef780192ab34cd56ef78");
  event = At(absl::FromUnixNanos(1'800'000'000'944'837'700), event);
  event.set_record_id(12);
  event.set_level(v1::Warning);
  event.set_server("web-1");
  event.mutable_recovery_action_log()->set_action_id("RestartService");
  event.mutable_recovery_action_log()->set_local_throttle_result("<Local A=\"1\" />");
  EXPECT_EQ(EventToJson(event),
            R"({"RecordId":"12","Time":"2027-01-15T08:00:00.944837700Z",)"
            R"("Channel":"RecoveryActionLogs","EventId":2051,"Level":"Warning","Server":"web-1",)"
            R"("IncidentId":"0192ab34cd56ef780192ab34cd56ef78","HealthSet":"Web","Name":"Restart",)"
            R"("ActionId":"RestartService","ResourceName":"","RequesterName":"",)"
            R"("ExceptionMessage":"","LocalThrottleResult":"<Local A=\"1\" />",)"
            R"("GroupThrottleResult":"","TotalServersInGroup":0,)"
            R"("TotalServersInCompatibleVersion":0})");
}

TEST(EventJsonTest, WritesNumbersListsAndMessages) {
  v1::Event event;
  v1::ProbeResultEvent& result = *event.mutable_probe_result();
  result.set_duration_ms(1.5);
  result.mutable_execution_start_time()->set_seconds(1'800'000'000);
  v1::Value& value = *result.add_values();
  value.set_name("load");
  value.set_number(0.1);
  result.add_values()->set_number(1e300);
  const std::string json = EventToJson(event);
  EXPECT_NE(json.find(R"("DurationMs":1.5,)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("ExecutionStartTime":"2027-01-15T08:00:00.000000000Z")"),
            std::string::npos)
      << json;
  EXPECT_NE(json.find(R"("Values":[{"Name":"load","Number":0.1,"Unit":""},)"
                      R"({"Name":"","Number":1e+300,"Unit":""}],"Attributes":[]})"),
            std::string::npos)
      << json;
}

TEST(EventJsonTest, SixtyFourBitsAreStringsAndFlagsAreNot) {
  v1::Event event;
  event.mutable_monitor_result()->set_is_alert(true);
  event.mutable_monitor_result()->add_evidence_record_ids(std::numeric_limits<uint64_t>::max());
  event.mutable_monitor_result()->add_evidence_record_ids(2);
  const std::string json = EventToJson(event);
  EXPECT_NE(json.find(R"("IsAlert":true)"), std::string::npos);
  EXPECT_NE(json.find(R"("EvidenceRecordIds":["18446744073709551615","2"])"), std::string::npos);
  event.mutable_agent()->set_count(-7);
  EXPECT_NE(EventToJson(event).find(R"("Count":"-7")"), std::string::npos);
}

TEST(EventJsonTest, NumbersThatJsonLacksAreStrings) {
  v1::Event event;
  event.mutable_probe_result()->set_duration_ms(std::numeric_limits<double>::quiet_NaN());
  EXPECT_NE(EventToJson(event).find(R"("DurationMs":"NaN")"), std::string::npos);
  event.mutable_probe_result()->set_duration_ms(-std::numeric_limits<double>::infinity());
  EXPECT_NE(EventToJson(event).find(R"("DurationMs":"-Infinity")"), std::string::npos);
}

TEST(EventJsonTest, ANameOfBothIsGivenOnceAndIsTheEnvelopes) {
  v1::Event event = EventOf(v1::ProbeDefinition, 1, "Envelope");
  event.mutable_probe_definition()->set_name("Message");
  std::string json = EventToJson(event);
  EXPECT_NE(json.find(R"("Name":"Envelope")"), std::string::npos);
  EXPECT_EQ(json.find("Message"), std::string::npos);
  event.clear_name();
  json = EventToJson(event);
  EXPECT_NE(json.find(R"("Name":"Message")"), std::string::npos) << json;
  EXPECT_EQ(json.find(R"("Name":"")"), std::string::npos) << json;
}

TEST(EventJsonTest, EscapesSoThatALineStaysALine) {
  v1::Event event = AgentEvent("q\" b\\ n\n r\r t\t c\x01 d\x7f u\xc3\xa9");
  const std::string json = EventToJson(event);
  EXPECT_NE(json.find(R"(q\" b\\ n\n r\r t\t c\u0001 d\u007f u)"
                      "\xc3\xa9"),
            std::string::npos)
      << json;
}

TEST(EventJsonTest, BytesThatAreNotUtf8AreReplaced) {
  EXPECT_NE(EventToJson(AgentEvent("a\xff z")).find(R"("a? z")"), std::string::npos);
}

// Every field of every channel comes out, and what comes out is JSON with the schema's own names.
TEST(EventJsonTest, TheContentReadsBackAsItsMessage) {
  v1::Event event;
  v1::RecoveryActionResultEvent& result = *event.mutable_recovery_action_result();
  const auto* fields = result.GetDescriptor();
  for (int i = 0; i < fields->field_count(); ++i) {
    if (fields->field(i)->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING) {
      result.GetReflection()->SetString(&result, fields->field(i), "v\n" + std::to_string(i));
    }
  }
  result.mutable_start_time()->set_seconds(5);
  result.mutable_end_time()->set_nanos(7);
  v1::RecoveryActionResultEvent again;
  google::protobuf::util::JsonParseOptions lenient;
  lenient.ignore_unknown_fields = true;
  const auto status =
      google::protobuf::util::JsonStringToMessage(EventToJson(event), &again, lenient);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(again.SerializeAsString(), result.SerializeAsString());
}

TEST(EventJsonTest, AnEventWithoutContentIsItsEnvelope) {
  EXPECT_EQ(EventToJson({}),
            R"({"RecordId":"0","Channel":"CHANNEL_UNSPECIFIED","EventId":0,)"
            R"("Level":"LEVEL_UNSPECIFIED","Server":"","IncidentId":"","HealthSet":"","Name":""})");
}

}  // namespace
}  // namespace salve
