#include "agent/policy_record.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "channels/describe.h"
#include "config/duration.h"

namespace salve {
namespace {

constexpr int kPassed = 1;   // Event id of a ProbeResult.
constexpr int kRefused = 3;  // ResponderResultEvent.recovery_result

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

}  // namespace

std::string TimeText(absl::Duration d) {
  return DurationText(d < absl::Seconds(1) ? d : absl::Trunc(d, absl::Seconds(1)));
}

uint64_t PolicyRecord::Append(v1::Event event) {
  event.set_record_id(++last_id_);
  const absl::Time wall = clock_->WallNow();
  const int64_t seconds = absl::ToUnixSeconds(wall);
  event.mutable_time()->set_seconds(seconds);
  event.mutable_time()->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(wall - absl::FromUnixSeconds(seconds))));
  if (event.has_responder_result() && event.responder_result().recovery_result() == kRefused) {
    Refusal refusal{event.name(), Now(), event.responder_result().reason(), std::nullopt};
    if (event.responder_result().has_next_attempt_time()) {
      refusal.again = ToTime(event.responder_result().next_attempt_time()) - start_;
    }
    refusals_.push_back(std::move(refusal));
  }
  if (IsNews(event)) Tell(Describe(event, absl::UTCTimeZone()));
  return last_id_;
}

// A probe that passes again and again, and what is configured, would hide the story.
bool PolicyRecord::IsNews(const v1::Event& event) {
  switch (event.channel()) {
    case v1::ProbeDefinition:
    case v1::MonitorDefinition:
    case v1::ResponderDefinition:
    case v1::ThrottlingConfig:
      return false;
    case v1::ProbeResult: {
      int& last = last_look_[absl::StrCat(event.health_set(), "/", event.name())];
      const bool passes_still = event.event_id() == kPassed && (last == kPassed || last == 0);
      last = event.event_id();
      return !passes_still;
    }
    default:
      return true;
  }
}

size_t PolicyRecord::Began(const std::string& responder) {
  deeds_.push_back({responder, Now()});
  return deeds_.size() - 1;
}

void PolicyRecord::Ended(size_t deed, policytest::ExpectedAction::Result result,
                         std::string error) {
  deeds_[deed].result = result;
  deeds_[deed].error = std::move(error);
}

void PolicyRecord::Say(std::string text) { Tell(absl::StrCat("test: ", text)); }

void PolicyRecord::Tell(std::string text) {
  if (!story_.empty() && story_.back().text == text) {
    ++story_.back().times;
    story_.back().last = Now();
    return;
  }
  story_.push_back({Now(), std::move(text), 1, Now()});
  if (story_.size() > kLinesMax) story_.pop_front();
}

std::vector<PolicyRecord::Line> PolicyRecord::Story(size_t count) const {
  std::vector<Line> lines;
  for (size_t i = story_.size() > count ? story_.size() - count : 0; i < story_.size(); ++i) {
    const Entry& entry = story_[i];
    lines.push_back({entry.at, entry.times == 1
                                   ? entry.text
                                   : absl::StrCat(entry.text, " (x ", entry.times, ", last at +",
                                                  TimeText(entry.last), ")")});
  }
  return lines;
}

}  // namespace salve
