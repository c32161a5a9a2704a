#include "channels/event_filter.h"

#include <algorithm>

namespace salve {

bool Matches(const v1::QueryEventsRequest& request, const v1::Event& event) {
  const auto has = [](const auto& wanted, int value) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
  };
  if (!has(request.channel(), event.channel())) return false;
  if (!has(request.event_id(), event.event_id())) return false;
  if (!request.health_set().empty() && request.health_set() != event.health_set()) return false;
  if (!request.name().empty() && request.name() != ItemName(event)) return false;
  if (!request.incident_id().empty() && request.incident_id() != event.incident_id()) return false;
  if (!request.origin_server().empty() &&
      (event.channel() != v1::Queue || event.event_id() != kReceivedEventId ||
       event.queue().origin_server() != request.origin_server())) {
    return false;
  }
  if (request.has_since() && TimeNanos(event.time()) < TimeNanos(request.since())) return false;
  if (request.has_until() && TimeNanos(event.time()) >= TimeNanos(request.until())) return false;
  return true;
}

const std::string& ItemName(const v1::Event& event) {
  if (event.name().empty() && event.has_throttling_config()) {
    return event.throttling_config().identity();
  }
  return event.name();
}

int64_t TimeNanos(const google::protobuf::Timestamp& time) {
  constexpr int64_t kSecondsMax = 9'223'372'036 - 1;
  const int64_t seconds = std::clamp(time.seconds(), -kSecondsMax, kSecondsMax);
  return seconds * 1'000'000'000 + std::clamp(time.nanos(), 0, 999'999'999);
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

void SetTimestamp(absl::Time time, google::protobuf::Timestamp* timestamp) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  timestamp->set_seconds(seconds);
  timestamp->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

}  // namespace salve
