#include "channels/describe.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "channels/event_filter.h"
#include "channels/event_text.h"

namespace salve {
namespace {

constexpr size_t kSentenceBytesMax = 1024;
constexpr int kValuesMax = 3;

// Event ids.
constexpr int kPassed = 1, kFailed = 2, kTimedOut = 3;
constexpr int kAllowed = 2050;
constexpr int kStarted = 500, kSucceeded = 501, kNotSucceeded = 502;
constexpr int kAccepted = 40001, kRetried = 40003, kMoved = 40008, kReceived = 40009,
              kSuspended = 40010, kDead = 40012, kReregistered = 40013, kExported = 40018;
constexpr int kEscalation = 4, kDelivered = 5, kNotDelivered = 6, kGivenUp = 7, kEvidence = 8;

// What the sentences need to know beside their own message.
struct Context {
  const v1::Event& event;
  absl::TimeZone zone;

  std::string item() const {
    const std::string& name = ItemName(event);
    if (event.health_set().empty()) return name;
    return name.empty() ? event.health_set() : absl::StrCat(event.health_set(), "/", name);
  }
};

// ": text", or nothing.
std::string After(absl::string_view separator, absl::string_view text) {
  return text.empty() ? "" : absl::StrCat(separator, text);
}

// "at 22:39:57 (in 9 min 58 s)"
std::string AtTime(absl::Time when, const Context& context) {
  const absl::Time own = ToTime(context.event.time());
  const bool same_day = absl::ToCivilDay(when, context.zone) == absl::ToCivilDay(own, context.zone);
  std::string text = absl::StrCat(
      "at ", absl::FormatTime(same_day ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", when, context.zone));
  if (when > own) absl::StrAppend(&text, " (in ", HumanDuration(when - own), ")");
  return text;
}

std::string OnOneLine(std::string text) {
  for (char& c : text) {
    if (absl::ascii_iscntrl(c)) c = ' ';
  }
  if (text.size() <= kSentenceBytesMax && IsUtf8(text)) return text;
  return CleanText(text, kSentenceBytesMax);
}

std::string DefinitionText(const Context& context, absl::string_view kind,
                           absl::string_view type_name, bool enabled) {
  return absl::StrCat("definition of ", kind, " ", context.item(), After(" (", type_name),
                      type_name.empty() ? "" : ")", enabled ? "" : ", disabled");
}

std::string ValuesText(const v1::ProbeResultEvent& result) {
  std::vector<std::string> texts;
  for (const v1::Value& value : result.values()) {
    if (texts.size() == kValuesMax) break;
    texts.push_back(
        absl::StrFormat("%s %g%s", value.name(), value.number(), After(" ", value.unit())));
  }
  return After(": ", absl::StrJoin(texts, ", "));
}

std::string Say(const Context& context, const v1::ProbeResultEvent& result) {
  const std::string duration = HumanDuration(absl::Milliseconds(result.duration_ms()));
  const std::string probe = absl::StrCat("probe ", context.item());
  switch (context.event.event_id()) {
    case kPassed:
      return absl::StrCat(
          probe, " passed in ", duration,
          result.error().empty() ? ValuesText(result) : After(": ", result.error()));
    case kFailed:
      return absl::StrCat(probe, " failed after ", duration, After(": ", result.error()));
    case kTimedOut:
      return absl::StrCat(probe, " timed out after ", duration, After(": ", result.error()));
    default:
      return absl::StrCat(probe, " could not look", After(": ", result.error()));
  }
}

std::string Say(const Context& context, const v1::MonitorResultEvent& result) {
  std::string text =
      absl::StrCat("monitor ", context.item(), ": ", result.from(), " -> ", result.to(),
                   After(": ", result.evidence()), After("; ", result.reason()));
  if (result.reopened() > 0) absl::StrAppend(&text, "; reopened (", result.reopened(), ")");
  return text;
}

std::string Say(const Context& context, const v1::ResponderResultEvent& result) {
  static constexpr absl::string_view kWhat[] = {"does nothing", "is skipped", "acts", "is refused",
                                                "is no longer needed"};
  const size_t index = static_cast<size_t>(std::clamp(result.recovery_result(), 0, 4));
  std::string text =
      absl::StrCat("responder ", context.item(), " ", kWhat[index], After(": ", result.reason()));
  if (result.has_next_attempt_time()) {
    absl::StrAppend(&text, "; next attempt ", AtTime(ToTime(result.next_attempt_time()), context));
  }
  return text;
}

// The value of an attribute in one line of XML as throttling writes it; empty: not there.
std::string XmlAttribute(absl::string_view xml, absl::string_view name) {
  const std::string begin = absl::StrCat(" ", name, "=\"");
  const size_t at = xml.find(begin);
  if (at == absl::string_view::npos) return "";
  const absl::string_view value = xml.substr(at + begin.size());
  return std::string(value.substr(0, value.find('"')));
}

std::string RetryText(const v1::RecoveryActionLogEvent& log, const Context& context) {
  std::string latest;  // Of equal form, so the later text is the later time.
  for (const std::string& xml : {log.local_throttle_result(), log.group_throttle_result()}) {
    latest = std::max(latest, XmlAttribute(xml, "TimeToRetryAfter"));
  }
  absl::Time when;
  if (!absl::ParseTime(absl::RFC3339_full, latest, &when, nullptr)) return "";
  if (absl::StartsWith(latest, "9999-")) return "; not again under these limits";
  return absl::StrCat("; may run again ", AtTime(when, context));
}

std::string Say(const Context& context, const v1::RecoveryActionLogEvent& log) {
  const std::string what =
      absl::StrCat(context.event.event_id(), " ", log.action_id(), " ", log.resource_name());
  if (context.event.event_id() == kAllowed) {
    return absl::StrCat(what, " allowed", After(", asked by ", log.requester_name()));
  }
  constexpr absl::string_view kChecks = "FailedChecks=";
  const absl::string_view message = log.exception_message();
  const size_t at = message.find(kChecks);
  if (at == absl::string_view::npos) {
    return absl::StrCat(what, " refused", After(": ", message), RetryText(log, context));
  }
  absl::string_view checks = message.substr(at + kChecks.size());
  checks = checks.substr(0, checks.find(')'));
  const bool by_group = absl::StrContains(message, "group throttling");
  return absl::StrCat(what, " refused by the ", by_group ? "group" : "local", " throttle: ", checks,
                      RetryText(log, context));
}

std::string Say(const Context& context, const v1::RecoveryActionResultEvent& result) {
  const std::string what =
      absl::StrCat(context.event.event_id(), " ", result.id(), " ", result.resource_name());
  std::string took;
  if (result.has_start_time() && result.has_end_time()) {
    took = absl::StrCat(" after ",
                        HumanDuration(ToTime(result.end_time()) - ToTime(result.start_time())));
  }
  std::string why = result.exception_name();
  absl::StrAppend(&why, After(why.empty() ? "" : ": ", result.exception_message()));
  absl::StrAppend(&why, After(why.empty() ? "" : "; ", result.context()));
  switch (context.event.event_id()) {
    case kStarted:
      return absl::StrCat(what, " started", After(", asked by ", result.requestor_name()));
    case kSucceeded:
      return absl::StrCat(what, " succeeded", took, After(": ", why));
    case kNotSucceeded:
      return absl::StrCat(what, result.result() == "TimedOut" ? " timed out" : " failed", took,
                          After(": ", why));
    default:
      return absl::StrCat(what, " was cut off by the end of the agent", After(": ", why));
  }
}

std::string Say(const Context& context, const v1::MonitoringEvent& monitoring) {
  if (context.event.event_id() == kEscalation) {
    return absl::StrCat("escalation: ", monitoring.subject(), After(": ", monitoring.message()),
                        After("; latest error: ", monitoring.latest_error()));
  }
  const std::string what = absl::StrCat("'", monitoring.subject(), "'");
  const std::string attempt = absl::StrCat("attempt ", monitoring.attempt());
  switch (context.event.event_id()) {
    case kDelivered:
      return absl::StrCat("told to ", monitoring.destination(), ": ", what, " (", attempt, ")",
                          After("; ", monitoring.message()));
    case kNotDelivered:
      return absl::StrCat("not told yet to ", monitoring.destination(), ": ", what, " (", attempt,
                          "): ", monitoring.message());
    case kGivenUp:
      return absl::StrCat("never told to ", monitoring.destination(), ": ", what, " (", attempt,
                          "): ", monitoring.message());
    case kEvidence:
      return absl::StrCat("evidence of ", monitoring.subject(),
                          monitoring.path().empty() ? " is missing" : " in ", monitoring.path(),
                          After(": ", monitoring.message()));
    default:
      return absl::StrCat(context.item(), " is healthy again", After(": ", monitoring.message()));
  }
}

std::string Say(const Context& context, const v1::OverridesEvent& overrides) {
  static constexpr absl::string_view kWhat[] = {"changed", "added", "removed", "expired",
                                                "file rejected"};
  const int id = context.event.event_id();
  return absl::StrCat("override ", kWhat[id >= 0 && id <= 4 ? id : 0],
                      After(" by ", overrides.who()), After(": ", overrides.what()),
                      After("; ", overrides.why()));
}

std::string Say(const v1::AgentEvent& agent) {
  std::string text = agent.message();
  const std::string count = absl::StrCat(agent.count());
  if (agent.count() > 0 && !absl::StrContains(text, count))
    absl::StrAppend(&text, " (", count, ")");
  absl::StrAppend(&text, After(", by ", agent.who()));
  return text;
}

// What happened to a message; ids without more to say than their name stand in the list.
std::string StepText(int event_id, const v1::QueueEvent& step) {
  static constexpr absl::string_view kWhat[] = {"accepted",
                                                "done",
                                                "not done",
                                                "failed",
                                                "rejected by the throttle until it expired",
                                                "obsolete",
                                                "removed",
                                                "moved",
                                                "received",
                                                "",
                                                "a crash set",
                                                "dead",
                                                "re-registered",
                                                "handed over",
                                                "back pressure",
                                                "late",
                                                "trouble",
                                                "",
                                                "the database",
                                                "the service",
                                                "a crash is counted against it",
                                                "perhaps told twice"};
  switch (event_id) {
    case kAccepted:
      return absl::StrCat("accepted", After(" into ", step.queue()));
    case kRetried:
      return absl::StrCat("not done (attempt ", step.attempt(), ")");
    case kMoved:
      return absl::StrCat("moved", After(" from ", step.former_queue()),
                          After(" to ", step.queue()));
    case kReceived:
      return absl::StrCat("received", After(" from ", step.origin_server()));
    case kDead:
      return absl::StrCat("dead", After(" as ", step.dmid()),
                          After(", from ", step.former_queue()));
    case kReregistered:
      return absl::StrCat("re-registered", After(" as ", step.new_mid()),
                          After(", was ", step.dmid()));
    case kSuspended:  // Which of the two its reason says.
      return step.reason().empty() ? "suspended or resumed" : "";
    case kExported:
      return step.reason().empty() ? "exported or imported" : "";
    default:
      break;
  }
  const int index = event_id - kAccepted;
  return index >= 0 && index < static_cast<int>(std::size(kWhat)) ? std::string(kWhat[index])
                                                                  : "changed";
}

std::string Say(const Context& context, const v1::QueueEvent& step) {
  const std::string who = After(", by ", step.who());
  if (step.mid().empty()) {
    const std::string text = step.message().empty() ? step.reason() : step.message();
    const bool names_it = absl::StartsWith(text, "queue ") || absl::StartsWith(text, "the queue");
    return absl::StrCat(names_it ? "" : "queue: ",
                        text.empty() ? StepText(context.event.event_id(), step) : text, who);
  }
  const std::string what = StepText(context.event.event_id(), step);
  std::string why = step.reason().empty() ? step.message() : step.reason();
  if (absl::StartsWith(what, why)) why.clear();  // It says no more.
  return absl::StrCat(step.type(), " ", step.mid(),
                      After(step.type() == "UP" ? " on " : " to ", step.destination()),
                      After(" ", what), After(": ", why), who, After("; ", step.subject()));
}

std::string Sentence(const Context& context) {
  const v1::Event& event = context.event;
  switch (event.content_case()) {
    case v1::Event::kProbeDefinition:
      return DefinitionText(context, "probe", event.probe_definition().type_name(),
                            event.probe_definition().enabled());
    case v1::Event::kMonitorDefinition:
      return DefinitionText(context, "monitor", event.monitor_definition().type_name(),
                            event.monitor_definition().enabled());
    case v1::Event::kResponderDefinition:
      return DefinitionText(context, "responder", event.responder_definition().type_name(),
                            event.responder_definition().enabled());
    case v1::Event::kProbeResult:
      return Say(context, event.probe_result());
    case v1::Event::kMonitorResult:
      return Say(context, event.monitor_result());
    case v1::Event::kResponderResult:
      return Say(context, event.responder_result());
    case v1::Event::kThrottlingConfig:
      return absl::StrCat("limits of ", event.throttling_config().identity(),
                          After(", from ", event.throttling_config().source()),
                          After(": ", event.throttling_config().properties_xml()));
    case v1::Event::kRecoveryActionLog:
      return Say(context, event.recovery_action_log());
    case v1::Event::kRecoveryActionResult:
      return Say(context, event.recovery_action_result());
    case v1::Event::kMonitoring:
      return Say(context, event.monitoring());
    case v1::Event::kOverrides:
      return Say(context, event.overrides());
    case v1::Event::kAgent:
      return Say(event.agent());
    case v1::Event::kQueue:
      return Say(context, event.queue());
    case v1::Event::CONTENT_NOT_SET:
      break;
  }
  return absl::StrCat(v1::Channel_Name(event.channel()), " ", event.event_id(), " ",
                      context.item());
}

}  // namespace

std::string Describe(const v1::Event& event, absl::TimeZone zone) {
  return OnOneLine(Sentence({.event = event, .zone = zone}));
}

std::string HumanDuration(absl::Duration d) {
  if (d < absl::ZeroDuration()) return absl::StrCat("-", HumanDuration(-d));
  if (d == absl::InfiniteDuration()) return "for ever";
  // Rounded first, so that 59.96 s does not become "60.0 s".
  if (d < absl::Milliseconds(999.5)) {
    return absl::StrFormat("%.0f ms", std::round(absl::ToDoubleMilliseconds(d)));
  }
  if (d < absl::Milliseconds(59'950)) return absl::StrFormat("%.1f s", absl::ToDoubleSeconds(d));
  const int64_t seconds = absl::ToInt64Seconds(d + absl::Milliseconds(500));
  if (seconds < 3'600) return absl::StrFormat("%d min %d s", seconds / 60, seconds % 60);
  const int64_t minutes = seconds / 60;
  if (minutes < 24 * 60) return absl::StrFormat("%d h %d min", minutes / 60, minutes % 60);
  return absl::StrFormat("%d d %d h", minutes / 1440, minutes / 60 % 24);
}

}  // namespace salve
