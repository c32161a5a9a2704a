// salvectl queue db pack|info|verify|recover|defrag|repair|prepare|adopt|reset: the queue's
// database and its move to another server. All but `prepare` work on files, with the agent stopped.
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "config/duration.h"
#include "queue/adopt.h"
#include "queue/defrag.h"
#include "queue/pack.h"
#include "queue/repair.h"
#include "queue/reset.h"

namespace salve {
namespace {

struct DatabaseOptions {
  std::string path;
  std::string state_dir;
  std::string config_dir;
  bool accept_loss = false;
  bool begin = false;
  bool cancel = false;
  std::string reason;
  bool allow_other_role = false;
  bool allow_other_group = false;
  bool allow_adopted = false;
  std::string extend;
  int64_t discard = 0;
};

std::string StateDirOf(const Verb& verb, const DatabaseOptions& options) {
  return options.state_dir.empty() ? verb.world.state_dir : options.state_dir;
}

std::string Absolute(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

std::string PathOf(const Verb& verb, const DatabaseOptions& options) {
  return options.path.empty() ? StateDirOf(verb, options) : Absolute(options.path);
}

// Prints each line of an error, and gives the exit status that these tools agree on.
absl::StatusOr<ExitStatus> Failed(const char* name, const absl::Status& status, Verb& verb) {
  std::optional<ExitStatus> exit;
  switch (status.code()) {
    case absl::StatusCode::kDataLoss:
      exit = ExitStatus::kDamaged;
      break;
    case absl::StatusCode::kOutOfRange:
      exit = ExitStatus::kMismatch;
      break;
    case absl::StatusCode::kAborted:
      exit = ExitStatus::kInexact;
      break;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kAlreadyExists:
      exit = ExitStatus::kPrecondition;
      break;
    case absl::StatusCode::kUnavailable:  // It is about a file, not about the agent.
      exit = ExitStatus::kInternal;
      break;
    default:
      return status;
  }
  for (const absl::string_view line : absl::StrSplit(status.message(), '\n', absl::SkipEmpty())) {
    verb.err << "salvectl: queue db " << name << ": " << Printable(line) << "\n";
  }
  verb.err.flush();
  return *exit;
}

Colour ColourOf(const std::string& state) {
  if (state == "Clean") return Colour::kGreen;
  return state == "Dirty" ? Colour::kYellow : Colour::kRed;
}

void PrintQueues(const google::protobuf::RepeatedPtrField<queue::QueueCount>& queues, Verb& verb) {
  Table table = verb.output.NewTable({"QUEUE", "MESSAGES", "BYTES", "STATE"});
  for (const queue::QueueCount& queue : queues) {
    table.AddRow({queue.name(), absl::StrCat(queue.messages()), absl::StrCat(queue.bytes()),
                  queue.suspended() ? "suspended" : ""});
  }
  table.Flush(verb.output.out());
}

void PrintInfo(const queue::DatabaseInfo& info, Verb& verb) {
  Table table = NewDetails(verb.output);
  AddDetail(table, "file", info.file());
  table.AddRow({"state:", Cell(info.state(), ColourOf(info.state()))});
  AddDetail(table, "signature", info.signature());
  AddDetail(table, "server", info.server());
  AddDetail(table, "group", info.group());
  AddDetail(table, "role", info.role());
  AddDetail(table, "schema version", absl::StrCat(info.schema_version()));
  AddDetail(table, "commits", absl::StrCat(info.commits()));
  AddDetail(table, "by the mark",
            info.mark_commits() < 0 ? "can't be read" : absl::StrCat(info.mark_commits()));
  AddDetail(table, "last sequence", absl::StrCat(info.last_sequence()));
  AddDetail(table, "bytes", absl::StrCat(info.bytes()));
  AddDetail(table, "bytes in the log", absl::StrCat(info.log_bytes()));
  AddDetail(table, "packed at", info.packed_at());
  table.Flush(verb.output.out());
  PrintQueues(info.queues(), verb);
}

absl::StatusOr<ExitStatus> Show(const char* name, const absl::StatusOr<queue::DatabaseInfo>& info,
                                Verb& verb) {
  if (!info.ok()) return Failed(name, info.status(), verb);
  if (verb.output.is_table()) {
    PrintInfo(*info, verb);
  } else {
    verb.output.Print(*info);
  }
  const absl::Status whole = WholeOr(*info);
  return whole.ok() ? absl::StatusOr<ExitStatus>(ExitStatus::kDone) : Failed(name, whole, verb);
}

absl::StatusOr<ExitStatus> Info(Verb& verb, const DatabaseOptions& options) {
  return Show("info", ReadDatabaseInfo(PathOf(verb, options)), verb);
}

absl::StatusOr<ExitStatus> Verify(Verb& verb, const DatabaseOptions& options) {
  return Show("verify", VerifyDatabase(PathOf(verb, options)), verb);
}

absl::StatusOr<ExitStatus> PackFolder(Verb& verb, const DatabaseOptions& options) {
  const std::string folder = Absolute(options.path);
  const absl::StatusOr<queue::Manifest> manifest =
      Pack({.state_dir = StateDirOf(verb, options), .folder = folder, .now = verb.now()});
  if (!manifest.ok()) return Failed("pack", manifest.status(), verb);
  if (!verb.output.is_table()) {
    verb.output.Print(*manifest);
    return ExitStatus::kDone;
  }
  verb.output.out() << "the queue of " << Printable(manifest->server()) << " (" << manifest->state()
                    << ", " << manifest->signature() << ") is in " << Printable(folder) << "\n";
  Table table = verb.output.NewTable({"FILE", "BYTES", "SHA-256"});
  for (const queue::Manifest::File& file : manifest->file()) {
    table.AddRow({file.name(), absl::StrCat(file.bytes()), file.sha256()});
  }
  table.Flush(verb.output.out());
  Table queues = verb.output.NewTable({"QUEUE", "MESSAGES"});
  for (const queue::Manifest::Queue& queue : manifest->queue()) {
    queues.AddRow({queue.name(), absl::StrCat(queue.messages())});
  }
  queues.Flush(verb.output.out());
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> Recover(Verb& verb, const DatabaseOptions& options) {
  const absl::StatusOr<queue::RecoverReport> report =
      RecoverFolder({.folder = Absolute(options.path),
                     .state_dir = StateDirOf(verb, options),
                     .now = verb.now()});
  if (!report.ok()) return Failed("recover", report.status(), verb);
  if (!verb.output.is_table()) {
    verb.output.Print(*report);
    return ExitStatus::kDone;
  }
  verb.output.out() << Printable(report->folder())
                    << (report->was_clean() ? " was Clean already: nothing was to be done\n"
                                            : " is Clean now\n");
  PrintInfo(report->database(), verb);
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> Defrag(Verb& verb, const DatabaseOptions& options) {
  const absl::StatusOr<queue::DefragReport> report = Defragment(PathOf(verb, options));
  if (!report.ok()) return Failed("defrag", report.status(), verb);
  if (!verb.output.is_table()) {
    verb.output.Print(*report);
    return ExitStatus::kDone;
  }
  verb.output.out() << Printable(report->file()) << " has " << report->bytes_after()
                    << " bytes, before " << report->bytes_before() << "; the new file needed up to "
                    << report->bytes_needed() << "\n";
  return ExitStatus::kDone;
}

// What the configuration says of this server.
absl::StatusOr<AgentDefinition> AgentOf(const Verb& verb, const DatabaseOptions& options) {
  const std::string dir = options.config_dir.empty() ? verb.world.config_dir : options.config_dir;
  ASSIGN_OR_RETURN(Configuration configuration, verb.world.read_configuration(dir));
  return std::move(configuration.agent);
}

absl::StatusOr<ExitStatus> Repair(Verb& verb, const DatabaseOptions& options) {
  if (!options.accept_loss) {
    return Failed("repair",
                  absl::AbortedError("what can't be read is lost: --accept-loss; `salvectl queue "
                                     "db verify` says what is wrong, and a backup is better"),
                  verb);
  }
  RepairOptions repair{.file = PathOf(verb, options), .now = verb.now()};
  // Asked for what the damaged file can't say; without a configuration it is left empty.
  if (const absl::StatusOr<AgentDefinition> agent = AgentOf(verb, options); agent.ok()) {
    repair.server = agent->server;
    repair.group = agent->group;
  }
  const absl::StatusOr<queue::RepairReport> report = RepairDatabase(repair);
  if (!report.ok()) return Failed("repair", report.status(), verb);
  if (!verb.output.is_table()) {
    verb.output.Print(*report);
    return ExitStatus::kDone;
  }
  std::ostream& out = verb.output.out();
  out << report->messages() << " messages were read, " << report->lost_size() << " are lost; "
      << report->ended() << " that have ended are remembered\n";
  if (report->commits_missing() > 0) {
    out << report->commits_missing() << " steps are missing: what they were is not known\n";
  }
  for (const std::string& note : report->notes()) out << Printable(note) << "\n";
  if (!report->kept_as().empty()) {
    out << "the damaged file is kept as " << Printable(report->kept_as()) << "\n";
  }
  Table table = verb.output.NewTable({"LOST", "SEQUENCE"});
  for (const queue::LostMessage& lost : report->lost()) {
    table.AddRow({lost.mid().empty() ? "?" : lost.mid(), absl::StrCat(lost.sequence())});
  }
  table.Flush(out);
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> Prepare(Verb& verb, const DatabaseOptions& options) {
  v1::PrepareRequest request;
  if (options.begin) request.set_verb(v1::PrepareRequest::BEGIN);
  if (options.cancel) request.set_verb(v1::PrepareRequest::CANCEL);
  request.set_user(verb.world.user);
  request.set_reason(options.reason);
  ASSIGN_OR_RETURN(const v1::PrepareResponse response, verb.agent.PrepareQueue(request));
  const bool is_done = response.ready() || options.cancel;
  if (!verb.output.is_table()) {
    verb.output.Print(response);
    return is_done ? ExitStatus::kDone : ExitStatus::kPrecondition;
  }
  Table table = verb.output.NewTable({"POINT", "READY", "STATE"});
  for (const v1::PreparationPoint& point : response.points()) {
    table.AddRow({point.name(),
                  point.ready() ? Cell("yes", Colour::kGreen) : Cell("no", Colour::kRed),
                  point.state()});
  }
  table.Flush(verb.output.out());
  verb.output.out() << (response.ready()       ? "ready: stop salved, then `queue db adopt`\n"
                        : response.preparing() ? "not ready yet\n"
                                               : "no preparation is under way\n");
  return is_done ? ExitStatus::kDone : ExitStatus::kPrecondition;
}

absl::StatusOr<ExitStatus> AdoptFolder(Verb& verb, const DatabaseOptions& options) {
  ASSIGN_OR_RETURN(const AgentDefinition agent, AgentOf(verb, options));
  AdoptOptions adopt{.state_dir = StateDirOf(verb, options),
                     .folder = Absolute(options.path),
                     .agent = agent,
                     .allow_other_role = options.allow_other_role,
                     .allow_other_group = options.allow_other_group,
                     .allow_adopted = options.allow_adopted,
                     .now = verb.now()};
  if (!options.extend.empty()) {
    ASSIGN_OR_RETURN(adopt.extend, ParseDuration(options.extend));
    if (adopt.extend <= absl::Minutes(1) || adopt.extend > absl::Hours(2160)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--extend: ", options.extend, " is not above 1m and up to 2160h"));
    }
  }
  const absl::StatusOr<queue::AdoptReport> report = Adopt(adopt);
  if (!report.ok()) return Failed("adopt", report.status(), verb);
  if (!verb.output.is_table()) {
    verb.output.Print(*report);
    return ExitStatus::kDone;
  }
  std::ostream& out = verb.output.out();
  if (report->was_adopted()) {
    out << "the queue of " << Printable(report->from()) << " was adopted already\n";
    return ExitStatus::kDone;
  }
  out << "the queue of " << Printable(report->from()) << " is adopted: " << report->messages()
      << " messages, " << report->host_bound() << " of them host-bound; " << report->known_already()
      << " were known already; " << report->ended() << " that have ended are remembered\n";
  if (!report->kept_as().empty()) {
    out << "until salved was started and stopped cleanly, the old one is kept as "
        << Printable(report->kept_as()) << "\n";
  }
  PrintQueues(report->queues(), verb);
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> Reset(Verb& verb, const DatabaseOptions& options) {
  const absl::StatusOr<queue::ResetReport> report = ResetDatabase(
      {.state_dir = StateDirOf(verb, options), .discard = options.discard, .now = verb.now()});
  if (!report.ok()) return Failed("reset", report.status(), verb);
  if (!verb.output.is_table()) {
    verb.output.Print(*report);
    return ExitStatus::kDone;
  }
  verb.output.out() << "a fresh database (" << report->signature() << "); " << report->discarded()
                    << " messages were discarded, the old one (" << report->former_signature()
                    << ") is kept as " << Printable(report->kept_as()) << "\n";
  return ExitStatus::kDone;
}

void BindStateDir(CLI::App& verb, DatabaseOptions& options, const Surroundings& world) {
  verb.add_option("--state-dir", options.state_dir,
                  absl::StrCat("The agent's state folder. Default: ", world.state_dir));
}

void BindConfigDir(CLI::App& verb, DatabaseOptions& options, const Surroundings& world) {
  verb.add_option("--config-dir", options.config_dir,
                  absl::StrCat("The agent's configuration. Default: ", world.config_dir));
}

void AddLookVerbs(CLI::App& family, Choice& choice, const Surroundings& world) {
  const auto bind = [&world](CLI::App& verb, DatabaseOptions& options) {
    verb.add_option("PATH", options.path, "A pack, a folder or a file. Default: the agent's own");
    BindStateDir(verb, options, world);
  };
  AddVerb(family,
          {"info", "What a database is: Clean or Dirty, of which server, how much is in it",
           "salvectl queue db info /srv/pack"},
          choice, Info, bind);
  AddVerb(family,
          {"verify", "The same, and every row and byte is checked; exit 9 with each fault",
           "salvectl queue db verify /srv/pack"},
          choice, Verify, bind);
}

void AddPackVerbs(CLI::App& family, Choice& choice, const Surroundings& world) {
  AddVerb(family,
          {"pack", "Copies the database with its log and its mark, checked, to take it elsewhere",
           "salvectl queue db pack /srv/pack --state-dir /mnt/web1/var/lib/salve"},
          choice, PackFolder, [&world](CLI::App& verb, DatabaseOptions& options) {
            verb.add_option("DIR", options.path, "Empty, or not there yet")->required();
            BindStateDir(verb, options, world);
          });
  AddVerb(family,
          {"recover", "Replays the log of a copied folder, so that its database is Clean",
           "salvectl queue db recover /srv/pack"},
          choice, Recover, [&world](CLI::App& verb, DatabaseOptions& options) {
            verb.add_option("DIR", options.path, "A pack, or a folder that was copied")->required();
            BindStateDir(verb, options, world);
          });
}

void AddFileVerbs(CLI::App& family, Choice& choice, const Surroundings& world) {
  AddVerb(family,
          {"defrag", "Writes the database anew without its holes, checked, and swaps it in",
           "salvectl queue db defrag /srv/pack"},
          choice, Defrag, [](CLI::App& verb, DatabaseOptions& options) {
            verb.add_option("FILE", options.path, "A queue.db, or its folder")->required();
          });
  AddVerb(family,
          {"repair", "The last resort: keeps what can be read, and lists what is lost",
           "salvectl queue db repair /srv/pack/queue.db --accept-loss"},
          choice, Repair, [&world](CLI::App& verb, DatabaseOptions& options) {
            verb.add_option("FILE", options.path, "A queue.db, or its folder")->required();
            verb.add_flag("--accept-loss", options.accept_loss, "What can't be read is lost");
            BindConfigDir(verb, options, world);
          });
}

void AddMoveVerbs(CLI::App& family, Choice& choice, const Surroundings& world) {
  AddVerb(family,
          {"prepare", "The five points that make this server ready to adopt; exit 3 until it is",
           "salvectl queue db prepare --begin"},
          choice, Prepare, [](CLI::App& verb, DatabaseOptions& options) {
            CLI::Option* begin =
                verb.add_flag("--begin", options.begin, "New work stops; it survives a restart");
            verb.add_flag("--cancel", options.cancel, "New work goes on")->excludes(begin);
            verb.add_option("--reason", options.reason, "Why; it is recorded");
          });
  AddVerb(family,
          {"adopt", "Takes over the queue of another server, routed anew for this one",
           "salvectl queue db adopt /srv/pack"},
          choice, AdoptFolder, [&world](CLI::App& verb, DatabaseOptions& options) {
            verb.add_option("DIR", options.path, "A pack, or a copied folder; Clean")->required();
            verb.add_flag("--allow-other-role", options.allow_other_role,
                          "Also of another kind of agent");
            verb.add_flag("--allow-other-group", options.allow_other_group,
                          "Also of another group");
            verb.add_flag("--allow-adopted", options.allow_adopted,
                          "Also when another server has adopted it, which does not use it");
            verb.add_option("--extend", options.extend,
                            "What would expire at once lives so much longer: 48h");
            BindStateDir(verb, options, world);
            BindConfigDir(verb, options, world);
          });
  AddVerb(family,
          {"reset", "A fresh database with a new signature; the old one is kept aside",
           "salvectl queue db reset\n  salvectl queue db reset --discard 12"},
          choice, Reset, [&world](CLI::App& verb, DatabaseOptions& options) {
            verb.add_option("--discard", options.discard,
                            "Throws away so many messages: exactly those that are there; else "
                            "exit 12")
                ->check(CLI::NonNegativeNumber);
            BindStateDir(verb, options, world);
          });
}

}  // namespace

void AddQueueDbVerbs(CLI::App& queue, Choice& choice, const Surroundings& world) {
  CLI::App* family =
      AddFamily(queue, {"db",
                        "The queue's database, and its move to another server; salved is "
                        "stopped for all but prepare",
                        "salvectl queue db info"});
  AddLookVerbs(*family, choice, world);
  AddPackVerbs(*family, choice, world);
  AddFileVerbs(*family, choice, world);
  AddMoveVerbs(*family, choice, world);
}

}  // namespace salve
