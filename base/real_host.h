// RealHost: this machine's processes. Programs run by posix_spawn; held ones and those of
// another user by fork, where the child waits at a pipe, or changes, before its exec. Their end is
// seen by pidfd on the loop. One thread only: the loop's.
#ifndef SALVE_BASE_REAL_HOST_H_
#define SALVE_BASE_REAL_HOST_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/event_loop.h"
#include "base/host.h"
#include "base/user_table.h"

namespace salve {

class RealHost final : public Host {
 public:
  // At most `commands_max` programs run at a time; beyond it RunCommand answers
  // kResourceExhausted. The environment for the programs is taken here, without what systemd
  // gave to the agent alone (NOTIFY_SOCKET, WATCHDOG_*, LISTEN_*). Requires: `loop` outlives
  // the host, standard input, output and error are open.
  explicit RealHost(EventLoop& loop, int commands_max = 64);
  // Kills the looks (kill_leftovers) and what is still held; leaves actions to themselves.
  // No `done` is called any more.
  ~RealHost() override;
  RealHost(const RealHost&) = delete;
  RealHost& operator=(const RealHost&) = delete;

  // A killed program that does not end within kKillGrace (it hangs in the kernel: a dead NFS
  // server, say) is given up: `done` gets what is known, and until it does end the program
  // counts among commands_max, so that such programs cannot pile up. A held program whose
  // exec fails after its release exits with 126, as under a shell.
  absl::StatusOr<StartedCommand> RunCommand(const Command& command, Instant deadline,
                                            CommandDone done) override;
  void ReleaseCommand(CommandId id) override;
  void KillCommand(CommandId id) override;
  absl::StatusOr<int> OpenProcess(pid_t pid) override;
  absl::Status SignalProcess(int pidfd, int signal) override;
  std::string proc() const override { return "/proc"; }

  // Of Command::user. Who is learnt here first costs no look.
  UserTable& users() { return users_; }
  // Those that run already go on, also if there are more.
  void SetCommandsMax(int commands_max) { commands_max_ = commands_max; }

  static constexpr absl::Duration kKillGrace = absl::Milliseconds(500);

 private:
  struct Output;
  struct Running;

  absl::Status Watch(CommandId id, Running& running, Instant deadline);
  bool WatchOutput(Output& output);
  void ReadOutput(Output& output);
  void DrainOutput(Output& output);
  void CloseOutput(Output& output);
  void Kill(CommandId id, bool timed_out);
  void Ended(CommandId id);
  void GiveUp(CommandId id);
  CommandResult TakeResult(Running& running);
  void Forget(Running& running);

  EventLoop& loop_;
  int commands_max_;
  const std::vector<std::string> environment_;
  UserTable users_;
  const std::unique_ptr<char[]> scratch_;  // For reading output, one pipe at a time.
  uint64_t last_id_ = 0;
  absl::flat_hash_map<CommandId, std::unique_ptr<Running>> running_;
};

}  // namespace salve

#endif  // SALVE_BASE_REAL_HOST_H_
