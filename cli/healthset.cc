// salvectl healthset list|show|enable|disable.
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/healthset.pb.h"
#include "cli/ready_made_folder.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "config/ready_made_sets.h"
#include "config/source.h"

namespace salve {
namespace {

struct HealthSetOptions {
  std::string name;
  std::string dir;
  bool observe = false;
  bool force = false;
};

std::string DirOf(const Verb& verb, const HealthSetOptions& options) {
  return options.dir.empty() ? verb.world.config_dir : options.dir;
}

ReadyMadeFolder FolderOf(const Verb& verb, const HealthSetOptions& options) {
  return ReadyMadeFolder(DirOf(verb, options), verb.world.check_configuration_with);
}

std::string InWords(const std::string& state) {
  if (state == "ACTS") return "yes";
  if (state == "OBSERVES") return "yes, observes";
  return state == "CHANGED" ? "yes, changed" : "no";
}

absl::StatusOr<ExitStatus> ListHealthSets(Verb& verb, const HealthSetOptions& options) {
  const ReadyMadeFolder folder = FolderOf(verb, options);
  cli::HealthSets list;
  for (const std::string& name : ReadyMadeSetNames()) {
    cli::ReadyMadeSet& set = *list.add_sets();
    set.set_name(name);
    ASSIGN_OR_RETURN(const ReadyMadeState state, folder.StateOf(name));
    set.set_state(ReadyMadeStateName(state));
    ASSIGN_OR_RETURN(const bool applicable, AppliesHere(name));
    set.set_applicable(applicable);
    set.set_file(folder.FileOf(name));
    for (const std::string& watches : WhatItWatches(name)) set.add_watches(watches);
  }
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.sets());
    return ExitStatus::kDone;
  }
  Table table = verb.output.NewTable({"NAME", "HERE", "ENABLED", "WATCHES"});
  for (const cli::ReadyMadeSet& set : list.sets()) {
    std::string here = set.applicable() ? "yes" : "no";
    std::string enabled = InWords(set.state());
    std::string name = set.name();
    for (const std::string& watches : set.watches()) {
      table.AddRow(
          {std::exchange(name, ""), std::exchange(here, ""), std::exchange(enabled, ""), watches});
    }
  }
  table.Flush(verb.output.out());
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> ShowHealthSet(Verb& verb, const HealthSetOptions& options) {
  ASSIGN_OR_RETURN(const absl::string_view text, FindReadyMadeSet(options.name));
  if (options.observe) {
    verb.output.out() << ObservingText(text);
  } else {
    verb.output.out() << text;
  }
  return ExitStatus::kDone;
}

bool IsSameFolder(const std::string& a, const std::string& b) {
  std::error_code error;
  return std::filesystem::equivalent(a, b, error);
}

// Whether an agent of that folder has taken up what was changed; false: none answers, or the one
// that does has another folder.
absl::StatusOr<bool> Reload(Verb& verb, const std::string& dir) {
  const absl::StatusOr<v1::GetInfoResponse> info = verb.agent.GetInfo(v1::GetInfoRequest());
  if (!info.ok() || !IsSameFolder(info->config_dir(), dir)) return false;
  v1::ReloadRequest request;
  request.set_user(verb.world.user);
  RETURN_IF_ERROR(verb.agent.Reload(request).status());
  return true;
}

// What was changed holds only if the agent takes it.
absl::StatusOr<ExitStatus> Finish(Verb& verb, const HealthSetOptions& options,
                                  ReadyMadeFolder& folder) {
  cli::HealthSetChange change;
  const absl::StatusOr<bool> reloaded = Reload(verb, DirOf(verb, options));
  if (!reloaded.ok()) {
    const absl::Status back = folder.TakeBack();
    return absl::Status(
        reloaded.status().code(),
        absl::StrCat("the agent refuses it, ",
                     back.ok() ? "nothing has changed"
                               : absl::StrCat("and it can't be taken back (", back.message(), ")"),
                     ": ", reloaded.status().message()));
  }
  ASSIGN_OR_RETURN(const ReadyMadeState state, folder.StateOf(options.name));
  change.set_name(options.name);
  change.set_state(ReadyMadeStateName(state));
  change.set_file(folder.FileOf(options.name));
  change.set_reloaded(*reloaded);
  if (!verb.output.is_table()) {
    verb.output.Print(change);
    return ExitStatus::kDone;
  }
  const char* const what = state == ReadyMadeState::kActs       ? "is enabled and acts"
                           : state == ReadyMadeState::kObserves ? "is enabled and observes"
                                                                : "is disabled";
  verb.output.out() << options.name << " " << what
                    << (*reloaded ? "; the agent has taken it up\n"
                                  : "; no agent of this folder answers: it holds from its next "
                                    "start or reload\n");
  return ExitStatus::kDone;
}

// What an agent of that folder sees now must be well, or the set would act at once, and on a
// service that is well where it only listens elsewhere. Without an agent nothing is known, and
// nothing said.
absl::Status CheckSeenWell(Verb& verb, const HealthSetOptions& options) {
  const absl::StatusOr<v1::GetInfoResponse> info = verb.agent.GetInfo(v1::GetInfoRequest());
  if (!info.ok() || !IsSameFolder(info->config_dir(), DirOf(verb, options)))
    return absl::OkStatus();
  ASSIGN_OR_RETURN(const v1::GetServerHealthResponse health,
                   verb.agent.GetServerHealth(v1::GetServerHealthRequest()));
  const std::set<std::string> healed = HealedMonitorsOf(options.name);
  for (const v1::HealthSetHealth& set : health.health_sets()) {
    for (const v1::MonitorHealth& monitor : set.monitors()) {
      const std::string name = absl::StrCat(set.name(), "/", monitor.name());
      const size_t target = name.find('/', set.name().size() + 1);
      if (!monitor.is_alert() || !healed.contains(name.substr(0, target))) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          name, " is ", monitor.state(), " now (", Printable(monitor.last_error()),
          "): it would act at once. Where the service is well and only listens elsewhere, edit its "
          "text (salvectl healthset show ",
          options.name, ") in conf.d; or enable it with --observe; --force arms it all the same"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ExitStatus> EnableHealthSet(Verb& verb, const HealthSetOptions& options) {
  if (!options.observe && !options.force) RETURN_IF_ERROR(CheckSeenWell(verb, options));
  ReadyMadeFolder folder = FolderOf(verb, options);
  const auto before = ReadConfigurationSource(DirOf(verb, options));
  const bool all_observed = before.ok() ? before->no_file : absl::IsNotFound(before.status());
  RETURN_IF_ERROR(folder.Enable(options.name, options.observe));
  ASSIGN_OR_RETURN(const ExitStatus status, Finish(verb, options, folder));
  if (all_observed && verb.output.is_table()) {
    verb.output.out()
        << "it is the first of this folder: the others that ship, which an agent without "
           "a configuration observes, run no more; enable them too, with --observe to "
           "go on only observing\n";
  }
  return status;
}

absl::StatusOr<ExitStatus> DisableHealthSet(Verb& verb, const HealthSetOptions& options) {
  ReadyMadeFolder folder = FolderOf(verb, options);
  RETURN_IF_ERROR(folder.Disable(options.name, options.force));
  return Finish(verb, options, folder);
}

void BindName(CLI::App& verb, HealthSetOptions& options) {
  verb.add_option("NAME", options.name, "A health set that ships")
      ->required()
      ->transform(OneOf(ReadyMadeSetNames()));
}

void BindFolder(CLI::App& verb, HealthSetOptions& options) {
  verb.add_option("--config-dir", options.dir, "The folder. Default: /etc/salve");
}

}  // namespace

void AddHealthSetVerbs(CLI::App& salvectl, Choice& choice, const Surroundings& world) {
  CLI::App* family =
      AddFamily(salvectl, {"healthset", "Health sets that ship: shows, enables, disables them",
                           "salvectl healthset list"});
  AddVerb(*family,
          {"list", "What ships, whether it is enabled, and whether it applies to this server",
           "salvectl healthset list"},
          choice, ListHealthSets, BindFolder);
  AddVerb(*family,
          {"show", "The text of one, as a start for one of your own",
           "salvectl healthset show nginx > /etc/salve/conf.d/nginx.textproto"},
          choice, ShowHealthSet, [](CLI::App& verb, HealthSetOptions& options) {
            BindName(verb, options);
            verb.add_flag("--observe", options.observe, "With all responders only observing");
          });
  if (!world.check_configuration_with) return;
  AddVerb(*family,
          {"enable", "Writes it into the configuration folder and has the agent reload",
           "salvectl healthset enable nginx --observe"},
          choice, EnableHealthSet, [](CLI::App& verb, HealthSetOptions& options) {
            BindName(verb, options);
            BindFolder(verb, options);
            verb.add_flag("--observe", options.observe,
                          "All responders only observe: events say what would have been done");
            verb.add_flag("--force", options.force,
                          "Also while the agent sees it unhealthy: it acts at once");
          });
  AddVerb(*family,
          {"disable", "Removes it from the configuration folder and has the agent reload",
           "salvectl healthset disable nginx"},
          choice, DisableHealthSet, [](CLI::App& verb, HealthSetOptions& options) {
            BindName(verb, options);
            BindFolder(verb, options);
            verb.add_flag("--force", options.force,
                          "Also one that was changed: it is kept as NAME.textproto.disabled");
          });
}

}  // namespace salve
