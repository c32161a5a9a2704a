#include "responders/actions/collect.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/unit_name.h"
#include "config/duration.h"
#include "config/rules.h"
#include "responders/actions/evidence_folder.h"
#include "responders/actions/machine_text.h"

namespace salve {
namespace {

constexpr int kUnitsMax = 50;
constexpr absl::Duration kSinceDefault = absl::Minutes(10);
constexpr size_t kJournalBytesMax = 16 << 20;  // It is in memory while it is read.

absl::Duration SinceOf(const config::Collect& config) {
  return config.journal_since().empty()
             ? kSinceDefault
             : ParseDuration(config.journal_since()).value_or(kSinceDefault);
}

// What one run has found so far; the worker and the loop hand it to each other.
struct Evidence {
  std::string state_dir;
  std::string name;
  MachineView view;
  size_t keep = 0;
  std::atomic<bool> over{false};  // Time is over, or nobody waits any more.
  std::unique_ptr<EvidenceFolder> folder;
  absl::Status status;             // The first thing that went wrong with the files.
  std::vector<std::string> notes;  // What is missing.
};

// On the worker.
void WriteMachine(Evidence& evidence) {
  auto folder = EvidenceFolder::Make(evidence.state_dir, evidence.name);
  if (!folder.ok()) {
    evidence.status = folder.status();
    return;
  }
  evidence.folder = *std::move(folder);
  const auto write = [&](const char* file, std::string (*text)(const MachineView&)) {
    if (evidence.status.ok() && !evidence.over) {
      evidence.status = evidence.folder->Write(file, text(evidence.view));
    }
  };
  write("pressure.txt", PressureText);
  write("processes.txt", ProcessesText);
  write("descriptors.txt", DescriptorsText);
}

// A program's output, with what is to be said of it, in so many bytes.
struct Output {
  std::string file;
  std::string program;
  std::string text;
  bool is_missing = false;  // The program is not there.
};

void WriteOutputs(Evidence& evidence, const std::vector<Output>& outputs) {
  if (evidence.folder == nullptr) return;
  for (const Output& output : outputs) {
    if (output.is_missing) evidence.notes.push_back(absl::StrCat("there is no ", output.program));
    std::string text = output.text;
    // The kernel's own tables tell less, but they are there.
    if (output.is_missing && output.program == "ss") text += SocketsText(evidence.view);
    const bool is_journal = output.program == "journalctl";
    const size_t max = is_journal ? 4 * evidence.view.bytes_max : evidence.view.bytes_max;
    if (evidence.status.ok() && !evidence.over) {
      evidence.status = evidence.folder->Write(output.file, CutText(std::move(text), max));
    }
  }
  if (evidence.over) return;
  if (absl::Status pruned = evidence.folder->Prune(evidence.keep); !pruned.ok()) {
    evidence.notes.push_back(absl::StrCat("older evidence stays: ", pruned.message()));
  }
}

class CollectAction final : public Action {
 public:
  CollectAction(const config::Collect& config, const ActionEnvironment& environment)
      : config_(config), environment_(environment) {
    for (const std::string& unit : config.unit()) units_.push_back(UnitName(unit));
  }
  ~CollectAction() override {
    *alive_ = false;
    GiveUp();
  }

  std::string id() const override { return "Collect"; }
  std::string resource() const override {
    return units_.empty() ? "the server" : absl::StrJoin(units_, ",");
  }
  bool is_disruptive() const override { return false; }
  std::string Plan() const override {
    return absl::StrCat("keeps journal, processes, descriptors, pressure and sockets of ",
                        resource(), " in ", environment_.state_dir, "/evidence");
  }
  void About(Notice incident) override { incident_ = std::move(incident); }

  void Run(Instant deadline, RecordEffect, ActionDone done) override {
    if (environment_.files == nullptr || environment_.state_dir.empty()) {
      done({ActionResult::Kind::kFailed, "NoStateFolder", "there is no folder for evidence", ""});
      return;
    }
    if (is_worker_busy_) {
      done({ActionResult::Kind::kFailed, "Busy", "the disk still holds the last collection", ""});
      return;
    }
    done_ = std::move(done);
    outputs_.clear();
    const size_t bytes_max = static_cast<size_t>(NumberOf(config_, "bytes_max"));
    evidence_ = std::make_shared<Evidence>();
    evidence_->state_dir = environment_.state_dir;
    evidence_->name =
        absl::StrCat(absl::FormatTime("%Y%m%dT%H%M%SZ", environment_.loop.clock().WallNow(),
                                      absl::UTCTimeZone()),
                     "-", incident_.incident_id.empty() ? "manual" : incident_.incident_id);
    evidence_->keep = static_cast<size_t>(NumberOf(config_, "keep"));
    // An eighth for each of the four small ones, the rest for the journal.
    evidence_->view = {environment_.host.proc(), units_, bytes_max / 8,
                       [weak = std::weak_ptr<Evidence>(evidence_)] {
                         const auto evidence = weak.lock();
                         return evidence == nullptr || evidence->over;
                       }};
    timer_ = environment_.loop.CallAt(deadline, [this] {
      timer_ = TimerId::kNone;
      Finish({ActionResult::Kind::kTimedOut, "TimedOut", "was not ready at its deadline", Path()});
    });
    pending_ = 3;
    OnWorker([evidence = evidence_] { WriteMachine(*evidence); }, [this] { OneIsThere(); });
    // Each starts in a turn of its own: a program that starts costs the loop milliseconds.
    Soon([this, bytes_max, deadline] {
      Program("sockets.txt", {"ss", "-tuanp"}, bytes_max / 8, deadline);
      Soon([this, bytes_max, deadline] {
        Program("journal.txt", JournalCommand(), std::min(bytes_max / 2, kJournalBytesMax),
                deadline);
      });
    });
  }

 private:
  // The newest lines first: what is cut are the oldest.
  std::vector<std::string> JournalCommand() const {
    std::vector<std::string> argv = {
        "journalctl",
        "--no-pager",
        "--quiet",
        "--reverse",
        "--output=short-iso-precise",
        absl::StrCat("--since=-", absl::ToInt64Seconds(SinceOf(config_)), "s")};
    for (const std::string& unit : units_) argv.push_back("--unit=" + unit);
    return argv;
  }

  void Program(const std::string& file, std::vector<std::string> argv, size_t bytes_max,
               Instant deadline) {
    Output& output = outputs_[file];
    output.file = file;
    output.program = argv[0];
    output.text = absl::StrCat("# ", absl::StrJoin(argv, " "), "\n");
    Command command;
    command.argv = std::move(argv);
    command.output_bytes_max = bytes_max;
    const auto started = environment_.host.RunCommand(
        command, deadline,
        [this, alive = alive_, file, evidence = evidence_](absl::StatusOr<CommandResult> result) {
          if (*alive && evidence == evidence_) OnProgram(file, std::move(result));
        });
    if (started.ok()) {
      commands_.push_back(started->id);
      return;
    }
    output.is_missing = true;
    absl::StrAppend(&output.text, "# ", started.status().message(), "\n");
    OneIsThere();
  }

  // Unless this collection has ended by then.
  void Soon(std::function<void()> step) {
    environment_.loop.Post([this, alive = alive_, evidence = evidence_, step = std::move(step)] {
      if (*alive && evidence == evidence_) step();
    });
  }

  void OnProgram(const std::string& file, absl::StatusOr<CommandResult> result) {
    std::string& text = outputs_[file].text;
    if (!result.ok()) {
      absl::StrAppend(&text, "# ", result.status().message(), "\n");
    } else {
      if (result->truncated) text += "# cut: there was more than there is room for\n";
      if (result->timed_out) {
        text += "# ended at the deadline\n";
      } else if (result->exit_code != 0) {
        absl::StrAppend(&text, "# exit status ", result->exit_code, "\n");
      }
      if (!result->error_output.empty()) {
        absl::StrAppend(&text, "# ", result->error_output.substr(0, 1000), "\n");
      }
      text += result->output;
    }
    OneIsThere();
  }

  void OneIsThere() {
    if (--pending_ > 0) return;
    std::vector<Output> outputs;
    for (auto& [file, output] : outputs_) outputs.push_back(std::move(output));
    OnWorker(
        [evidence = evidence_, outputs = std::move(outputs)] { WriteOutputs(*evidence, outputs); },
        [this] { End(); });
  }

  void OnWorker(Task work, std::function<void()> then) {
    is_worker_busy_ = true;
    environment_.files->Post([this, alive = alive_, &loop = environment_.loop, evidence = evidence_,
                              work = std::move(work), then = std::move(then)]() mutable {
      work();
      loop.Post([this, alive, evidence, then = std::move(then)] {
        if (!*alive) return;
        is_worker_busy_ = false;
        if (evidence == evidence_) then();
      });
    });
  }

  void End() {
    const Evidence& evidence = *evidence_;
    if (!evidence.status.ok()) {
      Finish({ActionResult::Kind::kFailed, "NotWritten", std::string(evidence.status.message()),
              Path()});
      return;
    }
    Finish({ActionResult::Kind::kSucceeded, "", absl::StrJoin(evidence.notes, "; "), Path()});
  }

  // Requires: the worker does not run.
  std::string Path() const {
    return is_worker_busy_ || evidence_->folder == nullptr ? "" : evidence_->folder->path();
  }

  void Finish(ActionResult result) {
    GiveUp();
    ActionDone done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

  void GiveUp() {
    environment_.loop.CancelTimer(std::exchange(timer_, TimerId::kNone));
    if (evidence_ != nullptr) evidence_->over = true;
    evidence_ = nullptr;
    for (const CommandId id : std::exchange(commands_, {})) environment_.host.KillCommand(id);
  }

  const config::Collect config_;
  const ActionEnvironment environment_;
  std::vector<std::string> units_;
  Notice incident_;
  // For the loop's thread: the worker and the host may end after this is gone.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<Evidence> evidence_;
  std::map<std::string, Output> outputs_;  // By file.
  std::vector<CommandId> commands_;
  int pending_ = 0;
  bool is_worker_busy_ = false;
  TimerId timer_ = TimerId::kNone;
  ActionDone done_;
};

}  // namespace

absl::Status CheckCollect(const config::Collect& config) {
  if (config.unit_size() > kUnitsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("collect.unit: there are more than ", kUnitsMax));
  }
  for (int i = 0; i < config.unit_size(); ++i) {
    if (!IsUnitName(config.unit(i))) {
      return absl::InvalidArgumentError(
          absl::StrCat("collect.unit[", i, "]: '", config.unit(i), "' is no name of a unit"));
    }
  }
  if (config.journal_since().empty()) return absl::OkStatus();
  const absl::StatusOr<absl::Duration> since = ParseDuration(config.journal_since());
  if (!since.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("collect.journal_since: ", since.status().message()));
  }
  if (*since < absl::Seconds(1) || *since > absl::Hours(24)) {
    return absl::InvalidArgumentError(
        absl::StrCat("collect.journal_since: ", config.journal_since(), " is not in [1s, 24h]"));
  }
  return absl::OkStatus();
}

std::unique_ptr<Action> NewCollect(const config::Collect& config,
                                   const ActionEnvironment& environment) {
  return std::make_unique<CollectAction>(config, environment);
}

}  // namespace salve
