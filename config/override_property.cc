#include "config/override_property.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "config/duration.h"
#include "config/errors.h"
#include "config/names.h"
#include "config/rules.h"
#include "google/protobuf/text_format.h"

namespace salve {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr char kEnabled[] = "Enabled";
constexpr char kClearAfter[] = "clear_after";  // Of a monitor, whatever its kind.

// "local_minimum_minutes" and "LocalMinimumMinutes" are one name.
std::string Folded(absl::string_view name) {
  std::string folded = absl::AsciiStrToLower(name);
  folded.erase(std::remove(folded.begin(), folded.end(), '_'), folded.end());
  return folded;
}

std::string CamelCase(absl::string_view snake_case) {
  std::string camel;
  bool upper = true;
  for (const char c : snake_case) {
    if (c != '_') camel += upper ? absl::ascii_toupper(static_cast<unsigned char>(c)) : c;
    upper = c == '_';
  }
  return camel;
}

// Numbers and durations: not the names of values.
bool IsAdjustable(const FieldDescriptor* field) {
  if (field->is_repeated()) return false;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return true;
    case FieldDescriptor::CPPTYPE_STRING:
      return IsDuration(*field);
    default:
      return false;
  }
}

const FieldDescriptor* ThrottleField(absl::string_view attribute) {
  const Descriptor* throttle = config::Throttle::descriptor();
  for (int i = 0; i < throttle->field_count(); ++i) {
    if (CamelCase(throttle->field(i)->name()) == attribute) return throttle->field(i);
  }
  return nullptr;
}

absl::Status Wrong(absl::string_view property, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(property, ": ", why));
}

template <typename Number>
absl::StatusOr<Number> ParseNumber(absl::string_view property, absl::string_view value) {
  Number number = 0;
  const bool is_plain =
      !value.empty() && !absl::ascii_isspace(static_cast<unsigned char>(value.front())) &&
      value.front() != '+' && !absl::ascii_isspace(static_cast<unsigned char>(value.back()));
  bool is_number = false;
  if constexpr (std::is_same_v<Number, double>) {
    is_number = is_plain && absl::SimpleAtod(value, &number) && std::isfinite(number);
  } else {
    is_number = is_plain && absl::SimpleAtoi(value, &number);
  }
  if (is_number) return number;
  return Wrong(property, absl::StrCat(Quoted(value), " is no ",
                                      std::is_same_v<Number, double> ? "number" : "whole number",
                                      " that it can take"));
}

// Sets a field to what the text says, and checks it as the configuration would.
absl::Status SetField(Message& message, const FieldDescriptor* field, absl::string_view property,
                      absl::string_view value) {
  const auto* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      ASSIGN_OR_RETURN(const int32_t number, ParseNumber<int32_t>(property, value));
      reflection->SetInt32(&message, field, number);
      break;
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      ASSIGN_OR_RETURN(const uint32_t number, ParseNumber<uint32_t>(property, value));
      reflection->SetUInt32(&message, field, number);
      break;
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      ASSIGN_OR_RETURN(const double number, ParseNumber<double>(property, value));
      reflection->SetDouble(&message, field, number);
      break;
    }
    default:
      reflection->SetString(&message, field, std::string(value));
  }
  const std::string fault = FaultOfField(message, *field);
  return fault.empty() ? absl::OkStatus() : Wrong(property, fault);
}

// The message of the kind that `monitor` has, or null.
Message* KindOf(config::Monitor& monitor) {
  const auto* kinds = config::Monitor::descriptor()->FindOneofByName("kind");
  const auto* reflection = monitor.GetReflection();
  const FieldDescriptor* kind = reflection->GetOneofFieldDescriptor(monitor, kinds);
  return kind == nullptr ? nullptr : reflection->MutableMessage(&monitor, kind);
}

std::vector<std::string> AdjustableOf(const Descriptor* type) {
  std::vector<std::string> names;
  for (int i = 0; i < type->field_count(); ++i) {
    if (IsAdjustable(type->field(i))) names.push_back(type->field(i)->name());
  }
  return names;
}

}  // namespace

std::vector<std::string> OverrideProperties(ItemType type) {
  std::vector<std::string> names = {kEnabled};
  if (type == ItemType::kProbe) {
    names.insert(names.end(), {"interval", "timeout"});
  } else if (type == ItemType::kMonitor) {
    names.push_back(kClearAfter);
    const auto* kinds = config::Monitor::descriptor()->FindOneofByName("kind");
    for (int i = 0; i < kinds->field_count(); ++i) {
      for (std::string& name : AdjustableOf(kinds->field(i)->message_type())) {
        if (std::count(names.begin(), names.end(), name) == 0) names.push_back(std::move(name));
      }
    }
  } else if (type == ItemType::kResponder) {
    names.push_back(absl::StrCat(kThrottleAttributes, kEnabled));
    const Descriptor* throttle = config::Throttle::descriptor();
    for (int i = 0; i < throttle->field_count(); ++i) {
      names.push_back(absl::StrCat(kThrottleAttributes, CamelCase(throttle->field(i)->name())));
    }
  }
  return names;
}

absl::StatusOr<std::string> CanonicalProperty(ItemType type, absl::string_view name) {
  const std::vector<std::string> known = OverrideProperties(type);
  for (const std::string& property : known) {
    if (Folded(property) == Folded(name)) return property;
  }
  const std::string what =
      absl::StrCat("a ", ItemTypeName(type), " has no property ", Quoted(name));
  if (Folded(name) == "throttlepolicyxml") {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " that can be overridden: override single attributes, such as ",
                     kThrottleAttributes, "LocalMinimumMinutesBetweenAttempts"));
  }
  const std::string hint = DidYouMean(name, known);
  return absl::InvalidArgumentError(absl::StrCat(
      what, hint.empty() ? absl::StrCat("; known are ", absl::StrJoin(known, ", ")) : hint));
}

absl::StatusOr<bool> ParseTrueOrFalse(absl::string_view text) {
  if (absl::EqualsIgnoreCase(text, "True")) return true;
  if (absl::EqualsIgnoreCase(text, "False")) return false;
  return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " is not True or False"));
}

absl::Status CheckOverrideValue(ItemType type, absl::string_view property,
                                absl::string_view value) {
  const absl::string_view attribute = absl::StripPrefix(property, kThrottleAttributes);
  if (attribute == kEnabled) {
    const absl::Status status = ParseTrueOrFalse(value).status();
    return status.ok() ? status : Wrong(property, status.message());
  }
  if (type == ItemType::kResponder) {
    config::Throttle throttle;
    const FieldDescriptor* field = ThrottleField(attribute);
    if (field == nullptr) return Wrong(property, "is no property");
    return SetField(throttle, field, property, value);
  }
  if (type == ItemType::kProbe) {
    config::Probe probe;
    return SetProperty(probe, property, value);
  }
  // Of a monitor the kind decides, which is not known here.
  return value.empty() ? Wrong(property, "needs a value") : absl::OkStatus();
}

absl::Status SetProperty(config::Probe& probe, absl::string_view property,
                         absl::string_view value) {
  if (property == kEnabled) {
    ASSIGN_OR_RETURN(const bool enabled, ParseTrueOrFalse(value));
    probe.set_enabled(enabled);
    return absl::OkStatus();
  }
  const FieldDescriptor* field =
      config::Probe::descriptor()->FindFieldByName(std::string(property));
  return SetField(probe, field, property, value);
}

absl::Status SetProperty(config::Monitor& monitor, absl::string_view property,
                         absl::string_view value) {
  if (property == kEnabled) {
    ASSIGN_OR_RETURN(const bool enabled, ParseTrueOrFalse(value));
    monitor.set_enabled(enabled);
    return absl::OkStatus();
  }
  if (property == kClearAfter) {
    return SetField(monitor, config::Monitor::descriptor()->FindFieldByName(kClearAfter), property,
                    value);
  }
  Message* kind = KindOf(monitor);
  if (kind == nullptr) return Wrong(property, "the monitor has no kind");
  const FieldDescriptor* field = kind->GetDescriptor()->FindFieldByName(std::string(property));
  if (field == nullptr || !IsAdjustable(field)) {
    std::vector<std::string> known = AdjustableOf(kind->GetDescriptor());
    known.push_back(kClearAfter);
    return Wrong(property, absl::StrCat("a ", kind->GetDescriptor()->name(),
                                        " monitor has no such property; it has ",
                                        absl::StrJoin(known, ", ")));
  }
  return SetField(*kind, field, property, value);
}

namespace {

std::string EnabledText(bool enabled) { return enabled ? "True" : "False"; }

}  // namespace

std::string PropertyText(const ProbeDefinition& probe, absl::string_view property) {
  if (property == kEnabled) return EnabledText(probe.enabled);
  return DurationText(property == "interval" ? probe.interval : probe.timeout);
}

std::string PropertyText(const MonitorDefinition& monitor, absl::string_view property) {
  if (property == kEnabled) return EnabledText(monitor.enabled);
  if (property == kClearAfter) return DurationText(monitor.clear_after);
  config::Monitor config = monitor.config;
  const Message* kind = KindOf(config);
  const FieldDescriptor* field =
      kind == nullptr ? nullptr : kind->GetDescriptor()->FindFieldByName(std::string(property));
  if (field == nullptr) return "";
  // A bound of 0 is one; of what has no 0, and of a duration, nothing means the default.
  const bool has_default = field->has_presence() || !FaultOfField(*kind, *field).empty();
  if (has_default && !kind->GetReflection()->HasField(*kind, field)) return "default";
  std::string text;
  google::protobuf::TextFormat::PrintFieldValueToString(*kind, field, -1, &text);
  return std::string(absl::StripSuffix(absl::StripPrefix(text, "\""), "\""));
}

std::string PropertyText(const ResponderDefinition& responder, absl::string_view property) {
  return property == kEnabled ? EnabledText(responder.enabled) : "";
}

}  // namespace salve
