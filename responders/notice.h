// Notice: what people are told of an incident, before it is put into words for a destination.
#ifndef SALVE_RESPONDERS_NOTICE_H_
#define SALVE_RESPONDERS_NOTICE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace salve {

struct Notice {
  enum class Kind { kEscalation, kHealthyAgain, kDigest };
  Kind kind = Kind::kEscalation;
  std::string subject;
  std::string message;
  std::string health_set;
  std::string monitor;
  std::string state;  // "UNHEALTHY"
  std::string error;  // The latest of its probes.
  std::string incident_id;
  std::string server;
  std::string group;
  absl::Time time = absl::UnixEpoch();
  std::vector<std::string> to;  // Destinations; empty: all there are.
  // What is told under one key is told once, however often it is asked for; may be empty.
  std::string key;
};

// "escalation", "healthy again", "digest": {kind}.
const char* NoticeKindName(Notice::Kind kind);

// The value of {name} in a template; "" of what NamesOfMessages() does not allow.
std::string NoticeValue(const Notice& notice, absl::string_view name);

}  // namespace salve

#endif  // SALVE_RESPONDERS_NOTICE_H_
