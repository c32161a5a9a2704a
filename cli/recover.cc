// salvectl recover: a crash set, seen and decided on by a person (docs/QUEUE.md). It only reads
// here; what is executed or recovered is salved's own work (`salved --recover-set`), under its
// lock.
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "cli/recover.pb.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "queue/crash_set.h"

namespace salve {
namespace {

constexpr size_t kPathBytesMax = 240;
constexpr size_t kRowsAtOnce = 500;
constexpr char kUnreadable[] = "?????";
// Exit statuses of `salved --recover-set` (agent/daemon.h).
constexpr int kSetRunDone = 0;
constexpr int kSetRunLeftSome = 1;
constexpr int kSetRunConfiguration = 2;

struct RecoverOptions {
  std::string dir;
  bool list = false;
  bool execute = false;
  std::string type;
  bool recover = false;
  std::string config_dir;
  std::string state_dir;
  std::string salved;
};

// One call, after its options are complete.
struct Call {
  std::string dir;
  std::string config_dir;
  std::string state_dir;
  std::string salved;
  CrashDefinitions definitions;
};

absl::StatusOr<std::string> FolderOf(const RecoverOptions& options) {
  std::string dir = options.dir;
  if (dir.empty()) {
    char path[PATH_MAX];
    if (realpath(".", path) == nullptr) return absl::NotFoundError("File(.) not found.");
    dir = path;
  }
  if (dir[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("-d ", dir, ": not a full path\n", kRecoverSyntax));
  }
  if (dir.size() <= kPathBytesMax) return dir;
  return absl::InvalidArgumentError(absl::StrCat("the path has ", dir.size(), " bytes, more than ",
                                                 kPathBytesMax, ": ", dir, "\n", kRecoverSyntax));
}

bool IsSameFile(const std::string& a, const std::string& b) {
  struct stat one;
  struct stat other;
  return stat(a.c_str(), &one) == 0 && stat(b.c_str(), &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

// Also through a link or a bind mount.
bool IsLive(const std::string& dir, const std::string& state_dir) {
  return IsSameFile(dir, state_dir) || IsSameFile(dir + "/queue.db", state_dir + "/queue.db");
}

bool IsActive(const std::string& state_dir) {
  const UniqueFd lock(open((state_dir + "/salved.lock").c_str(), O_RDONLY | O_CLOEXEC));
  return lock.is_open() && flock(lock.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

absl::Status Active() { return absl::FailedPreconditionError("Service of salved is active"); }

std::string FirstLine(absl::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

void Warn(const Verb& verb, absl::string_view message) {
  verb.err << "salvectl: recover: " << Printable(message) << "\n";
}

CrashDefinitions ReadDefinitions(const Verb& verb, const std::string& config_dir) {
  const absl::StatusOr<Configuration> configuration = verb.world.read_configuration(config_dir);
  if (configuration.ok()) return DefinitionsOf(*configuration);
  Warn(verb, absl::StrCat("Definition(", config_dir,
                          ") not readable: ", FirstLine(configuration.status().message())));
  return CrashDefinitions();
}

std::string OwnerOf(const CrashEntry& entry) {
  if (entry.action.has_value()) {
    const std::string& requester = entry.action->requester();
    const bool is_responder = !absl::StartsWith(requester, "operator:") &&
                              !absl::StartsWith(requester, "deferred:") &&
                              !entry.action->health_set().empty();
    return is_responder ? absl::StrCat(entry.action->health_set(), "/", requester) : requester;
  }
  if (entry.message.type() != queue::UP) return entry.message.letter().health_set();
  const queue::Deferred& deferred = entry.message.deferred();
  return deferred.responder().empty() ? deferred.requester() : deferred.responder();
}

cli::CrashEntry RowOf(const CrashEntry& entry, const CrashDefinitions& definitions) {
  cli::CrashEntry row;
  const bool readable = MissingDefinition(entry, definitions).empty();
  row.set_state(std::string(EntryStateName(entry.state)));
  row.set_key(entry.key);
  row.set_type(readable ? entry.type() : kUnreadable);
  row.set_owner(readable ? OwnerOf(entry) : kUnreadable);
  row.set_msg_id(entry.id);
  row.set_detail(entry.detail);
  const bool is_final = entry.state == EntryState::kActExec || entry.state == EntryState::kActError;
  row.set_suspended((entry.suspended || entry.queue_suspended) && !is_final);
  if (entry.action.has_value()) {
    row.set_host(entry.action->server());
    row.set_dest(entry.action->resource());
    row.set_subject(entry.action->action());
  } else {
    row.set_host(entry.message.origin_server());
    row.set_dest(entry.message.type() == queue::UP ? entry.message.deferred().resource()
                                                   : entry.message.destination());
    row.set_subject(entry.message.subject());
  }
  return row;
}

std::vector<Cell> CellsOf(const cli::CrashEntry& row) {
  const Colour colour = row.state() == "ERR-NOREC" || row.state() == "ACT-ERROR" ? Colour::kRed
                        : row.state() == "ACT-NOEXE"                             ? Colour::kYellow
                                                                                 : Colour::kGreen;
  return {{row.state(), colour},
          row.host(),
          absl::StrCat(row.key()),
          row.type(),
          row.owner().empty() ? "-" : row.owner(),
          row.dest().empty() ? "-" : row.dest(),
          row.msg_id(),
          // No column of its own: the eight are what other programs read.
          absl::StrCat(row.suspended() ? "(suspended) " : "", row.subject())};
}

// Prints those entries of the set of which `wanted` is true; a large set in pieces.
absl::Status PrintEntries(Verb& verb, const Call& call,
                          const std::function<bool(const CrashEntry&)>& wanted) {
  ASSIGN_OR_RETURN(const std::unique_ptr<CrashSet> set, CrashSet::Open(call.dir));
  cli::CrashEntries list;
  list.set_set(set->manifest().name());
  list.set_recovery(config::Queue::Recovery_Name(set->manifest().recovery()));
  Table table =
      verb.output.NewTable({"STATE", "HOST", "KEY", "TYPE", "OWNER", "DEST", "MSGID", "SUBJECT"});
  size_t rows = 0;
  RETURN_IF_ERROR(set->ForEach([&](const CrashEntry& entry) {
    if (!wanted(entry)) return true;
    cli::CrashEntry row = RowOf(entry, call.definitions);
    if (!verb.output.is_table()) {
      *list.add_entries() = std::move(row);
      return true;
    }
    table.AddRow(CellsOf(row));
    if (++rows % kRowsAtOnce == 0) table.Flush(verb.output.out());
    return true;
  }));
  if (verb.output.is_table()) {
    table.Flush(verb.output.out());
  } else {
    verb.output.PrintList(list, list.entries());
  }
  return absl::OkStatus();
}

// The ids that a phase is to do: open, pending ones of the type or those in flight.
absl::StatusOr<std::set<std::string>> OpenEntries(const Call& call, bool in_flight,
                                                  const std::string& type) {
  ASSIGN_OR_RETURN(const std::unique_ptr<CrashSet> set, CrashSet::Open(call.dir));
  std::set<std::string> ids;
  RETURN_IF_ERROR(set->ForEach([&](const CrashEntry& entry) {
    if (IsOpen(entry.state) && entry.in_flight == in_flight &&
        (type.empty() || entry.type() == type)) {
      ids.insert(entry.id);
    }
    return true;
  }));
  return ids;
}

absl::StatusOr<ExitStatus> RunPhase(Verb& verb, const Call& call, bool recovers,
                                    const std::string& type) {
  ASSIGN_OR_RETURN(const std::set<std::string> ids, OpenEntries(call, recovers, type));
  if (ids.empty()) return ExitStatus::kDone;
  std::vector<std::string> argv = {
      call.salved,     "--recover-set", call.dir,       "--config-dir",
      call.config_dir, "--state-dir",   call.state_dir, recovers ? "--recover" : "--execute"};
  if (!type.empty()) argv.insert(argv.end(), {"--types", type});
  ASSIGN_OR_RETURN(const ProgramEnd end, verb.world.run_program(argv));
  if (end.exit_code != kSetRunDone && end.exit_code != kSetRunLeftSome) {
    if (IsActive(call.state_dir)) return Active();
    for (absl::string_view line : absl::StrSplit(end.error_output, '\n', absl::SkipEmpty())) {
      Warn(verb, line);
    }
    if (end.exit_code == kSetRunConfiguration) {
      return absl::FailedPreconditionError(
          absl::StrCat("Definition(", call.config_dir, ") not readable: nothing was ",
                       recovers ? "recovered" : "executed", "; mend it and come again"));
    }
  }
  // What it did before it ended is in the set, however it ended.
  RETURN_IF_ERROR(
      PrintEntries(verb, call, [&](const CrashEntry& entry) { return ids.contains(entry.id); }));
  bool all_done = true;
  ASSIGN_OR_RETURN(const std::unique_ptr<CrashSet> set, CrashSet::Open(call.dir));
  RETURN_IF_ERROR(set->ForEach([&](const CrashEntry& entry) {
    const bool failed = IsOpen(entry.state) || entry.state == EntryState::kActError;
    if (!failed || !ids.contains(entry.id)) return true;
    all_done = false;
    if (!entry.detail.empty()) Warn(verb, absl::StrCat(entry.id, ": ", entry.detail));
    return true;
  }));
  if (end.exit_code != kSetRunDone && end.exit_code != kSetRunLeftSome) {
    return absl::FailedPreconditionError(absl::StrCat(
        call.salved, end.exit_code < 0 ? absl::StrCat(" was ended by signal ", -end.exit_code)
                                       : absl::StrCat(" ended with status ", end.exit_code)));
  }
  return all_done ? ExitStatus::kDone : ExitStatus::kUnhealthy;
}

absl::StatusOr<ExitStatus> Recover(Verb& verb, const RecoverOptions& options) {
  if (!options.type.empty() && !options.execute) {
    return absl::InvalidArgumentError(absl::StrCat("-t needs -e\n", kRecoverSyntax));
  }
  if (!verb.world.is_root) return absl::PermissionDeniedError("only root may do this");
  Call call;
  ASSIGN_OR_RETURN(call.dir, FolderOf(options));
  call.state_dir = options.state_dir.empty() ? verb.world.state_dir : options.state_dir;
  call.config_dir = options.config_dir.empty() ? verb.world.config_dir : options.config_dir;
  call.salved = options.salved.empty() ? verb.world.salved : options.salved;
  if (IsLive(call.dir, call.state_dir)) {
    return absl::FailedPreconditionError(
        absl::StrCat(call.dir, " is the live folder of salved: recover works on a crash set, ",
                     call.state_dir, "/crash/*"));
  }
  if (IsActive(call.state_dir)) return Active();
  RETURN_IF_ERROR(CrashSet::Open(call.dir).status());
  call.definitions = ReadDefinitions(verb, call.config_dir);
  const bool only_lists = !options.execute && !options.recover;
  if (options.list || only_lists) {
    RETURN_IF_ERROR(PrintEntries(verb, call, [](const CrashEntry&) { return true; }));
  }
  ExitStatus status = ExitStatus::kDone;
  if (options.execute) {
    ASSIGN_OR_RETURN(status, RunPhase(verb, call, /*recovers=*/false, options.type));
  }
  if (options.recover) {
    ASSIGN_OR_RETURN(const ExitStatus recovered, RunPhase(verb, call, /*recovers=*/true, ""));
    if (recovered != ExitStatus::kDone) status = recovered;
  }
  return status;
}

}  // namespace

void AddRecoverVerb(CLI::App& salvectl, Choice& choice, const Surroundings& world) {
  if (!world.run_program || !world.read_configuration) return;
  AddVerb(salvectl,
          {"recover",
           "What a crash of the agent left in a crash set: lists, executes, recovers it. For root, "
           "while salved is stopped",
           "salvectl recover -l -d /var/lib/salve/crash/web1-1f2e3d4c-20261129T031207Z"},
          choice, Recover, [](CLI::App& verb, RecoverOptions& options) {
            verb.add_option("-d", options.dir,
                            "The set's folder, a full path of at most 240 bytes. Default: the "
                            "current folder");
            verb.add_flag("-l", options.list, "Lists the entries (also with none of -l, -e, -r)");
            verb.add_flag("-e", options.execute, "Executes what was pending: AR, AF, then UP");
            verb.add_option("-t", options.type, "With -e: only those of this type")
                ->transform(OneOf({"AR", "AF", "UP"}));
            verb.add_flag("-r", options.recover,
                          "Recovers what was in flight: brings responders back to standby");
            verb.add_option("--config-dir", options.config_dir, "Default: /etc/salve");
            verb.add_option("--state-dir", options.state_dir,
                            "Of salved, to know that it is stopped. Default: /var/lib/salve");
            verb.add_option("--salved", options.salved,
                            "The program of the agent. Default: that beside salvectl, else "
                            "/usr/sbin/salved");
          });
}

}  // namespace salve
