#include "absl/strings/str_cat.h"
#include "monitors/combination_rule.h"
#include "monitors/consecutive_failures.h"
#include "monitors/failure_count.h"
#include "monitors/flapping.h"
#include "monitors/percent_success.h"
#include "monitors/rule.h"
#include "monitors/value_bound.h"

namespace salve {
namespace {

using config::Monitor;

struct Kind {
  int field_number;
  const char* type_name;
  absl::Status (*check)(const Monitor&);
  std::unique_ptr<Rule> (*make)(const Monitor&);
};

constexpr Kind kKinds[] = {
    // One entry a kind.
    {Monitor::kConsecutiveFailures, "ConsecutiveFailuresMonitor",
     [](const Monitor& c) { return CheckConsecutiveFailures(c.consecutive_failures()); },
     [](const Monitor& c) { return NewConsecutiveFailures(c.consecutive_failures()); }},
    {Monitor::kFailureCount, "FailureCountMonitor",
     [](const Monitor& c) { return CheckFailureCount(c.failure_count()); },
     [](const Monitor& c) { return NewFailureCount(c.failure_count()); }},
    {Monitor::kPercentSuccess, "PercentSuccessMonitor",
     [](const Monitor& c) { return CheckPercentSuccess(c.percent_success()); },
     [](const Monitor& c) { return NewPercentSuccess(c.percent_success()); }},
    {Monitor::kValueAbove, "ValueAboveMonitor",
     [](const Monitor& c) { return CheckValueBound(c.value_above(), BoundSide::kAbove); },
     [](const Monitor& c) { return NewValueBound(c.value_above(), BoundSide::kAbove); }},
    {Monitor::kValueBelow, "ValueBelowMonitor",
     [](const Monitor& c) { return CheckValueBound(c.value_below(), BoundSide::kBelow); },
     [](const Monitor& c) { return NewValueBound(c.value_below(), BoundSide::kBelow); }},
    {Monitor::kFlapping, "FlappingMonitor",
     [](const Monitor& c) { return CheckFlapping(c.flapping()); },
     [](const Monitor& c) { return NewFlapping(c.flapping()); }},
    // What they name is checked where all monitors are known (config/combination.h).
    {Monitor::kAllOf, "AllOfMonitor", [](const Monitor&) { return absl::OkStatus(); },
     [](const Monitor&) { return NewCombinationRule(); }},
    {Monitor::kAnyOf, "AnyOfMonitor", [](const Monitor&) { return absl::OkStatus(); },
     [](const Monitor&) { return NewCombinationRule(); }},
};

const Kind* FindKind(int field_number) {
  for (const Kind& kind : kKinds) {
    if (kind.field_number == field_number) return &kind;
  }
  return nullptr;
}

}  // namespace

absl::Status CheckMonitor(const Monitor& config) {
  const Kind* kind = FindKind(config.kind_case());
  if (kind == nullptr) return absl::InvalidArgumentError("kind: the monitor has no rule");
  return kind->check(config);
}

absl::StatusOr<std::unique_ptr<Rule>> NewRule(const Monitor& config) {
  if (absl::Status s = CheckMonitor(config); !s.ok()) return s;
  return FindKind(config.kind_case())->make(config);
}

bool HasMonitorKind(int field_number) { return FindKind(field_number) != nullptr; }

std::string MonitorTypeName(const Monitor& config) {
  const Kind* kind = FindKind(config.kind_case());
  return kind == nullptr ? "Monitor" : kind->type_name;
}

}  // namespace salve
