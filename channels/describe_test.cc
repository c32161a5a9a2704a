#include "channels/describe.h"

#include <gtest/gtest.h>

#include <string>

#include "channels/test_events.h"

namespace salve {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);  // 2027-01-15 08:00:00 UTC

std::string Said(const v1::Event& event) { return Describe(At(kNow, event), absl::UTCTimeZone()); }

v1::Event Probe(int event_id, double duration_ms, const std::string& error = "") {
  v1::Event event = ProbeEvent(event_id, "NginxPing", error);
  event.mutable_probe_result()->set_duration_ms(duration_ms);
  return event;
}

TEST(HumanDurationTest, TakesTheUnitThatFits) {
  EXPECT_EQ(HumanDuration(absl::ZeroDuration()), "0 ms");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(450)), "450 ms");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(999)), "999 ms");
  EXPECT_EQ(HumanDuration(absl::Microseconds(999'600)), "1.0 s");
  EXPECT_EQ(HumanDuration(absl::Seconds(3)), "3.0 s");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(59'949)), "59.9 s");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(59'950)), "1 min 0 s");
  EXPECT_EQ(HumanDuration(absl::Seconds(598)), "9 min 58 s");
  EXPECT_EQ(HumanDuration(absl::Seconds(3'599)), "59 min 59 s");
  EXPECT_EQ(HumanDuration(absl::Seconds(3'600)), "1 h 0 min");
  EXPECT_EQ(HumanDuration(absl::Minutes(1'439)), "23 h 59 min");
  EXPECT_EQ(HumanDuration(absl::Hours(76)), "3 d 4 h");
  EXPECT_EQ(HumanDuration(absl::Seconds(-3)), "-3.0 s");
  EXPECT_EQ(HumanDuration(absl::InfiniteDuration()), "for ever");
}

TEST(DescribeTest, ProbeResults) {
  EXPECT_EQ(Said(Probe(1, 12)), "probe Web/NginxPing passed in 12 ms");
  EXPECT_EQ(Said(Probe(1, 12, "2 % free")), "probe Web/NginxPing passed in 12 ms: 2 % free");
  EXPECT_EQ(Said(Probe(2, 3'000, "connection refused")),
            "probe Web/NginxPing failed after 3.0 s: connection refused");
  EXPECT_EQ(Said(Probe(3, 3'000)), "probe Web/NginxPing timed out after 3.0 s");
  EXPECT_EQ(Said(Probe(4, 1, "no descriptors")),
            "probe Web/NginxPing could not look: no descriptors");
}

TEST(DescribeTest, ValuesOfAPassedProbe) {
  v1::Event event = Probe(1, 5);
  for (const char* name : {"a", "b", "c", "d"}) {
    v1::Value* value = event.mutable_probe_result()->add_values();
    value->set_name(name);
    value->set_number(1.5);
  }
  event.mutable_probe_result()->mutable_values(0)->set_unit("s");
  EXPECT_EQ(Said(event), "probe Web/NginxPing passed in 5 ms: a 1.5 s, b 1.5, c 1.5");
}

TEST(DescribeTest, MonitorResults) {
  v1::Event event = EventOf(v1::MonitorResult, 1, "NginxDown");
  v1::MonitorResultEvent& result = *event.mutable_monitor_result();
  result.set_from("HEALTHY");
  result.set_to("UNHEALTHY");
  result.set_evidence("3 of 3 failed");
  EXPECT_EQ(Said(event), "monitor Web/NginxDown: HEALTHY -> UNHEALTHY: 3 of 3 failed");
  result.set_reason("the hold is over");
  result.set_reopened(2);
  EXPECT_EQ(Said(event),
            "monitor Web/NginxDown: HEALTHY -> UNHEALTHY: 3 of 3 failed; the hold is over; "
            "reopened (2)");
}

TEST(DescribeTest, ResponderResults) {
  v1::Event event = EventOf(v1::ResponderResult, 1, "Restart");
  v1::ResponderResultEvent& result = *event.mutable_responder_result();
  result.set_recovery_result(3);
  result.set_reason("LocalMinimumMinutes");
  (*result.mutable_next_attempt_time()).set_seconds(absl::ToUnixSeconds(kNow) + 598);
  EXPECT_EQ(Said(event),
            "responder Web/Restart is refused: LocalMinimumMinutes; next attempt at 08:09:58 "
            "(in 9 min 58 s)");
  result.clear_next_attempt_time();
  result.clear_reason();
  result.set_recovery_result(2);
  EXPECT_EQ(Said(event), "responder Web/Restart acts");
  result.set_recovery_result(77);
  EXPECT_EQ(Said(event), "responder Web/Restart is no longer needed");
}

v1::Event Verdict(int event_id, const std::string& message, const std::string& local_xml) {
  v1::Event event = ActionEvent(event_id);
  v1::RecoveryActionLogEvent& log = *event.mutable_recovery_action_log();
  log.set_action_id("RestartService");
  log.set_resource_name("nginx.service");
  log.set_requester_name("NginxRestart");
  log.set_exception_message(message);
  log.set_local_throttle_result(local_xml);
  return event;
}

const char kRefusal[] =
    "Active Monitoring Recovery action failed. An operation was rejected during local throttling. "
    "(ActionId=RestartService, ResourceName=nginx.service, Requester=NginxRestart, "
    "FailedChecks=LocalMinimumMinutes, LocalMaxInDay)";

TEST(DescribeTest, AnAllowedAction) {
  EXPECT_EQ(Said(Verdict(2050, "", "")),
            "2050 RestartService nginx.service allowed, asked by NginxRestart");
}

TEST(DescribeTest, ARefusedActionSaysWhyAndWhenAgain) {
  EXPECT_EQ(Said(Verdict(2051, kRefusal,
                         "<LocalThrottlingResult IsPassed=\"false\" "
                         "TimeToRetryAfter=\"2027-01-15T08:09:58.5000000Z\"></L>")),
            "2051 RestartService nginx.service refused by the local throttle: "
            "LocalMinimumMinutes, LocalMaxInDay; may run again at 08:09:58 (in 9 min 59 s)");
}

TEST(DescribeTest, ARefusalForTomorrowSaysTheDay) {
  EXPECT_EQ(
      Said(Verdict(2051, kRefusal, "<L TimeToRetryAfter=\"2027-01-16T07:00:00.0000000Z\" />")),
      "2051 RestartService nginx.service refused by the local throttle: LocalMinimumMinutes, "
      "LocalMaxInDay; may run again at 2027-01-16 07:00:00 (in 23 h 0 min)");
}

TEST(DescribeTest, ARefusalForEverSaysSo) {
  EXPECT_EQ(
      Said(Verdict(2051, kRefusal, "<L TimeToRetryAfter=\"9999-12-31T23:59:59.9999999Z\" />")),
      "2051 RestartService nginx.service refused by the local throttle: LocalMinimumMinutes, "
      "LocalMaxInDay; not again under these limits");
}

TEST(DescribeTest, TheGroupsRefusalAndTheLaterOfTwoTimes) {
  v1::Event event = Verdict(2051, "rejected during group throttling. (FailedChecks=GroupMaxInDay)",
                            "<L TimeToRetryAfter=\"2027-01-15T08:00:01.0000000Z\" />");
  event.mutable_recovery_action_log()->set_group_throttle_result(
      "<G TimeToRetryAfter=\"2027-01-15T08:00:02.0000000Z\" />");
  EXPECT_EQ(Said(event),
            "2051 RestartService nginx.service refused by the group throttle: GroupMaxInDay; may "
            "run again at 08:00:02 (in 2.0 s)");
}

TEST(DescribeTest, ARefusalForAnotherReasonIsGivenAsItIs) {
  EXPECT_EQ(Said(Verdict(2051, "LedgerUnavailable", "")),
            "2051 RestartService nginx.service refused: LedgerUnavailable");
}

TEST(DescribeTest, RecoveryActionResults) {
  v1::Event event = ActionEvent(500);
  v1::RecoveryActionResultEvent& result = *event.mutable_recovery_action_result();
  result.set_id("RestartService");
  result.set_resource_name("nginx.service");
  result.set_requestor_name("NginxRestart");
  EXPECT_EQ(Said(event), "500 RestartService nginx.service started, asked by NginxRestart");
  result.mutable_start_time()->set_seconds(10);
  result.mutable_end_time()->set_seconds(12);
  result.set_context("job 77 done");
  event.set_event_id(501);
  EXPECT_EQ(Said(event), "501 RestartService nginx.service succeeded after 2.0 s: job 77 done");
  event.set_event_id(502);
  result.set_exception_name("JobFailed");
  result.set_exception_message("start-limit-hit");
  EXPECT_EQ(Said(event),
            "502 RestartService nginx.service failed after 2.0 s: JobFailed: start-limit-hit; "
            "job 77 done");
  result.set_result("TimedOut");
  EXPECT_EQ(Said(event).substr(0, 45), "502 RestartService nginx.service timed out af");
  event.set_event_id(503);
  EXPECT_EQ(Said(event).substr(0, 52), "503 RestartService nginx.service was cut off by the ");
}

TEST(DescribeTest, MonitoringOverridesAndAgent) {
  v1::Event event = EventOf(v1::Monitoring, 4, "NginxDown");
  event.mutable_monitoring()->set_subject("Web/NginxDown keeps coming back");
  event.mutable_monitoring()->set_message("3 times");
  event.mutable_monitoring()->set_latest_error("refused");
  EXPECT_EQ(Said(event),
            "escalation: Web/NginxDown keeps coming back: 3 times; latest error: refused");
  event.set_event_id(1);
  EXPECT_EQ(Said(event), "Web/NginxDown is healthy again: 3 times");
  event.mutable_overrides()->set_who("root");
  event.mutable_overrides()->set_what("X");
  EXPECT_EQ(Said(event), "override added by root: X");
  event.mutable_agent()->set_message("looks were skipped");
  event.mutable_agent()->set_count(12);
  EXPECT_EQ(Said(event), "looks were skipped (12)");
  event.mutable_agent()->set_message("12 looks were skipped");
  event.mutable_agent()->set_who("root");
  EXPECT_EQ(Said(event), "12 looks were skipped, by root");
}

TEST(DescribeTest, Definitions) {
  v1::Event event = EventOf(v1::ProbeDefinition, 1, "NginxPing");
  event.mutable_probe_definition()->set_type_name("HttpProbe");
  EXPECT_EQ(Said(event), "definition of probe Web/NginxPing (HttpProbe), disabled");
  event.mutable_throttling_config()->set_identity("A/*/*/*/*");
  event.mutable_throttling_config()->set_source("policy");
  EXPECT_EQ(Said(event), "limits of A/*/*/*/*, from policy");
}

v1::Event QueueStep(int event_id, const std::string& reason = "") {
  v1::Event event = EventOf(v1::Queue, event_id);
  v1::QueueEvent& step = *event.mutable_queue();
  step.set_mid("web-1-0193-1f");
  step.set_type("AF");
  step.set_queue("remote/ops");
  step.set_former_queue("submission");
  step.set_destination("ops");
  step.set_subject("Web/Down is UNHEALTHY");
  step.set_reason(reason);
  step.set_attempt(4);
  step.set_origin_server("web-7");
  return event;
}

TEST(DescribeTest, StepsOfAMessage) {
  const std::string letter = "AF web-1-0193-1f to ops ";
  const std::string subject = "; Web/Down is UNHEALTHY";
  EXPECT_EQ(Said(QueueStep(40001)), letter + "accepted into remote/ops" + subject);
  EXPECT_EQ(Said(QueueStep(40002)), letter + "done" + subject);
  EXPECT_EQ(Said(QueueStep(40003, "refused; tried again in 20s")),
            letter + "not done (attempt 4): refused; tried again in 20s" + subject);
  EXPECT_EQ(Said(QueueStep(40008)), letter + "moved from submission to remote/ops" + subject);
  EXPECT_EQ(Said(QueueStep(40010)), letter + "suspended or resumed" + subject);
  EXPECT_EQ(Said(QueueStep(40010, "suspended")), "AF web-1-0193-1f to ops: suspended" + subject);
  EXPECT_EQ(Said(QueueStep(40021)), letter + "a crash is counted against it" + subject);
  EXPECT_EQ(Said(QueueStep(40022)), letter + "perhaps told twice" + subject);
  EXPECT_EQ(Said(QueueStep(40023)), letter + "changed" + subject);
}

TEST(DescribeTest, WhatCameFromAnotherServer) {
  v1::Event event = QueueStep(40009);
  event.mutable_queue()->set_message("Web/Down is down");
  EXPECT_EQ(Said(event),
            "AF web-1-0193-1f to ops received from web-7: Web/Down is down; Web/Down is UNHEALTHY");
}

TEST(DescribeTest, DeathAndRebirthOfAMessage) {
  v1::Event event = QueueStep(40012, "550");
  event.mutable_queue()->set_type("UP");
  event.mutable_queue()->set_dmid("D-1");
  event.mutable_queue()->set_subject("");
  EXPECT_EQ(Said(event), "UP web-1-0193-1f on ops dead as D-1, from submission: 550");
  event.set_event_id(40013);
  event.mutable_queue()->set_new_mid("web-1-0194-1");
  event.mutable_queue()->set_who("ada");
  EXPECT_EQ(Said(event),
            "UP web-1-0193-1f on ops re-registered as web-1-0194-1, was D-1: 550, by ada");
}

TEST(DescribeTest, AReasonThatSaysTheSameIsNotSaidTwice) {
  v1::Event event = QueueStep(40013, "re-registered as web-1-0194-1");
  event.mutable_queue()->set_new_mid("web-1-0194-1");
  event.mutable_queue()->set_dmid("D-1");
  EXPECT_EQ(Said(event),
            "AF web-1-0193-1f to ops re-registered as web-1-0194-1, was D-1; "
            "Web/Down is UNHEALTHY");
}

TEST(DescribeTest, TheQueueItself) {
  v1::Event event = EventOf(v1::Queue, 40015);
  event.mutable_queue();
  EXPECT_EQ(Said(event), "queue: back pressure");
  event.mutable_queue()->set_message("it is full: foreign messages are refused");
  event.mutable_queue()->set_who("ada");
  EXPECT_EQ(Said(event), "queue: it is full: foreign messages are refused, by ada");
  event.mutable_queue()->set_message("queue remote/ops suspended");
  EXPECT_EQ(Said(event), "queue remote/ops suspended, by ada");
  event.mutable_queue()->set_message("the queue service is paused");
  EXPECT_EQ(Said(event), "the queue service is paused, by ada");
}

// Whatever a channel is given, there is something to say about it.
TEST(DescribeTest, EveryChannelHasASentence) {
  for (int channel = v1::Channel_MIN + 1; channel <= v1::Channel_MAX; ++channel) {
    v1::Event event = EventOf(static_cast<v1::Channel>(channel));
    EXPECT_FALSE(Said(event).empty());
    const auto* content = v1::Event::descriptor()->FindOneofByName("content");
    event.GetReflection()->MutableMessage(&event, content->field(channel - 1));
    if (channel == v1::Agent) event.mutable_agent()->set_message("m");
    EXPECT_FALSE(Said(event).empty()) << content->field(channel - 1)->name();
  }
}

TEST(DescribeTest, StaysOnOneLineAndWithinAKibibyte) {
  EXPECT_EQ(Said(AgentEvent("a\nb\x1b[1mc\xff")), "a b [1mc?");
  const std::string text = Said(AgentEvent(std::string(1'024, 'x')));
  EXPECT_EQ(text, std::string(1'024, 'x'));
  const std::string cut = Said(AgentEvent(std::string(1'025, 'x')));
  EXPECT_EQ(cut.size(), 1'024u);
  EXPECT_EQ(cut.substr(1'020), "x…");
}

}  // namespace
}  // namespace salve
