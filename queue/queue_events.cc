#include "queue/queue_events.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "channels/event_text.h"
#include "queue/transition.h"

namespace salve {
namespace {

constexpr size_t kReasonBytesMax = 1024;
constexpr char kReregisteredAs[] = "re-registered as ";

v1::Level LevelOf(int event_id) {
  switch (event_id) {
    case 40003:
    case 40005:
    case 40016:
    case 40021:
      return v1::Warning;
    case 40004:
    case 40012:
      return v1::Error;
    default:
      return v1::Information;
  }
}

}  // namespace

v1::Event StepEvent(int event_id, const StoredMessage& row, const std::string& reason) {
  const queue::Message& message = row.message;
  v1::Event event;
  event.set_channel(v1::Queue);
  event.set_event_id(event_id);
  event.set_level(LevelOf(event_id));
  event.set_incident_id(message.correlation());
  event.set_health_set(message.letter().health_set());
  event.set_name(message.letter().monitor());
  v1::QueueEvent& step = *event.mutable_queue();
  step.set_mid(message.mid());
  step.set_type(queue::Type_Name(message.type()));
  step.set_queue(row.queue);
  step.set_destination(message.type() == queue::UP ? message.deferred().resource()
                                                   : message.destination());
  step.set_subject(message.subject());
  step.set_reason(CleanText(reason, kReasonBytesMax));
  step.set_attempt(message.attempts());
  step.set_origin_server(message.origin_server());
  step.set_origin_mid(message.origin_mid());
  step.set_group_id(message.correlation());
  step.set_sequence(row.sequence);
  if (message.has_dead()) {
    step.set_dmid(message.dead().dmid());
    step.set_former_queue(message.dead().former_queue());
  }
  return event;
}

v1::Event QueueNews(int event_id, v1::Level level, const std::string& message,
                    const std::string& who, int64_t count) {
  v1::Event event;
  event.set_channel(v1::Queue);
  event.set_event_id(event_id);
  event.set_level(level);
  event.mutable_queue()->set_message(message);
  event.mutable_queue()->set_who(who);
  event.mutable_queue()->set_count(count);
  return event;
}

int EndEventId(Final final) {
  switch (final) {
    case Final::kDone:
      return 40002;
    case Final::kFailed:
      return 40004;
    case Final::kRejected:
      return 40005;
    case Final::kObsolete:
      return 40006;
    case Final::kRemoved:
      return 40007;
    case Final::kReregistered:
      return 40013;
    case Final::kHeldInSet:
      return 40011;
  }
  return 40002;
}

v1::Event EndEvent(const Ended& ended) {
  StoredMessage row;
  row.queue = ended.queue;
  row.message.set_mid(ended.mid);
  row.message.set_origin_server(ended.origin_server);
  row.message.set_origin_mid(ended.origin_mid);
  row.message.set_type(ended.type);
  row.message.set_subject(ended.subject);
  row.message.set_correlation(ended.correlation);
  if (ended.type != queue::UP) {
    row.message.set_destination(std::string(QueueTarget(ended.queue)));
  } else {
    row.message.mutable_deferred()->set_resource(std::string(QueueTarget(ended.queue)));
  }
  v1::Event event = StepEvent(EndEventId(ended.final), row, ended.reason);
  absl::string_view reason = ended.reason;
  if (ended.final == Final::kReregistered && absl::ConsumePrefix(&reason, kReregisteredAs)) {
    event.mutable_queue()->set_new_mid(std::string(reason));
  }
  return event;
}

bool IsWithdrawn(const Ended& ended) {
  return ended.final == Final::kRemoved && absl::StartsWith(ended.reason, kWithdrawnBy);
}

std::string ReregisteredAs(absl::string_view mid) { return absl::StrCat(kReregisteredAs, mid); }

v1::Event LetterEvent(int event_id, const queue::Message& message, const std::string& text,
                      int merged) {
  v1::Event event;
  event.set_channel(v1::Monitoring);
  event.set_event_id(event_id);
  event.set_level(event_id == 5 ? v1::Information : event_id == 6 ? v1::Warning : v1::Error);
  event.set_incident_id(message.correlation());
  event.set_health_set(message.letter().health_set());
  event.set_name(message.letter().monitor());
  v1::MonitoringEvent& monitoring = *event.mutable_monitoring();
  monitoring.set_health_set(message.letter().health_set());
  monitoring.set_monitor(message.letter().monitor());
  monitoring.set_subject(message.subject());
  monitoring.set_message(text);
  monitoring.set_destination(message.destination());
  monitoring.set_attempt(message.attempts());
  monitoring.set_merged(merged);
  return event;
}

}  // namespace salve
