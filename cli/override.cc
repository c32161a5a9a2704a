// salvectl override add|list|remove.
#include "config/override.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"
#include "cli/when.h"

namespace salve {
namespace {

// Which override; as the three verbs name it.
struct KeyOptions {
  bool local = false;
  bool global = false;
  std::string item_type;
  std::string identity;
  std::string property_name;
  std::string apply_version;

  std::string scope() const { return local ? "local" : "global"; }
};

absl::Status CheckScope(const KeyOptions& options) {
  if (options.local != options.global) return absl::OkStatus();
  return absl::InvalidArgumentError("--local or --global is needed");
}

struct AddOptions : KeyOptions {
  std::string property_value;
  std::string duration;
  std::string reason;
  bool unchecked = false;
  bool dry_run = false;
};

CLI::Option* BindKey(CLI::App& verb, KeyOptions& options) {
  CLI::Option* local = verb.add_flag("--local", options.local, "Of this server");
  verb.add_flag("--global", options.global, "Of every server; this or --local")->excludes(local);
  verb.add_option("--item-type", options.item_type, "HealthSet, Probe, Monitor or Responder")
      ->required()
      ->transform(OneOf({"HealthSet", "Probe", "Monitor", "Responder"}));
  verb.add_option("--identity", options.identity,
                  "'HealthSet\\Item[\\Target]', also with '/'; of a health set its name")
      ->required();
  verb.add_option("--property-name", options.property_name,
                  "ThrottleAttributes.<one of the six>, Enabled, interval, timeout, threshold …")
      ->required();
  return verb.add_option("--apply-version", options.apply_version,
                         "Holds on agents with this version of their definitions; for 365 days");
}

// What it changes, for each item: one line each way, as limits are long.
void PrintEffects(const v1::AddOverrideResponse& response, Output& output) {
  if (response.effects().empty()) return;
  Table table = output.NewTable({"", "", ""});
  for (const v1::OverrideEffect& effect : response.effects()) {
    table.AddRow(
        {absl::StrCat("  ", effect.item()), Cell("before", Colour::kFaint), effect.before()});
    table.AddRow({"", Cell("after", Colour::kFaint), effect.after()});
  }
  table.Flush(output.out());
}

std::string Headline(const v1::AddOverrideResponse& response, bool dry_run) {
  const v1::Override& added = response.override();
  const std::string what =
      absl::StrCat(added.scope(), " override of ", added.item_type(), " ", added.identity(), ": ",
                   added.property_name(), "=", added.property_value());
  if (dry_run)
    return absl::StrCat("would ", response.replaced() ? "replace" : "add", " the ", what);
  return absl::StrCat(response.replaced() ? "replaced" : "added", " the ", what);
}

absl::StatusOr<ExitStatus> AddOverride(Verb& verb, const AddOptions& options) {
  RETURN_IF_ERROR(CheckScope(options));
  v1::AddOverrideRequest request;
  v1::Override& asked = *request.mutable_override();
  asked.set_scope(options.scope());
  asked.set_item_type(options.item_type);
  asked.set_identity(options.identity);
  asked.set_property_name(options.property_name);
  asked.set_property_value(options.property_value);
  asked.set_apply_version(options.apply_version);
  asked.set_reason(options.reason);
  if (!options.duration.empty()) {
    ASSIGN_OR_RETURN(const absl::Duration duration, ParseOverrideDuration(options.duration));
    request.set_duration_seconds(absl::ToInt64Seconds(duration));
  }
  request.set_unchecked(options.unchecked);
  request.set_dry_run(options.dry_run);
  request.set_user(verb.world.user);
  ASSIGN_OR_RETURN(const v1::AddOverrideResponse response, verb.agent.AddOverride(request));
  if (!verb.output.is_table()) {
    verb.output.Print(response);
    return ExitStatus::kDone;
  }
  std::ostream& out = verb.output.out();
  out << Printable(Headline(response, options.dry_run)) << "\n";
  const v1::Override& added = response.override();
  out << "until "
      << LocalAndRelativeTime(TimeOf(added.expiration_time()), verb.now(), verb.world.time_zone);
  if (added.in_force()) {
    out << (options.dry_run ? "\n" : "; in force\n");
  } else {
    out << "; NOT in force here: " << Printable(added.why_not()) << "\n";
  }
  PrintEffects(response, verb.output);
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> RemoveOverride(Verb& verb, const KeyOptions& options) {
  RETURN_IF_ERROR(CheckScope(options));
  v1::RemoveOverrideRequest request;
  request.set_scope(options.scope());
  request.set_item_type(options.item_type);
  request.set_identity(options.identity);
  request.set_property_name(options.property_name);
  request.set_apply_version(options.apply_version);
  request.set_user(verb.world.user);
  ASSIGN_OR_RETURN(const v1::RemoveOverrideResponse response, verb.agent.RemoveOverride(request));
  if (!verb.output.is_table()) {
    verb.output.Print(response);
    return ExitStatus::kDone;
  }
  const v1::Override& removed = response.removed();
  verb.output.out() << Printable(absl::StrCat("removed the ", removed.scope(), " override of ",
                                              removed.item_type(), " ", removed.identity(), ": ",
                                              removed.property_name(), "=",
                                              removed.property_value()))
                    << "\n";
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> ListOverrides(Verb& verb, const NoOptions&) {
  ASSIGN_OR_RETURN(const v1::ListOverridesResponse list,
                   verb.agent.ListOverrides(v1::ListOverridesRequest()));
  for (const std::string& fault : list.faults()) {
    verb.err << "salvectl: override list: " << Printable(fault) << "\n";
  }
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.overrides());
    return ExitStatus::kDone;
  }
  Table table = verb.output.NewTable({"SCOPE", "TYPE", "IDENTITY", "PROPERTY", "VALUE", "VERSION",
                                      "IN FORCE", "UNTIL", "BY", "SINCE", "REASON"});
  for (const v1::Override& one : list.overrides()) {
    table.AddRow(
        {one.scope(), one.item_type(), one.identity(), one.property_name(), one.property_value(),
         one.apply_version().empty() ? "-" : one.apply_version(),
         one.in_force() ? Cell("yes", Colour::kGreen)
                        : Cell(absl::StrCat("no: ", one.why_not()), Colour::kYellow),
         LocalTime(TimeOf(one.expiration_time()), verb.world.time_zone), one.created_by(),
         one.has_created_time() ? LocalTime(TimeOf(one.created_time()), verb.world.time_zone) : "-",
         one.reason()});
  }
  table.Flush(verb.output.out());
  return ExitStatus::kDone;
}

}  // namespace

void AddOverrideVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family = AddFamily(
      salvectl,
      {"override", "Changes single properties of items for a while", "salvectl override list"});
  AddVerb(*family,
          {"add", "Adds an override, or replaces the one for the same property and version",
           "salvectl override add --local --item-type Responder \\\n"
           "    --identity 'Search\\SearchIndexFailureRestartSearchService' \\\n"
           "    --property-name ThrottleAttributes.LocalMinimumMinutesBetweenAttempts \\\n"
           "    --property-value 240 --apply-version 15.00.1044.025\n"
           "  salvectl override add --local --item-type Probe --identity Web/Ping \\\n"
           "    --property-name interval --property-value 1m --duration 1.00:00:00 --dry-run"},
          choice, AddOverride, [](CLI::App& verb, AddOptions& options) {
            CLI::Option* version = BindKey(verb, options);
            verb.add_option("--property-value", options.property_value, "As in the configuration")
                ->required();
            verb.add_option("--duration", options.duration,
                            "How long, as dd.hh:mm:ss; this or --apply-version")
                ->excludes(version);
            verb.add_option("--reason", options.reason, "Why; it is recorded");
            verb.add_flag("--unchecked", options.unchecked,
                          "With --global: the item need not exist on this server");
            verb.add_flag("--dry-run", options.dry_run,
                          "Says what would change, and changes nothing");
          });
  AddVerb(*family,
          {"list", "All overrides: whether each is in force, and if not, why not",
           "salvectl override list"},
          choice, ListOverrides, BindNothing);
  AddVerb(*family,
          {"remove", "Removes an override; its effect ends at once",
           "salvectl override remove --local --item-type Probe --identity Web/Ping \\\n"
           "    --property-name interval"},
          choice, RemoveOverride,
          [](CLI::App& verb, KeyOptions& options) { BindKey(verb, options); });
}

}  // namespace salve
