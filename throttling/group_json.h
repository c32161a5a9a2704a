// Between the group's messages and their JSON, as etcd's keys hold it. Pure.
#ifndef SALVE_THROTTLING_GROUP_JSON_H_
#define SALVE_THROTTLING_GROUP_JSON_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "throttling/group.pb.h"

namespace salve {

std::string GroupJson(const google::protobuf::Message& message);

// Fields that are not known are passed over: a newer agent may say more. Errors: kDataLoss.
absl::Status ParseGroupJson(absl::string_view json, google::protobuf::Message& message);

// The same for attempts, of which a history has many: what GroupJson wrote is read at once, and
// anything else by ParseGroupJson.
absl::Status ParseAttemptJson(absl::string_view json, group::Attempt& attempt);

google::protobuf::Timestamp GroupTimestamp(absl::Time time);
absl::Time TimeOf(const google::protobuf::Timestamp& timestamp);

}  // namespace salve

#endif  // SALVE_THROTTLING_GROUP_JSON_H_
