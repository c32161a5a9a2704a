#include "config/rules.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "config/duration.h"

namespace salve {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();
constexpr absl::Duration kNoDefault = absl::InfiniteDuration();
constexpr absl::Duration kDay = absl::Hours(24);
constexpr absl::Duration kProbeTimeoutDefaultMax = absl::Seconds(10);

struct DurationRule {
  absl::string_view field;
  absl::Duration preset;  // The default; kNoDefault when it depends on other fields.
  absl::Duration least;
  absl::Duration most;
};

constexpr DurationRule kDurations[] = {
    {"Agent.boot_grace", absl::Seconds(60), absl::ZeroDuration(), absl::Hours(1)},
    {"Escalation.timeout", absl::Seconds(30), absl::Seconds(1), absl::Minutes(10)},
    {"Escalation.digest_window", absl::Minutes(5), absl::Seconds(10), kDay},
    {"Queue.expire", absl::Hours(48), absl::Seconds(5), absl::Hours(2160)},
    {"Queue.expire_deferred", kDay, absl::Seconds(5), absl::Hours(2160)},
    {"Queue.late_after", absl::Hours(4), absl::ZeroDuration(), absl::Hours(2160)},
    {"Retry.every", kNoDefault, absl::Seconds(1), kDay},
    {"Agent.stop_timeout", absl::Seconds(60), absl::ZeroDuration(), absl::Hours(1)},
    {"Retention.age", kNoDefault, absl::Minutes(1), absl::Hours(87600)},
    {"Probe.interval", kNoDefault, absl::Milliseconds(100), kDay},
    {"Probe.timeout", kNoDefault, absl::Milliseconds(10), absl::Hours(1)},
    {"Monitor.clear_after", absl::ZeroDuration(), absl::ZeroDuration(), kDay},
    {"Monitor.reopen_within", absl::Minutes(10), absl::ZeroDuration(), kDay},
    {"Transition.after", absl::ZeroDuration(), absl::ZeroDuration(), kDay},
    {"Responder.after", absl::ZeroDuration(), absl::ZeroDuration(), kDay},
    {"Responder.timeout", absl::Minutes(2), absl::Seconds(1), absl::Hours(1)},
    {"Responder.settle", absl::Seconds(15), absl::ZeroDuration(), absl::Hours(1)},
    {"Responder.retry_after", absl::Seconds(60), absl::Seconds(1), kDay},
};

struct NumberRule {
  absl::string_view field;
  int64_t preset;  // The default of an unsigned number; 0 is none.
  int64_t least;
  int64_t most;
};

constexpr int64_t kMinutesOfAYear = 365 * 24 * 60;
constexpr NumberRule kNumbers[] = {
    {"Agent.max_children", 64, 1, 4096},
    {"Agent.min_healthy_percent", 0, 0, 100},
    {"Escalation.digest_after", 10, 1, 1000},
    {"Queue.deliveries_max", 10, 0, 1000},
    {"Queue.messages_max", 1000000, 100, 10000000},
    {"Queue.bytes_max", 1 << 30, 16 << 20, int64_t{1} << 40},
    {"Queue.dead_max", 100000, 0, 10000000},
    {"Retry.times", 1, 1, 1000},
    {"Flapping.changes", 6, 2, 10000},
    {"KillProcess.max_count", 10, 1, 1000},
    {"Collect.bytes_max", 8 << 20, 64 << 10, 1 << 30},
    {"Collect.keep", 20, 1, 1000},
    {"Retention.bytes", 0, 64 << 10, kUnlimited},
    {"JsonlExport.bytes_max", 64 << 20, 4 << 10, kUnlimited},
    {"JsonlExport.files_max", 5, 1, 100},
    {"Probe.max_retry_attempts", 0, 0, 10},
    {"Responder.ineffective_after", 3, 1, 100},
    {"Throttle.local_minimum_minutes_between_attempts", 0, -1, kMinutesOfAYear},
    {"Throttle.local_maximum_allowed_attempts_in_one_hour", 0, -1, 100000},
    {"Throttle.local_maximum_allowed_attempts_in_a_day", 0, -1, 100000},
    {"Throttle.group_minimum_minutes_between_attempts", 0, -1, kMinutesOfAYear},
    {"Throttle.group_maximum_allowed_attempts_in_a_day", 0, -1, 100000},
};

// Numbers of kinds, whose ranges the kinds check: they take 0 for "not given", so that only
// here, where it is known what was written, can a 0 be refused that would mean the default.
constexpr absl::string_view kNeverZero[] = {
    "HttpProbe.body_bytes_max", "ExecProbe.output_bytes_max",   "ProcessProbe.min_count",
    "LogMatchProbe.threshold",  "LogMatchProbe.line_bytes_max", "ConsecutiveFailures.threshold",
    "FailureCount.threshold",   "PercentSuccess.minimum",       "PercentSuccess.min_samples",
    "ValueBound.samples",
};

// What has no default, and of numbers those whose 0 is a value as any other.
constexpr absl::string_view kNeeded[] = {"ValueBound.threshold", "Retry.every"};

// Durations of kinds: their ranges are the kinds', but one grammar holds for all.
constexpr absl::string_view kKindDurations[] = {
    "NotificationProbe.expect_within",
    "FailureCount.window",
    "Flapping.window",
    "PhpFpmPool.grace",
    "PhpFpmPool.pause",
    "KillProcess.grace",
    "TakeOffline.duration",
    "Collect.journal_since",
    "PercentSuccess.window",
};

struct Rule {
  const DurationRule* duration = nullptr;
  const NumberRule* number = nullptr;
  bool never_zero = false;
  bool is_needed = false;
  bool is_duration_of_kind = false;
};

// A rule whose field is renamed would silently hold no longer.
void CheckIsField(absl::string_view name) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(name, '.');
  const auto* message = config::Agent::descriptor()->file()->FindMessageTypeByName(parts.first);
  CHECK(message != nullptr && message->FindFieldByName(parts.second) != nullptr);
}

const absl::flat_hash_map<absl::string_view, Rule>& Rules() {
  static const auto& rules = *[] {
    auto* made = new absl::flat_hash_map<absl::string_view, Rule>;
    for (const DurationRule& rule : kDurations) (*made)[rule.field].duration = &rule;
    for (const NumberRule& rule : kNumbers) (*made)[rule.field].number = &rule;
    for (absl::string_view field : kNeverZero) (*made)[field].never_zero = true;
    for (absl::string_view field : kNeeded) (*made)[field].is_needed = true;
    for (absl::string_view field : kKindDurations) (*made)[field].is_duration_of_kind = true;
    for (const auto& [field, rule] : *made) CheckIsField(field);
    return made;
  }();
  return rules;
}

const Rule* RuleOf(const FieldDescriptor* field) {
  const auto found = Rules().find(absl::StripPrefix(field->full_name(), "salve.config."));
  return found == Rules().end() ? nullptr : &found->second;
}

std::string CheckDuration(const DurationRule& rule, const std::string& text) {
  const absl::StatusOr<absl::Duration> duration = ParseDuration(text);
  if (!duration.ok()) return std::string(duration.status().message());
  if (*duration >= rule.least && *duration <= rule.most) return "";
  return absl::StrCat(text, " is not in [", DurationText(rule.least), ", ", DurationText(rule.most),
                      "]");
}

// Unsigned numbers beyond int64 are cut to its end: every limit is below.
int64_t Number(const Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection->GetInt32(message, field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection->GetUInt32(message, field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<int64_t>(
          std::min<uint64_t>(reflection->GetUInt64(message, field), kUnlimited));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection->GetDouble(message, field) == 0 ? 0 : 1;
    default:
      CHECK(false);
  }
}

std::string CheckNumber(const NumberRule& rule, int64_t number) {
  if (number >= rule.least && number <= rule.most) return "";
  if (rule.most == kUnlimited) return absl::StrCat(number, " is not at least ", rule.least);
  return absl::StrCat(number, " is not in [", rule.least, ", ", rule.most, "]");
}

std::string CheckField(const Message& message, const FieldDescriptor* field, const Rule& rule) {
  if (rule.duration != nullptr) {
    return CheckDuration(*rule.duration, message.GetReflection()->GetString(message, field));
  }
  if (rule.is_duration_of_kind) {
    return std::string(
        ParseDuration(message.GetReflection()->GetString(message, field)).status().message());
  }
  if (rule.is_needed) return "";  // It is there: CheckRanges saw to that.
  const int64_t number = Number(message, field);
  if (rule.number != nullptr) return CheckNumber(*rule.number, number);
  return number == 0 ? "0 is not allowed; leave the field out for its default" : "";
}

void Check(const Message& message, const Place& place, const std::string& prefix,
           const FaultSink& fault) {
  const Reflection* reflection = message.GetReflection();
  const auto* type = message.GetDescriptor();
  for (int f = 0; f < type->field_count(); ++f) {
    const FieldDescriptor* field = type->field(f);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      const bool repeated = field->is_repeated();
      const int size =
          repeated ? reflection->FieldSize(message, field) : reflection->HasField(message, field);
      for (int i = 0; i < size; ++i) {
        const std::string index = repeated ? absl::StrCat("[", i, "]") : "";
        Check(repeated ? reflection->GetRepeatedMessage(message, field, i)
                       : reflection->GetMessage(message, field),
              place.In(field->name(), i), absl::StrCat(prefix, field->name(), index, "."), fault);
      }
      continue;
    }
    const Rule* rule = RuleOf(field);
    if (rule == nullptr) continue;
    if (!place.Has(field->name())) {
      if (rule->is_needed) fault(prefix + field->name(), "is needed");
      continue;
    }
    const std::string why = CheckField(message, field, *rule);
    if (!why.empty()) fault(prefix + field->name(), why);
  }
}

const FieldDescriptor* FieldOf(const Message& message, const std::string& name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  CHECK(field != nullptr);
  return field;
}

bool HasEmptyValue(const Message& message, const FieldDescriptor* field) {
  return !message.GetReflection()->HasField(message, field);
}

void FillField(Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  if (!HasEmptyValue(message, field)) return;
  const Rule* rule = RuleOf(field);
  if (rule != nullptr && rule->duration != nullptr && rule->duration->preset != kNoDefault) {
    reflection->SetString(&message, field, DurationText(rule->duration->preset));
  } else if (rule != nullptr && rule->number != nullptr &&
             field->cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
    reflection->SetUInt32(&message, field, static_cast<uint32_t>(rule->number->preset));
  } else if (rule != nullptr && rule->number != nullptr && rule->number->preset != 0 &&
             field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64) {
    reflection->SetUInt64(&message, field, static_cast<uint64_t>(rule->number->preset));
  } else if (field->name() == "enabled") {
    reflection->SetBool(&message, field, true);
  } else if (field->enum_type() != nullptr && field->enum_type()->name() != "HealthState") {
    reflection->SetEnumValue(&message, field, 0);
  }
}

}  // namespace

void CheckRanges(const Message& message, const Place& place, const FaultSink& fault) {
  Check(message, place, "", fault);
}

std::string FaultOfField(const Message& message, const FieldDescriptor& field) {
  const Rule* rule = RuleOf(&field);
  return rule == nullptr ? "" : CheckField(message, &field, *rule);
}

bool IsDuration(const FieldDescriptor& field) {
  const Rule* rule = RuleOf(&field);
  return rule != nullptr && (rule->duration != nullptr || rule->is_duration_of_kind);
}

absl::Duration DurationOf(const Message& message, const std::string& name) {
  const FieldDescriptor* field = FieldOf(message, name);
  const Rule* rule = RuleOf(field);
  CHECK(rule != nullptr && rule->duration != nullptr);
  return ParseDuration(message.GetReflection()->GetString(message, field))
      .value_or(rule->duration->preset);
}

int64_t NumberOf(const Message& message, const std::string& name) {
  const FieldDescriptor* field = FieldOf(message, name);
  const Rule* rule = RuleOf(field);
  CHECK(rule != nullptr && rule->number != nullptr);
  const int64_t number = Number(message, field);
  const bool is_written = field->has_presence() && !HasEmptyValue(message, field);
  return number == 0 && !is_written ? rule->number->preset : number;
}

absl::Duration ProbeInterval(const config::Probe& probe) {
  constexpr absl::Duration kPreset = absl::Seconds(30);
  const absl::StatusOr<absl::Duration> given = ParseDuration(probe.interval());
  if (given.ok()) return *given;
  // A missing report is to be seen soon after it is due, however long that is.
  const absl::StatusOr<absl::Duration> expected =
      ParseDuration(probe.notification().expect_within());
  if (!expected.ok()) return kPreset;
  return std::clamp(*expected / 10, absl::Seconds(1), kPreset);
}

absl::Duration ProbeTimeout(const config::Probe& probe) {
  const absl::StatusOr<absl::Duration> given = ParseDuration(probe.timeout());
  if (given.ok()) return *given;
  return std::min(ProbeInterval(probe), kProbeTimeoutDefaultMax);
}

void FillDefaults(Message& message) {
  const Reflection* reflection = message.GetReflection();
  const auto* type = message.GetDescriptor();
  for (int f = 0; f < type->field_count(); ++f) {
    const FieldDescriptor* field = type->field(f);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field->is_repeated()) FillField(message, field);
    } else if (field->is_repeated()) {
      for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
        FillDefaults(*reflection->MutableRepeatedMessage(&message, field, i));
      }
    } else if (reflection->HasField(message, field)) {
      FillDefaults(*reflection->MutableMessage(&message, field));
    }
  }
}

}  // namespace salve
