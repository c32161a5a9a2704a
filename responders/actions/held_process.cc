#include "responders/actions/held_process.h"

#include <poll.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "probes/process_stat.h"

namespace salve {
namespace {

constexpr int kAncestorsMax = 64;

}  // namespace

absl::StatusOr<HeldProcess> HoldProcess(Host& host, const ProcessIdentity& identity) {
  ASSIGN_OR_RETURN(const int pidfd, host.OpenProcess(identity.pid));
  HeldProcess held{.identity = identity, .pidfd = UniqueFd(pidfd)};
  // In this order: while the pidfd is open and the identity is right, the pidfd is of that process.
  ASSIGN_OR_RETURN(const ProcessIdentity now, IdentifyProcess(host.proc(), identity.pid));
  if (now == identity) return held;
  return absl::NotFoundError(absl::StrCat("process ", identity.pid, " is another one by now"));
}

bool HasEnded(const HeldProcess& process) {
  pollfd end = {.fd = process.pidfd.get(), .events = POLLIN, .revents = 0};
  return poll(&end, 1, 0) == 1;
}

std::string WhyProtected(const std::string& proc, pid_t pid) {
  if (pid <= 1) return "is the init process";
  pid_t ancestor = getpid();
  if (pid == ancestor) return "is the agent itself";
  for (int i = 0; i < kAncestorsMax && ancestor > 1; ++i) {
    const absl::StatusOr<ProcessStat> stat = ReadProcessStat(proc, ancestor);
    if (!stat.ok()) break;
    ancestor = stat->parent;
    if (pid == ancestor) return "started the agent";
  }
  return "";
}

}  // namespace salve
