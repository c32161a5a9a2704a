// FakeHost: a Host of scripted programs, by argv[0], on any loop (a SimulatedLoop, mostly).
// A program runs for as long as its script says, or until the test ends it. One thread only.
#ifndef SALVE_BASE_FAKE_HOST_H_
#define SALVE_BASE_FAKE_HOST_H_

#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/event_loop.h"
#include "base/host.h"
#include "base/unique_fd.h"

namespace salve {

// What happens when a program is run. A program without a script is not there (kNotFound).
struct FakeProgram {
  absl::Status start = absl::OkStatus();        // RunCommand's answer, if not OK.
  absl::Duration takes = absl::ZeroDuration();  // InfiniteDuration: until EndCommand.
  CommandResult result = {.exit_code = 0};      // Its end, unless it was killed.
};

class FakeHost final : public Host {
 public:
  explicit FakeHost(EventLoop& loop, std::string proc = "/proc")
      : loop_(loop), proc_(std::move(proc)) {}
  ~FakeHost() override {
    for (auto& [id, running] : running_) loop_.CancelTimer(running.deadline);
    for (auto& [id, running] : running_) loop_.CancelTimer(running.end);
  }

  // Scripts a program, from its next run on.
  void SetProgram(const std::string& argv0, FakeProgram program) {
    programs_[argv0] = std::move(program);
  }
  // Makes every RunCommand fail (kResourceExhausted, say), until OK is set again.
  void SetRunError(absl::Status error) { run_error_ = std::move(error); }

  // A command that was started: all of them, in order, are kept for the test to look at.
  struct Started {
    Command command;
    Instant deadline;
    CommandId id;
    ProcessIdentity process;
    bool released;  // True from the start unless `held`.
  };
  const std::vector<Started>& started() const { return started_; }
  bool is_running(CommandId id) const { return running_.contains(id); }
  size_t running_count() const { return running_.size(); }

  // Ends a running command now; its `done` is called on the loop. Ignored when it has ended.
  void EndCommand(CommandId id, absl::StatusOr<CommandResult> result) {
    auto node = running_.extract(id);
    if (node.empty()) return;
    loop_.CancelTimer(node.mapped().deadline);
    loop_.CancelTimer(node.mapped().end);
    EndProcess(node.mapped().pid);
    loop_.Post([done = std::move(node.mapped().done), result = std::move(result)]() mutable {
      done(std::move(result));
    });
  }

  // Processes for OpenProcess; commands are there by themselves while they run.
  void AddProcess(pid_t pid) {
    processes_[pid] = {UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), ++last_life_};
  }
  // Makes what OpenProcess gave for it readable.
  void EndProcess(pid_t pid) {
    const auto it = processes_.find(pid);
    if (it == processes_.end()) return;
    eventfd_write(it->second.end.get(), 1);
    processes_.erase(it);
  }
  // Makes OpenProcess fail (kResourceExhausted, say), until OK is set again.
  void SetOpenError(absl::Status error) { open_error_ = std::move(error); }
  // Makes SignalProcess fail (kPermissionDenied, say), until OK is set again.
  void SetSignalError(absl::Status error) { signal_error_ = std::move(error); }

  struct Signalled {
    pid_t pid;
    int signal;
    friend bool operator==(const Signalled&, const Signalled&) = default;
  };
  // All signals of SignalProcess, in order. What they do is the test's: by `on_signal`.
  const std::vector<Signalled>& signalled() const { return signalled_; }
  void SetOnSignal(std::function<void(pid_t pid, int signal)> on_signal) {
    on_signal_ = std::move(on_signal);
  }

  absl::StatusOr<StartedCommand> RunCommand(const Command& command, Instant deadline,
                                            CommandDone done) override {
    if (!run_error_.ok()) return run_error_;
    const std::string& name = command.argv.empty() ? std::string() : command.argv[0];
    const auto program = programs_.find(name);
    if (program == programs_.end()) {
      return absl::NotFoundError(absl::StrCat("cannot run '", name, "': no such program"));
    }
    if (!program->second.start.ok()) return program->second.start;

    const CommandId id{++last_id_};
    const pid_t pid = static_cast<pid_t>(10'000 + last_id_);
    Running& running = running_[id];
    running.pid = pid;
    running.program = program->second;
    running.done = std::move(done);
    running.deadline = loop_.CallAt(deadline, [this, id] { Kill(id, /*timed_out=*/true); });
    AddProcess(pid);
    started_.push_back(
        {command, deadline, id, {.pid = pid, .start_ticks = last_id_}, !command.held});
    if (!command.held) BeginRunning(id, running);
    return StartedCommand{.id = id, .process = started_.back().process};
  }

  void ReleaseCommand(CommandId id) override {
    const auto it = running_.find(id);
    if (it == running_.end()) return;
    for (Started& started : started_) {
      if (started.id != id || started.released) continue;
      started.released = true;
      BeginRunning(id, it->second);
    }
  }

  void KillCommand(CommandId id) override { Kill(id, /*timed_out=*/false); }

  absl::StatusOr<int> OpenProcess(pid_t pid) override {
    const auto it = processes_.find(pid);
    if (it == processes_.end()) {
      return absl::NotFoundError(absl::StrCat("process ", pid, ": no such process"));
    }
    if (!open_error_.ok()) return open_error_;
    const int pidfd = dup(it->second.end.get());
    opened_[pidfd] = {pid, it->second.life};
    return pidfd;
  }

  absl::Status SignalProcess(int pidfd, int signal) override {
    if (!signal_error_.ok()) return signal_error_;
    const auto opened = opened_.find(pidfd);
    if (opened == opened_.end()) return absl::UnavailableError("no pidfd");
    const auto [pid, life] = opened->second;
    const auto process = processes_.find(pid);
    if (process == processes_.end() || process->second.life != life) {
      return absl::NotFoundError(absl::StrCat("process ", pid, ": no such process"));
    }
    signalled_.push_back({pid, signal});
    if (on_signal_) on_signal_(pid, signal);
    return absl::OkStatus();
  }

  std::string proc() const override { return proc_; }

 private:
  struct Running {
    pid_t pid = 0;
    FakeProgram program;
    CommandDone done;
    TimerId deadline = TimerId::kNone;
    TimerId end = TimerId::kNone;
  };

  void BeginRunning(CommandId id, Running& running) {
    if (running.program.takes == absl::InfiniteDuration()) return;
    running.end = loop_.CallAfter(running.program.takes,
                                  [this, id] { EndCommand(id, running_.at(id).program.result); });
  }
  void Kill(CommandId id, bool timed_out) {
    const auto it = running_.find(id);
    if (it == running_.end()) return;
    CommandResult killed = it->second.program.result;
    killed.exit_code = -1;
    killed.signal = 9;
    killed.timed_out = timed_out;
    EndCommand(id, std::move(killed));
  }

  // A pid can live more than once, one life after the other.
  struct Process {
    UniqueFd end;
    uint64_t life = 0;
  };

  EventLoop& loop_;
  const std::string proc_;
  uint64_t last_id_ = 0;
  absl::Status run_error_ = absl::OkStatus();
  std::map<std::string, FakeProgram> programs_;
  std::map<CommandId, Running> running_;
  std::map<pid_t, Process> processes_;
  std::map<int, std::pair<pid_t, uint64_t>> opened_;  // By pidfd: which life of which pid.
  uint64_t last_life_ = 0;
  absl::Status open_error_ = absl::OkStatus();
  absl::Status signal_error_ = absl::OkStatus();
  std::vector<Signalled> signalled_;
  std::function<void(pid_t pid, int signal)> on_signal_;
  std::vector<Started> started_;
};

}  // namespace salve

#endif  // SALVE_BASE_FAKE_HOST_H_
