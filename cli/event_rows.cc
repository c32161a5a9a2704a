#include "cli/event_rows.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "channels/describe.h"
#include "cli/when.h"

namespace salve {
namespace {

Cell LevelCell(v1::Level level) {
  switch (level) {
    case v1::Error:
      return Cell("Error", Colour::kRed);
    case v1::Warning:
      return Cell("Warning", Colour::kYellow);
    default:
      return Cell(v1::Level_Name(level));
  }
}

}  // namespace

Table NewEventTable(const Output& output, std::vector<size_t> widths_min) {
  return output.NewTable({"TIME", "LEVEL", "CHANNEL", "ID", "ITEM", "MESSAGE"},
                         std::move(widths_min));
}

void AddEvent(const v1::Event& event, const Verb& verb, Table& table) {
  const absl::TimeZone zone = verb.world.time_zone;
  const bool has_both = !event.health_set().empty() && !event.name().empty();
  const std::string item = absl::StrCat(event.health_set(), has_both ? "/" : "", event.name());
  table.AddRow({absl::FormatTime("%Y-%m-%d %H:%M:%E3S", TimeOf(event.time()), zone),
                LevelCell(event.level()), v1::Channel_Name(event.channel()),
                absl::StrCat(event.event_id()), item.empty() ? "-" : item, Describe(event, zone)});
}

absl::StatusOr<ExitStatus> FollowEvents(
    Verb& verb, const std::function<absl::Status(int interrupt, const OnEvent&)>& stream) {
  if (verb.output.format() == Format::kJson) {
    return absl::InvalidArgumentError("this prints as it goes: use -o table or jsonl");
  }
  // The later rows are not known yet: widths are those of the widest usual content.
  Table table = NewEventTable(verb.output, {23, 11, 21, 4, 24, 0});
  const int interrupt = verb.world.watch_interrupt();
  RETURN_IF_ERROR(stream(interrupt, [&](const v1::Event& event) {
    if (verb.output.is_table()) {
      AddEvent(event, verb, table);
      table.Flush(verb.output.out());
    } else {
      verb.output.Print(event);
    }
    verb.output.out().flush();
  }));
  return ExitStatus::kDone;
}

}  // namespace salve
