#include "responders/notice.h"

namespace salve {

const char* NoticeKindName(Notice::Kind kind) {
  switch (kind) {
    case Notice::Kind::kEscalation:
      return "escalation";
    case Notice::Kind::kHealthyAgain:
      return "healthy again";
    case Notice::Kind::kDigest:
      return "digest";
  }
  return "";
}

std::string NoticeValue(const Notice& notice, absl::string_view name) {
  if (name == "subject") return notice.subject;
  if (name == "message") return notice.message;
  if (name == "server") return notice.server;
  if (name == "group") return notice.group;
  if (name == "health_set") return notice.health_set;
  if (name == "monitor") return notice.monitor;
  if (name == "state") return notice.state;
  if (name == "error") return notice.error;
  if (name == "incident") return notice.incident_id;
  if (name == "time") return absl::FormatTime(absl::RFC3339_sec, notice.time, absl::UTCTimeZone());
  if (name == "kind") return NoticeKindName(notice.kind);
  return "";
}

}  // namespace salve
