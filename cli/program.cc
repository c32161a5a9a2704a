#include "cli/program.h"

#include <csignal>
#include <optional>
#include <utility>

#include "base/real_host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "base/uv_loop.h"

namespace salve {
namespace {

constexpr absl::Duration kLongest = absl::Hours(7 * 24);

}  // namespace

absl::StatusOr<ProgramEnd> RunProgram(const std::vector<std::string>& argv) {
  UvLoop loop;
  RealHost host(loop);
  UniqueFd process;
  const auto pass_on = [&] {
    if (process.is_open()) host.SignalProcess(process.get(), SIGTERM).IgnoreError();
  };
  loop.OnSignal(SIGINT, pass_on);  // Before it can come; it is looked at in Run.
  loop.OnSignal(SIGTERM, pass_on);
  std::optional<absl::StatusOr<CommandResult>> ended;
  ASSIGN_OR_RETURN(const StartedCommand started,
                   host.RunCommand({.argv = argv, .kill_leftovers = false}, loop.Now() + kLongest,
                                   [&](absl::StatusOr<CommandResult> result) {
                                     ended = std::move(result);
                                     loop.Stop();
                                   }));
  process.reset(host.OpenProcess(started.process.pid).value_or(-1));
  loop.Run();
  if (!ended.has_value()) return absl::InternalError("the loop ended before the program");
  ASSIGN_OR_RETURN(CommandResult result, *std::move(ended));
  return ProgramEnd{.exit_code = result.signal != 0 ? -result.signal : result.exit_code,
                    .error_output = std::move(result.error_output)};
}

}  // namespace salve
