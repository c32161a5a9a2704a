// salvectl component list|offline|online.
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"
#include "cli/when.h"
#include "config/duration.h"

namespace salve {
namespace {

Cell OnlineCell(bool online) {
  return online ? Cell("online", Colour::kGreen) : Cell("offline", Colour::kRed);
}

absl::StatusOr<ExitStatus> ListComponents(Verb& verb, const NoOptions&) {
  ASSIGN_OR_RETURN(const v1::ListComponentsResponse list,
                   verb.agent.ListComponents(v1::ListComponentsRequest()));
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.components());
    return ExitStatus::kDone;
  }
  Table table = verb.output.NewTable({"COMPONENT", "STATE", "VOTE OF", "SINCE", "UNTIL", "REASON"});
  for (const v1::ComponentStatus& component : list.components()) {
    if (component.votes().empty()) {
      table.AddRow({component.name(), OnlineCell(component.online()), "-", "-", "-", "-"});
    }
    for (int i = 0; i < component.votes_size(); ++i) {
      const v1::ComponentVote& vote = component.votes(i);
      table.AddRow(
          {i == 0 ? component.name() : "", i == 0 ? OnlineCell(component.online()) : Cell(""),
           vote.requester(), Ago(vote.has_since(), vote.since(), verb),
           vote.has_until()
               ? LocalAndRelativeTime(TimeOf(vote.until()), verb.now(), verb.world.time_zone)
               : "taken back",
           vote.reason()});
    }
  }
  table.Flush(verb.output.out());
  for (const v1::ComponentStatus& component : list.components()) {
    if (component.trouble().empty()) continue;
    verb.err << "salvectl: component list: "
             << Printable(absl::StrCat(component.name(), ": ", component.trouble())) << "\n";
  }
  return ExitStatus::kDone;
}

struct VoteOptions {
  std::string component;
  std::string reason;
  std::string duration;
};

absl::StatusOr<ExitStatus> Vote(Verb& verb, const VoteOptions& options, bool offline) {
  v1::VoteRequest request;
  request.set_component(options.component);
  request.set_offline(offline);
  request.set_reason(options.reason);
  request.set_user(verb.world.user);
  if (!options.duration.empty()) {
    ASSIGN_OR_RETURN(const absl::Duration duration, ParseDuration(options.duration));
    if (duration < absl::Seconds(1)) {
      return absl::InvalidArgumentError("--for: is not in [1s, 720h]");
    }
    request.set_duration_seconds(absl::ToInt64Seconds(duration));
  }
  ASSIGN_OR_RETURN(const v1::VoteResponse response, verb.agent.VoteOnComponent(request));
  if (!verb.output.is_table()) {
    verb.output.Print(response);
    return ExitStatus::kDone;
  }
  const v1::ComponentStatus& component = response.component();
  verb.output.out() << Printable(component.name()) << " is "
                    << (component.online() ? "online" : "offline");
  // Who brings it online wants to know who else holds it.
  std::string others;
  for (const v1::ComponentVote& vote : component.votes()) {
    absl::StrAppend(&others, others.empty() ? "" : ", ", vote.requester());
  }
  if (!others.empty()) verb.output.out() << ", by the vote of " << Printable(others);
  verb.output.out() << "\n";
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> TakeOffline(Verb& verb, const VoteOptions& options) {
  return Vote(verb, options, /*offline=*/true);
}
absl::StatusOr<ExitStatus> BringOnline(Verb& verb, const VoteOptions& options) {
  return Vote(verb, options, /*offline=*/false);
}

}  // namespace

void AddComponentVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family = AddFamily(
      salvectl,
      {"component", "What of this server is in service, by votes", "salvectl component list"});
  AddVerb(*family, {"list", "All components and who votes for offline", "salvectl component list"},
          choice, ListComponents, BindNothing);
  AddVerb(*family,
          {"offline", "Votes a component out of service; any vote wins",
           "salvectl component offline web --reason 'a new disk' --for 2h"},
          choice, TakeOffline, [](CLI::App& verb, VoteOptions& options) {
            verb.add_option("NAME", options.component, "The component")->required();
            verb.add_option("--reason", options.reason, "Why; it is recorded")->required();
            verb.add_option("--for", options.duration,
                            "The vote ends by itself: 10m, 2h; at most 720h");
          });
  AddVerb(*family,
          {"online", "Takes your own vote back; it is online when nobody else's is left",
           "salvectl component online web"},
          choice, BringOnline, [](CLI::App& verb, VoteOptions& options) {
            verb.add_option("NAME", options.component, "The component")->required();
            verb.add_option("--reason", options.reason, "Why; it is recorded");
          });
}

}  // namespace salve
