#include "responders/actions/process_end.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace salve {
namespace {

// How often it is looked who has ended.
constexpr absl::Duration kLookEvery = absl::Milliseconds(20);
// What KILL needs to be seen, where a deadline leaves less than the grace.
constexpr absl::Duration kKillTakes = absl::Seconds(1);
constexpr size_t kPidsToldMax = 20;

}  // namespace

void ProcessEnd::Start(std::vector<HeldProcess> processes, const Options& options, Done done) {
  options_ = options;
  done_ = std::move(done);
  report_ = Report{};
  endings_.clear();
  for (HeldProcess& process : processes) endings_.push_back({.process = std::move(process)});
  next_signal_ = loop_.Now();
  Turn();
}

void ProcessEnd::Turn() {
  const Instant now = loop_.Now();
  Instant next = std::min(now + kLookEvery, options_.deadline);
  bool all_over = true;
  for (Ending& one : endings_) {
    if (!one.is_over) Step(one);
    if (one.is_over) continue;
    all_over = false;
    if (!one.is_signalled) next = std::min(next, next_signal_);
    if (one.is_signalled && !one.is_killed) next = std::min(next, one.kill_at);
  }
  if (!all_over && now < options_.deadline) {
    next_ = loop_.CallAt(next, [this] { Turn(); });
    return;
  }
  for (const Ending& one : endings_) {
    if (!one.is_over) report_.left.push_back(one.process.identity.pid);
  }
  endings_.clear();
  Done done = std::exchange(done_, nullptr);
  done(std::move(report_));
}

void ProcessEnd::Step(Ending& one) {
  const pid_t pid = one.process.identity.pid;
  if (HasEnded(one.process)) {
    one.is_over = true;
    (one.is_killed      ? report_.by_kill
     : one.is_signalled ? report_.by_signal
                        : report_.by_itself)
        .push_back(pid);
    return;
  }
  const Instant now = loop_.Now();
  if (!one.is_signalled && now >= next_signal_ && now < options_.deadline) {
    one.is_signalled = true;
    one.kill_at = std::max(now, std::min(now + options_.grace, options_.deadline - kKillTakes));
    next_signal_ = now + options_.pause;
    Signal(one, options_.signal);
  }
  if (one.is_signalled && !one.is_killed && !one.is_over && now >= one.kill_at) {
    one.is_killed = true;
    Signal(one, SIGKILL);
  }
}

void ProcessEnd::Signal(Ending& one, int signal) {
  const pid_t pid = one.process.identity.pid;
  const absl::Status sent = host_.SignalProcess(one.process.pidfd.get(), signal);
  if (sent.ok() || absl::IsNotFound(sent)) return;  // The next look sees its end.
  one.is_over = true;
  report_.left.push_back(pid);
  report_.error = absl::StrCat("process ", pid, ": ", sent.message());
}

std::string PidsText(const std::vector<pid_t>& pids) {
  const size_t told = std::min(pids.size(), kPidsToldMax);
  std::string text = absl::StrJoin(pids.begin(), pids.begin() + told, ", ");
  if (told < pids.size()) absl::StrAppend(&text, " and ", pids.size() - told, " more");
  return text;
}

std::string ToText(const ProcessEnd::Report& report, const std::string& signal_name) {
  std::vector<std::string> parts;
  const auto add = [&](const std::string& what, const std::vector<pid_t>& pids) {
    if (!pids.empty()) parts.push_back(absl::StrCat(what, ": ", PidsText(pids)));
  };
  add("ended by " + signal_name, report.by_signal);
  add("ended by KILL", report.by_kill);
  add("ended before", report.by_itself);
  add("still there", report.left);
  return absl::StrJoin(parts, "; ");
}

}  // namespace salve
