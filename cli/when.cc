#include "cli/when.h"

#include <array>
#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace salve {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);
constexpr int64_t kSecondsMax = int64_t{100} * 366 * 86400;

// The last day of the year 9999, UTC.
bool IsNever(absl::Time t) { return t >= absl::FromUnixSeconds(253402214400); }

std::optional<absl::Duration> UnitOf(char letter) {
  switch (letter) {
    case 's':
      return absl::Seconds(1);
    case 'm':
      return absl::Minutes(1);
    case 'h':
      return absl::Hours(1);
    case 'd':
      return kDay;
    case 'w':
      return 7 * kDay;
    default:
      return std::nullopt;
  }
}

// "1h30m" and its like; nothing when `text` is not of that form or too long ago.
std::optional<absl::Duration> ParseAgo(absl::string_view text) {
  if (text.empty()) return std::nullopt;
  absl::Duration sum;
  size_t i = 0;
  while (i < text.size()) {
    if (!absl::ascii_isdigit(text[i])) return std::nullopt;
    int64_t count = 0;
    for (; i < text.size() && absl::ascii_isdigit(text[i]); ++i) {
      count = count * 10 + (text[i] - '0');
      if (count > kSecondsMax) return std::nullopt;
    }
    if (i == text.size()) return std::nullopt;
    const std::optional<absl::Duration> unit = UnitOf(text[i++]);
    if (!unit) return std::nullopt;
    sum += count * *unit;
    if (sum > absl::Seconds(kSecondsMax)) return std::nullopt;
  }
  return sum;
}

}  // namespace

absl::StatusOr<absl::Time> ParseWhen(absl::string_view text, absl::Time now, absl::TimeZone zone) {
  if (std::optional<absl::Duration> ago = ParseAgo(text)) return now - *ago;
  constexpr std::array<absl::string_view, 4> kFormats = {
      absl::string_view("%Y-%m-%d%ET%H:%M:%E*S%Ez"), "%Y-%m-%d %H:%M:%E*S", "%Y-%m-%d %H:%M",
      "%Y-%m-%d"};
  // ParseTime takes "infinite-past" and leading blanks as well: a time begins with its year.
  if (!text.empty() && absl::ascii_isdigit(text[0])) {
    for (absl::string_view format : kFormats) {
      absl::Time t;
      if (absl::ParseTime(format, text, zone, &t, nullptr)) return t;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", text,
      "' is not a time; write 10m, 7d, 2026-11-21, '2026-11-21 10:00' or 2026-11-21T10:00:00Z"));
}

std::string ShortDuration(absl::Duration d) {
  if (d < absl::Seconds(1)) return absl::StrCat(absl::ToInt64Milliseconds(d), "ms");
  const int64_t seconds = absl::ToInt64Seconds(d);
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) return absl::StrCat(seconds / 60, "m ", seconds % 60, "s");
  if (seconds < 86400) return absl::StrCat(seconds / 3600, "h ", seconds / 60 % 60, "m");
  return absl::StrCat(seconds / 86400, "d ", seconds / 3600 % 24, "h");
}

std::string RelativeTime(absl::Time t, absl::Time now) {
  const absl::Duration away = t - now;
  if (absl::AbsDuration(away) < absl::Seconds(1)) return "now";
  if (away < absl::ZeroDuration()) return absl::StrCat(ShortDuration(-away), " ago");
  return absl::StrCat("in ", ShortDuration(away));
}

std::string LocalTime(absl::Time t, absl::TimeZone zone) {
  if (IsNever(t)) return "never";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", t, zone);
}

std::string LocalAndRelativeTime(absl::Time t, absl::Time now, absl::TimeZone zone) {
  if (IsNever(t)) return "never";
  return absl::StrCat(LocalTime(t, zone), " (", RelativeTime(t, now), ")");
}

absl::Time TimeOf(const google::protobuf::Timestamp& t) {
  return absl::FromUnixSeconds(t.seconds()) + absl::Nanoseconds(t.nanos());
}

google::protobuf::Timestamp TimestampOf(absl::Time t) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(absl::ToUnixSeconds(t));
  timestamp.set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(t - absl::FromUnixSeconds(timestamp.seconds()))));
  return timestamp;
}

}  // namespace salve
