#include "base/real_host.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/spawn.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace salve {
namespace {

// What one turn of the loop reads of one pipe, so that a program that prints for ever takes
// its share and no more.
constexpr size_t kReadBytesMax = 64 * 1024;

// glibc 2.36 declares its own without extern "C", so C++ cannot link it.
int OpenPidfd(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

bool IsForTheAgentAlone(absl::string_view variable) {
  return absl::StartsWith(variable, "NOTIFY_SOCKET=") || absl::StartsWith(variable, "WATCHDOG_") ||
         absl::StartsWith(variable, "LISTEN_");
}

std::vector<std::string> OwnEnvironment() {
  std::vector<std::string> own;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    if (!IsForTheAgentAlone(*variable)) own.push_back(*variable);
  }
  return own;
}

absl::string_view NameOf(absl::string_view variable) {
  return variable.substr(0, variable.find('='));
}

std::vector<std::string> Merge(const std::vector<std::string>& own,
                               const std::vector<std::string>& added) {
  std::vector<std::string> merged = added;
  for (const std::string& variable : own) {
    const bool replaced = std::any_of(added.begin(), added.end(), [&](const std::string& a) {
      return NameOf(a) == NameOf(variable);
    });
    if (!replaced) merged.push_back(variable);
  }
  return merged;
}

std::vector<std::string> EnvironmentOf(const UserIdentity& user) {
  return {"HOME=" + user.home, "USER=" + user.name, "LOGNAME=" + user.name};
}

// Kills the session leader, and with it the group that it leads, if that stands already.
// Requires: the leader has not been reaped, so that both numbers are still its own.
void KillGroup(pid_t leader) {
  kill(-leader, SIGKILL);
  kill(leader, SIGKILL);
}

void Reap(int pidfd, CommandResult& result) {
  siginfo_t info = {};
  if (waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return;
  if (info.si_code == CLD_EXITED) {
    result.exit_code = info.si_status;
  } else {
    result.signal = info.si_status;
  }
}

}  // namespace

struct RealHost::Output {
  UniqueFd pipe;
  WatchId watch = WatchId::kNone;
  std::string text;
  size_t bytes_max = 0;
  bool truncated = false;
};

struct RealHost::Running {
  pid_t pid = 0;
  UniqueFd pidfd;
  UniqueFd gate;  // Open as long as the command is held.
  Output output, error_output;
  bool kill_leftovers = false;
  bool timed_out = false;
  bool killed = false;
  CommandDone done;  // Null once the command was given up.
  WatchId end_watch = WatchId::kNone;
  TimerId timer = TimerId::kNone;  // The deadline, then the end of the grace.
};

RealHost::RealHost(EventLoop& loop, int commands_max)
    : loop_(loop),
      commands_max_(commands_max),
      environment_(OwnEnvironment()),
      users_(loop.clock()),
      scratch_(std::make_unique<char[]>(kReadBytesMax)) {}

RealHost::~RealHost() {
  auto running = std::exchange(running_, {});
  for (auto& [id, command] : running) {
    if (command->kill_leftovers || command->gate.is_open()) {
      KillGroup(command->pid);
    }
    Forget(*command);
    CommandResult ignored;
    Reap(command->pidfd.get(), ignored);
  }
}

absl::StatusOr<StartedCommand> RealHost::RunCommand(const Command& command, Instant deadline,
                                                    CommandDone done) {
  if (static_cast<int>(running_.size()) >= commands_max_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(commands_max_, " commands are running already"));
  }
  UserIdentity user;
  if (!command.user.empty()) {
    ASSIGN_OR_RETURN(user, users_.Find(command.user));
  }
  auto running = std::make_unique<Running>();
  ASSIGN_OR_RETURN(Pipe output, OpenPipe());
  ASSIGN_OR_RETURN(Pipe error_output, OpenPipe());
  Pipe gate;
  if (command.held) {
    ASSIGN_OR_RETURN(gate, OpenGate());
  }
  // Opened for the child's input; closed, it leaves its place to the pidfd, which so cannot
  // fail for want of a descriptor when the program already runs.
  UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null.is_open()) return ErrnoStatus(errno, "/dev/null");

  std::vector<std::string> environment = Merge(environment_, command.environment);
  if (!command.user.empty()) {
    environment = Merge(Merge(environment_, EnvironmentOf(user)), command.environment);
  }
  ASSIGN_OR_RETURN(running->pid, Spawn({.argv = command.argv,
                                        .environment = environment,
                                        .input = null.get(),
                                        .output = output.write_end.get(),
                                        .error_output = error_output.write_end.get(),
                                        .gate = gate.read_end.get(),
                                        .user = command.user.empty() ? nullptr : &user}));
  null.reset();
  running->pidfd.reset(OpenPidfd(running->pid));
  running->gate = std::move(gate.write_end);
  running->output = {.pipe = std::move(output.read_end), .bytes_max = command.output_bytes_max};
  running->error_output = {.pipe = std::move(error_output.read_end),
                           .bytes_max = command.output_bytes_max};
  running->kill_leftovers = command.kill_leftovers;
  running->done = std::move(done);

  const CommandId id{++last_id_};
  const absl::StatusOr<ProcessIdentity> identity = IdentifyProcess(proc(), running->pid);
  const absl::Status status = Watch(id, *running, deadline);
  if (!status.ok() || !identity.ok()) {
    KillGroup(running->pid);
    Forget(*running);
    waitpid(running->pid, nullptr, 0);
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot watch '", command.argv[0],
                     "': ", status.ok() ? identity.status().message() : status.message()));
  }
  running_.emplace(id, std::move(running));
  return StartedCommand{.id = id, .process = *identity};
}

absl::Status RealHost::Watch(CommandId id, Running& running, Instant deadline) {
  if (!running.pidfd.is_open()) return absl::ResourceExhaustedError("no pidfd");
  running.end_watch = loop_.WatchFd(running.pidfd.get(), kReadable, [this, id](int) { Ended(id); });
  if (running.end_watch == WatchId::kNone || !WatchOutput(running.output) ||
      !WatchOutput(running.error_output)) {
    return absl::ResourceExhaustedError("the loop cannot watch another descriptor");
  }
  running.timer = loop_.CallAt(deadline, [this, id] { Kill(id, /*timed_out=*/true); });
  return absl::OkStatus();
}

bool RealHost::WatchOutput(Output& output) {
  fcntl(output.pipe.get(), F_SETFL, O_NONBLOCK);
  // The watch ends before the Output does: by CloseOutput.
  output.watch =
      loop_.WatchFd(output.pipe.get(), kReadable, [this, &output](int) { ReadOutput(output); });
  return output.watch != WatchId::kNone;
}

void RealHost::ReadOutput(Output& output) {
  const ssize_t n = read(output.pipe.get(), scratch_.get(), kReadBytesMax);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return CloseOutput(output);
  const size_t kept = std::min<size_t>(n, output.bytes_max - output.text.size());
  output.text.append(scratch_.get(), kept);
  output.truncated |= kept < static_cast<size_t>(n);
}

void RealHost::DrainOutput(Output& output) {
  if (!output.pipe.is_open()) return;
  // What the pipe can hold is all that can have been written by now; a descendant that goes
  // on writing must not keep us here.
  const int bytes_max = fcntl(output.pipe.get(), F_GETPIPE_SZ);
  for (int bytes = 0; bytes < bytes_max && output.pipe.is_open(); bytes += kReadBytesMax) {
    ReadOutput(output);
  }
  CloseOutput(output);
}

void RealHost::CloseOutput(Output& output) {
  loop_.UnwatchFd(std::exchange(output.watch, WatchId::kNone));
  output.pipe.reset();
}

void RealHost::ReleaseCommand(CommandId id) {
  const auto it = running_.find(id);
  if (it == running_.end() || !it->second->gate.is_open()) return;
  const UniqueFd gate = std::move(it->second->gate);
  if (!it->second->killed) PassGate(gate.get());
}

void RealHost::KillCommand(CommandId id) { Kill(id, /*timed_out=*/false); }

void RealHost::Kill(CommandId id, bool timed_out) {
  const auto it = running_.find(id);
  if (it == running_.end() || it->second->killed) return;
  Running& running = *it->second;
  KillGroup(running.pid);
  running.killed = true;
  running.timed_out = timed_out;
  loop_.CancelTimer(running.timer);
  running.timer = loop_.CallAfter(kKillGrace, [this, id] { GiveUp(id); });
}

void RealHost::Ended(CommandId id) {
  auto node = running_.extract(id);
  const std::unique_ptr<Running> running = std::move(node.mapped());
  // The zombie still holds the process number, so the group cannot be anybody else's.
  if (running->kill_leftovers || running->timed_out) kill(-running->pid, SIGKILL);
  CommandResult result = TakeResult(*running);
  Reap(running->pidfd.get(), result);
  Forget(*running);
  if (running->done) running->done(std::move(result));
}

CommandResult RealHost::TakeResult(Running& running) {
  DrainOutput(running.output);
  DrainOutput(running.error_output);
  CommandResult result;
  result.timed_out = running.timed_out;
  result.truncated = running.output.truncated || running.error_output.truncated;
  result.output = std::move(running.output.text);
  result.error_output = std::move(running.error_output.text);
  return result;
}

void RealHost::GiveUp(CommandId id) {
  Running& running = *running_.at(id);
  CommandResult result = TakeResult(running);
  result.signal = SIGKILL;
  CommandDone done = std::exchange(running.done, nullptr);
  done(std::move(result));
}

void RealHost::Forget(Running& running) {
  loop_.CancelTimer(running.timer);
  loop_.UnwatchFd(running.end_watch);
  CloseOutput(running.output);
  CloseOutput(running.error_output);
  running.gate.reset();
}

absl::StatusOr<int> RealHost::OpenProcess(pid_t pid) {
  const int fd = pid > 0 ? OpenPidfd(pid) : -1;
  if (fd >= 0) return fd;
  if (pid <= 0 || errno == EINVAL) {
    return absl::NotFoundError(absl::StrCat("process ", pid, ": no such process"));
  }
  return ErrnoStatus(errno, absl::StrCat("process ", pid));
}

absl::Status RealHost::SignalProcess(int pidfd, int signal) {
  // glibc 2.36 declares this one, too, without extern "C".
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("signal ", signal));
}

}  // namespace salve
