// Ranges and defaults of the fields that belong to no kind, in one table: durations and numbers.
#ifndef SALVE_CONFIG_RULES_H_
#define SALVE_CONFIG_RULES_H_

#include <functional>
#include <string>

#include "absl/time/time.h"
#include "config/config.pb.h"
#include "config/text_file.h"
#include "google/protobuf/message.h"

namespace salve {

// What is wrong with the field at `path`, relative to the message that was checked.
using FaultSink = std::function<void(const std::string& path, const std::string& why)>;

// Tells `fault` of each field in `message`, at any depth, that is no duration or out of its range;
// also of a 0 that was written where only "not given" means the default, and of what is needed and
// not there. `place` says what was written.
void CheckRanges(const google::protobuf::Message& message, const Place& place,
                 const FaultSink& fault);

// What is wrong with the value that `field` has in `message`, as CheckRanges would say of one that
// was written; "" when it is right, or when the kinds check it. Not of fields within messages.
std::string FaultOfField(const google::protobuf::Message& message,
                         const google::protobuf::FieldDescriptor& field);

// Whether a field of text holds a duration.
bool IsDuration(const google::protobuf::FieldDescriptor& field);

// The value of the duration field `name`, or its default when it is not given or can't be read.
// Requires: the field has a rule.
absl::Duration DurationOf(const google::protobuf::Message& message, const std::string& name);

// The value of an unsigned number, or its default when it is 0; of an `optional` one, when it is
// not given. Requires: the field has a rule.
int64_t NumberOf(const google::protobuf::Message& message, const std::string& name);

// How often `probe` looks, and how long a look may take: given, or the default, which depends
// on the kind and on the interval.
absl::Duration ProbeInterval(const config::Probe& probe);
absl::Duration ProbeTimeout(const config::Probe& probe);

// Gives each field of `message` without a value, at any depth, its default, where the table has
// one; absent messages stay absent. `message` may be of the twin with presence (schema.h).
void FillDefaults(google::protobuf::Message& message);

}  // namespace salve

#endif  // SALVE_CONFIG_RULES_H_
