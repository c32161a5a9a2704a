#include "throttling/group_json.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/civil_time.h"
#include "google/protobuf/util/json_util.h"

namespace salve {
namespace {

// Reads JSON as protobuf writes it: no spaces, and here no escapes either. Each step says whether
// it found what it looked for.
class Scanner {
 public:
  explicit Scanner(absl::string_view text) : text_(text) {}

  bool Take(absl::string_view token) { return absl::ConsumePrefix(&text_, token); }
  bool AtEnd() const { return text_.empty(); }

  bool String(absl::string_view& value) {
    if (!Take("\"")) return false;
    const size_t end = text_.find_first_of("\"\\");
    if (end == absl::string_view::npos || text_[end] != '"') return false;
    value = text_.substr(0, end);
    text_.remove_prefix(end + 1);
    return true;
  }
  bool String(std::string& value) {
    absl::string_view text;
    if (!String(text)) return false;
    value = std::string(text);
    return true;
  }
  bool Number(int32_t& value) {
    const size_t end = text_.find_first_not_of("-0123456789");
    if (end == absl::string_view::npos || !absl::SimpleAtoi(text_.substr(0, end), &value) ||
        absl::StrCat(value) != text_.substr(0, end)) {
      return false;
    }
    text_.remove_prefix(end);
    return true;
  }
  // "2026-11-21T10:00:00Z" or with three decimals.
  bool Time(google::protobuf::Timestamp& value) {
    absl::string_view text;
    if (!String(text) || (text.size() != 20 && text.size() != 24)) return false;
    const auto digits = [text](size_t at, size_t count, int& number) {
      number = 0;
      for (size_t i = at; i < at + count; ++i) {
        if (text[i] < '0' || text[i] > '9') return false;
        number = number * 10 + (text[i] - '0');
      }
      return true;
    };
    int year, month, day, hour, minute, second, millis = 0;
    if (!digits(0, 4, year) || !digits(5, 2, month) || !digits(8, 2, day) || !digits(11, 2, hour) ||
        !digits(14, 2, minute) || !digits(17, 2, second) || text[4] != '-' || text[7] != '-' ||
        text[10] != 'T' || text[13] != ':' || text[16] != ':' || text.back() != 'Z') {
      return false;
    }
    if (text.size() == 24 && (text[19] != '.' || !digits(20, 3, millis))) return false;
    const absl::CivilSecond civil(year, month, day, hour, minute, second);
    // A civil time of hour 25 is tomorrow's: that was not meant.
    if (civil.month() != month || civil.day() != day || civil.hour() != hour ||
        civil.minute() != minute || civil.second() != second) {
      return false;
    }
    value.set_seconds(absl::ToUnixSeconds(absl::FromCivil(civil, absl::UTCTimeZone())));
    value.set_nanos(millis * 1'000'000);
    return true;
  }

 private:
  absl::string_view text_;
};

bool ScanLimits(Scanner& scan, group::Limits& limits) {
  if (!scan.Take("{")) return false;
  if (scan.Take("}")) return true;
  do {
    absl::string_view field;
    int32_t number;
    if (!scan.String(field) || !scan.Take(":") || !scan.Number(number)) return false;
    if (field == "minimumMinutes") {
      limits.set_minimum_minutes(number);
    } else if (field == "maxInADay") {
      limits.set_max_in_a_day(number);
    } else {
      return false;
    }
  } while (scan.Take(","));
  return scan.Take("}");
}

bool ScanField(Scanner& scan, absl::string_view field, group::Attempt& attempt) {
  if (field == "server") return scan.String(*attempt.mutable_server());
  if (field == "requester") return scan.String(*attempt.mutable_requester());
  if (field == "resource") return scan.String(*attempt.mutable_resource());
  if (field == "asked") return scan.Time(*attempt.mutable_asked());
  if (field == "start") return scan.Time(*attempt.mutable_start());
  if (field == "deadline") return scan.Time(*attempt.mutable_deadline());
  if (field == "end") return scan.Time(*attempt.mutable_end());
  if (field == "result") return scan.String(*attempt.mutable_result());
  if (field == "limits") return ScanLimits(scan, *attempt.mutable_limits());
  if (field != "withdrawn" && field != "ran") return false;
  if (!scan.Take("true")) return false;
  field == "ran" ? attempt.set_ran(true) : attempt.set_withdrawn(true);
  return true;
}

bool Scan(absl::string_view json, group::Attempt& attempt) {
  Scanner scan(json);
  if (!scan.Take("{")) return false;
  do {
    absl::string_view field;
    if (!scan.String(field) || !scan.Take(":") || !ScanField(scan, field, attempt)) return false;
  } while (scan.Take(","));
  return scan.Take("}") && scan.AtEnd();
}

}  // namespace

std::string GroupJson(const google::protobuf::Message& message) {
  std::string json;
  // Fails only for values that no timestamp of ours has.
  const auto status = google::protobuf::util::MessageToJsonString(message, &json);
  return status.ok() ? json : "{}";
}

absl::Status ParseGroupJson(absl::string_view json, google::protobuf::Message& message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto status =
      google::protobuf::util::JsonStringToMessage(std::string(json), &message, options);
  if (status.ok()) return absl::OkStatus();
  return absl::DataLossError(std::string(status.message()));
}

absl::Status ParseAttemptJson(absl::string_view json, group::Attempt& attempt) {
  if (Scan(json, attempt)) return absl::OkStatus();
  attempt.Clear();
  return ParseGroupJson(json, attempt);
}

google::protobuf::Timestamp GroupTimestamp(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  const int64_t millis = absl::ToUnixMillis(time);
  timestamp.set_seconds(millis / 1000);
  timestamp.set_nanos(static_cast<int32_t>(millis % 1000) * 1'000'000);
  return timestamp;
}

absl::Time TimeOf(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

}  // namespace salve
