// Host: the one door to the machine's processes and files. Stages never fork, signal or open
// /proc themselves. Lives on the loop's thread; no call blocks longer than a local syscall.
// RealHost is in real_host.h, the fake for tests in fake_host.h.
#ifndef SALVE_BASE_HOST_H_
#define SALVE_BASE_HOST_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"

namespace salve {

// A program to run: no shell, its own session and process group, standard input from
// /dev/null, default signal handling, no inherited descriptors.
struct Command {
  std::vector<std::string> argv;         // argv[0] is looked up in PATH when it has no '/'.
  std::vector<std::string> environment;  // "NAME=value", added to the agent's own.
  size_t output_bytes_max = 64 * 1024;   // Of each stream; the rest is read and thrown away.
  // Kills what is left of the process group when the program itself has ended. For looks;
  // an action may rightly leave a daemon behind.
  bool kill_leftovers = true;
  // The child waits, before exec, for ReleaseCommand; it ends by itself, without having run
  // anything, if the agent dies first. So that a pid can be on disk before its effect.
  bool held = false;
  // Runs as this user: its uid, gid and groups, no new privileges, no inherited capabilities,
  // umask 022, with its HOME, USER and LOGNAME. Empty: as the agent, which keeps its own.
  std::string user;
};

struct CommandResult {
  int exit_code = -1;      // -1 when ended by a signal.
  int signal = 0;          // 0 when it exited.
  bool timed_out = false;  // Killed at its deadline.
  bool truncated = false;  // Output was cut.
  std::string output;
  std::string error_output;
};

using CommandDone = absl::AnyInvocable<void(absl::StatusOr<CommandResult>)>;
enum class CommandId : uint64_t { kNone = 0 };

// Which process: a pid can be used again, the pair cannot.
struct ProcessIdentity {
  pid_t pid = 0;
  uint64_t start_ticks = 0;  // Field 22 of /proc/PID/stat.
  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

struct StartedCommand {
  CommandId id;
  ProcessIdentity process;
};

class Host {
 public:
  virtual ~Host() = default;

  // Starts a program. `done` is called exactly once, on the loop, when the program has ended
  // (not when its last descendant closes the pipe) or was killed at `deadline` with its whole
  // process group. Never inside this call. Output is what had arrived by then.
  // Errors: kNotFound: no such program or user; kPermissionDenied: it may not be run, or not as
  //   this user; kResourceExhausted: no process, descriptor or memory for it; kUnavailable: the
  //   user is not known yet.
  virtual absl::StatusOr<StartedCommand> RunCommand(const Command& command, Instant deadline,
                                                    CommandDone done) = 0;
  // Lets a held command run. No effect on others.
  virtual void ReleaseCommand(CommandId id) = 0;
  // Kills the process group now; `done` still follows. No effect when it has ended.
  virtual void KillCommand(CommandId id) = 0;

  // Opens a pidfd: readable when the process has ended. The caller closes it.
  // Errors: kNotFound: there is no such process.
  virtual absl::StatusOr<int> OpenProcess(pid_t pid) = 0;
  // Signals the process of a pidfd, and never another one that has its number by now.
  // Errors: kNotFound: it has ended; kPermissionDenied.
  virtual absl::Status SignalProcess(int pidfd, int signal) = 0;

  // Where /proc is ("/proc"; a folder of the test's in a fake).
  virtual std::string proc() const = 0;
};

// Reads at most `bytes_max` of a file, in one go (files of /proc included).
// Errors: kNotFound, kPermissionDenied, kUnavailable (another I/O error); all name the path.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max = 1 << 20);

// Replaces a file so that a reader, or a crash, sees the old content or the new one: write to
// a neighbour, fsync, rename, fsync the folder. Errors: as ReadFile, kResourceExhausted (full).
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content,
                                 mode_t mode = 0644);

// As WriteFileAtomically, but never replaces one: whether it was made. False: there is one, whoever
// has made it meanwhile; the folder is synced then, too.
absl::StatusOr<bool> MakeFileAtomically(const std::string& path, absl::string_view content,
                                        mode_t mode = 0644);

// The identity of a running process, from PROC/PID/stat. Errors: kNotFound.
absl::StatusOr<ProcessIdentity> IdentifyProcess(const std::string& proc, pid_t pid);

// Kills a process and its group, if it is still the one that is meant. For what an earlier life
// of the agent started. Errors: kNotFound: it has ended; kPermissionDenied.
absl::Status KillProcessGroup(const std::string& proc, const ProcessIdentity& process);

// An errno as a Status: "`what`: No space left on device".
absl::Status ErrnoStatus(int error, absl::string_view what);

}  // namespace salve

#endif  // SALVE_BASE_HOST_H_
