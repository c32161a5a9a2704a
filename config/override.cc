#include "config/override.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "config/errors.h"

namespace salve {
namespace {

constexpr size_t kVersionBytesMax = 100;
constexpr ItemType kItemTypes[] = {ItemType::kHealthSet, ItemType::kProbe, ItemType::kMonitor,
                                   ItemType::kResponder};

bool IsPartByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '_' || c == '-';
}

// A part of a version in its one spelling; "" when it is none.
std::string CanonicalPart(absl::string_view part) {
  if (!std::all_of(part.begin(), part.end(), IsPartByte)) return "";
  if (!std::all_of(part.begin(), part.end(), absl::ascii_isdigit)) {
    return absl::AsciiStrToLower(part);
  }
  while (part.size() > 1 && part[0] == '0') part.remove_prefix(1);
  return std::string(part);
}

absl::Status NoIdentity(ItemType type, absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      Quoted(text), " is no identity: ", why, "; write ",
      type == ItemType::kHealthSet ? "the health set's name" : "'HealthSet\\Item[\\Target]'"));
}

absl::Status NoDuration(absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat(Quoted(text),
                   " is no duration: write dd.hh:mm:ss, such as 1.12:00:00, "
                   "of at most 3650 days"));
}

// A number of one to four digits, at most `most`; -1 when it is none.
int Field(absl::string_view text, int most) {
  int number = 0;
  const bool digits = !text.empty() && text.size() <= 4 &&
                      std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  if (!digits || !absl::SimpleAtoi(text, &number) || number > most) return -1;
  return number;
}

}  // namespace

absl::string_view ItemTypeName(ItemType type) {
  switch (type) {
    case ItemType::kHealthSet:
      return "HealthSet";
    case ItemType::kProbe:
      return "Probe";
    case ItemType::kMonitor:
      return "Monitor";
    case ItemType::kResponder:
      return "Responder";
  }
  return "";
}

absl::StatusOr<ItemType> ParseItemType(absl::string_view text) {
  for (const ItemType type : kItemTypes) {
    if (absl::EqualsIgnoreCase(text, ItemTypeName(type))) return type;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(Quoted(text),
                   " is no item type; known are HealthSet, Probe, Monitor, "
                   "Responder"));
}

absl::string_view OverrideScopeName(OverrideScope scope) {
  return scope == OverrideScope::kLocal ? "local" : "global";
}

std::string ItemIdentity::Text() const {
  std::string text = health_set;
  if (!item.empty()) absl::StrAppend(&text, "\\", item);
  if (!target.empty()) absl::StrAppend(&text, "\\", target);
  return text;
}

absl::StatusOr<ItemIdentity> ParseIdentity(ItemType type, absl::string_view text) {
  if (text.size() > kOverrideTextBytesMax) return NoIdentity(type, text, "it is too long");
  if (std::any_of(text.begin(), text.end(), absl::ascii_iscntrl)) {
    return NoIdentity(type, text, "it holds a control character");
  }
  // No name holds either separator, so that one spelling can stand for both.
  const std::string slashed = absl::StrReplaceAll(text, {{"\\", "/"}});
  const std::vector<std::string> parts = absl::StrSplit(slashed, absl::MaxSplits('/', 2));
  const size_t wanted = type == ItemType::kHealthSet ? 1 : 2;
  if (parts.size() < wanted) return NoIdentity(type, text, "it names no item");
  if (type == ItemType::kHealthSet && parts.size() > 1) {
    return NoIdentity(type, text, "it names an item");
  }
  if (std::any_of(parts.begin(), parts.end(), [](const std::string& p) { return p.empty(); })) {
    return NoIdentity(type, text, "a part of it is empty");
  }
  ItemIdentity identity;
  identity.health_set = parts[0];
  if (parts.size() > 1) identity.item = parts[1];
  if (parts.size() > 2) identity.target = parts[2];
  return identity;
}

absl::StatusOr<std::string> CanonicalVersion(absl::string_view text) {
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  const absl::Status no_version = absl::InvalidArgumentError(
      absl::StrCat(Quoted(text),
                   " is no version: write it as '15.0.1044.25' or 'Version 15.0 "
                   "(Build 1044.25)'"));
  if (text.size() > kVersionBytesMax) return no_version;
  std::string dotted(rest);
  if (absl::StartsWithIgnoreCase(rest, "version ")) {
    const size_t open = rest.find('(');
    if (open == absl::string_view::npos || !absl::EndsWith(rest, ")")) return no_version;
    absl::string_view build = rest.substr(open + 1, rest.size() - open - 2);
    if (!absl::StartsWithIgnoreCase(build, "build ")) return no_version;
    build = absl::StripAsciiWhitespace(build.substr(6));
    dotted = absl::StrCat(absl::StripAsciiWhitespace(rest.substr(8, open - 8)), ".", build);
  }
  std::vector<std::string> parts;
  for (const absl::string_view part : absl::StrSplit(dotted, '.')) {
    parts.push_back(CanonicalPart(part));
    if (parts.back().empty()) return no_version;
  }
  return absl::StrJoin(parts, ".");
}

absl::StatusOr<absl::Duration> ParseOverrideDuration(absl::string_view text) {
  const std::vector<absl::string_view> day = absl::StrSplit(text, absl::MaxSplits('.', 1));
  if (day.size() != 2) return NoDuration(text);
  const std::vector<absl::string_view> clock = absl::StrSplit(day[1], ':');
  if (clock.size() != 3) return NoDuration(text);
  const int days = Field(day[0], 3650);
  const int hours = Field(clock[0], 23);
  const int minutes = Field(clock[1], 59);
  const int seconds = Field(clock[2], 59);
  if (days < 0 || hours < 0 || minutes < 0 || seconds < 0) return NoDuration(text);
  const absl::Duration duration =
      absl::Hours(24) * days + absl::Hours(hours) + absl::Minutes(minutes) + absl::Seconds(seconds);
  if (duration == absl::ZeroDuration() || duration > kOverrideDurationMax) return NoDuration(text);
  return duration;
}

absl::Time Override::End() const {
  if (version.empty() || created == absl::InfinitePast()) return expiration;
  return std::min(expiration, created + kVersionOverrideLife);
}

std::string Override::Key() const {
  // Joined with a byte that none of them holds.
  return absl::AsciiStrToLower(absl::StrCat(
      ItemTypeName(item_type), "\n", identity.health_set, "\n", identity.item, "\n",
      identity.target, "\n", property, "\n", CanonicalVersion(version).value_or(version)));
}

std::string Override::Text() const {
  return absl::StrCat(ItemTypeName(item_type), " ", identity.Text(), ": ", property, "=", value,
                      version.empty() ? "" : absl::StrCat(" for version ", version));
}

}  // namespace salve
