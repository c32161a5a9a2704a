#include "throttling/group_history.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);
// After so long nobody waits for the verdict of a refused attempt any more, and no late packet can
// bring back a withdrawn one.
constexpr absl::Duration kRefusedKept = absl::Minutes(2);
constexpr absl::Duration kWithdrawnKept = absl::Minutes(10);
constexpr size_t kStaleMax = 40;  // A transaction of etcd's holds 128 operations.
// The servers' ideas of the group's time differ a little: nothing is dropped on the edge.
constexpr absl::Duration kPruneMargin = absl::Minutes(10);
constexpr absl::Duration kLeaseAsksAgain = absl::Minutes(1);

absl::Duration OnLine(absl::Time time) { return time - absl::UnixEpoch(); }

AttemptResult ResultOf(absl::string_view name) {
  for (const AttemptResult result : {AttemptResult::kSucceeded, AttemptResult::kTimedOut,
                                     AttemptResult::kCrashed, AttemptResult::kFailed}) {
    if (AttemptResultName(result) == name) return result;
  }
  return AttemptResult::kFailed;
}

Limits LimitsOf(const group::Attempt& value) {
  Limits limits;
  limits.group_minimum_minutes = value.limits().minimum_minutes();
  limits.group_max_in_day = value.limits().max_in_a_day();
  return limits;
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// Keys.

std::string EscapeKeyPart(absl::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '%' || c == '/' || !absl::ascii_isgraph(static_cast<unsigned char>(c))) {
      absl::StrAppendFormat(&escaped, "%%%02X", static_cast<unsigned char>(c));
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

std::string UnescapeKeyPart(absl::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t code = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        absl::SimpleHexAtoi(text.substr(i + 1, 2), &code)) {
      plain.push_back(static_cast<char>(code));
      i += 2;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

GroupKeys::GroupKeys(absl::string_view prefix, absl::string_view group)
    : root_(absl::StrCat(prefix, "/groups/", EscapeKeyPart(group), "/")) {}

std::string GroupKeys::server(absl::string_view name) const {
  return absl::StrCat(servers(), EscapeKeyPart(name));
}
std::string GroupKeys::alive(absl::string_view name) const {
  return absl::StrCat(alives(), EscapeKeyPart(name));
}

std::string GroupKeys::healthy(absl::string_view name) const {
  return absl::StrCat(healthies(), EscapeKeyPart(name));
}
std::string GroupKeys::acceptor(absl::string_view name) const {
  return absl::StrCat(acceptors(), EscapeKeyPart(name));
}
std::string GroupKeys::versions(int protocol) const {
  return absl::StrCat(root_, "version/", protocol, "/");
}
std::string GroupKeys::version(int protocol, absl::string_view name) const {
  return absl::StrCat(versions(protocol), EscapeKeyPart(name));
}

namespace {

std::string KeyPath(RecoveryAction action, absl::string_view resource) {
  const std::string name = action == RecoveryAction::kRebootServer
                               ? "*"
                               : EscapeKeyPart(absl::AsciiStrToLower(resource));
  return absl::StrCat(ActionName(action), "/", name, "/");
}

}  // namespace

std::string GroupKeys::attempts(RecoveryAction action, absl::string_view resource) const {
  return absl::StrCat(root_, "attempts/", KeyPath(action, resource));
}
std::string GroupKeys::running(RecoveryAction action, absl::string_view resource) const {
  return absl::StrCat(all_running(), KeyPath(action, resource));
}
std::string GroupKeys::youngest(RecoveryAction action, absl::string_view resource) const {
  return absl::StrCat(root_, "youngest/", absl::StripSuffix(KeyPath(action, resource), "/"));
}
std::string GroupKeys::AttemptOfRunning(absl::string_view running_key) const {
  return absl::StrCat(root_, "attempts/", absl::StripPrefix(running_key, all_running()));
}

// ---------------------------------------------------------------------------------------------
// The history.

namespace {

// For people.
Attempt AttemptOf(RecoveryAction action, absl::string_view id, const group::Attempt& value) {
  Attempt attempt;
  attempt.id = std::string(id);
  attempt.action = action;
  attempt.resource = value.resource();
  attempt.requester = value.requester();
  attempt.server = value.server();
  attempt.start_wall = TimeOf(value.start());
  attempt.timeout = TimeOf(value.deadline()) - attempt.start_wall;
  attempt.state = value.has_end() ? AttemptState::kFinished : AttemptState::kInProgress;
  if (value.has_end()) {
    attempt.end_wall = TimeOf(value.end());
    attempt.result = ResultOf(value.result());
  }
  return attempt;
}

absl::Status CannotRead(absl::string_view key, const absl::Status& why) {
  return absl::DataLossError(absl::StrCat("the value of ", key, " can't be read: ", why.message()));
}

}  // namespace

absl::StatusOr<GroupHistory> GroupHistory::Read(RecoveryAction action,
                                                const etcdserverpb::RangeResponse& attempts,
                                                const etcdserverpb::RangeResponse& running,
                                                const etcdserverpb::RangeResponse& youngest) {
  if (attempts.more() || attempts.kvs_size() > kAttemptsMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("more than ", kAttemptsMax, " attempts of one key are in etcd"));
  }
  absl::flat_hash_set<std::string> held;
  for (const auto& kv : running.kvs()) {
    held.insert(kv.key().substr(kv.key().rfind('/') + 1));
  }
  GroupHistory history;
  for (const auto& kv : attempts.kvs()) {
    Entry entry;
    entry.key = kv.key();
    if (absl::Status status = ParseAttemptJson(kv.value(), entry.value); !status.ok()) {
      return CannotRead(kv.key(), status);
    }
    entry.created = kv.create_revision();
    entry.changed = kv.mod_revision();
    entry.ghost = entry.value.withdrawn() && entry.changed == entry.created;
    entry.attempt = AttemptOf(action, entry.key.substr(entry.key.rfind('/') + 1), entry.value);
    entry.held = held.contains(entry.attempt.id);
    history.entries_.push_back(std::move(entry));
  }
  RETURN_IF_ERROR(history.AddYoungest(action, youngest));
  std::sort(history.entries_.begin(), history.entries_.end(),
            [](const Entry& a, const Entry& b) { return a.created < b.created; });
  for (Entry& entry : history.entries_) {
    if (entry.ghost) continue;
    // What ran, or asked no one, counts. Of the others the limits tell, as they did to the asker
    // itself: all that it saw is before it in this history.
    if (entry.value.ran() || !entry.value.has_limits()) {
      entry.counts = true;
      continue;
    }
    const GroupQuestion question = {entry.value.server(), TimeOf(entry.value.asked()),
                                    LimitsOf(entry.value), entry.created};
    entry.counts = history.Judge(question).passed;
  }
  return history;
}

absl::Status GroupHistory::AddYoungest(RecoveryAction action,
                                       const etcdserverpb::RangeResponse& youngest) {
  if (youngest.kvs_size() == 0) return absl::OkStatus();
  const auto& kv = youngest.kvs(0);
  group::Youngest copy;
  if (absl::Status status = ParseGroupJson(kv.value(), copy); !status.ok()) {
    return CannotRead(kv.key(), status);
  }
  if (Find(copy.id()) != nullptr) return absl::OkStatus();  // Its own key is still there.
  Entry entry;
  entry.key = kv.key();
  entry.value = std::move(*copy.mutable_attempt());
  entry.created = entry.changed = kv.mod_revision();
  entry.attempt = AttemptOf(action, copy.id(), entry.value);
  entry.copy = true;
  entries_.push_back(std::move(entry));
  return absl::OkStatus();
}

std::vector<const GroupHistory::Entry*> GroupHistory::CountingFor(int64_t revision) const {
  std::vector<const Entry*> counting;
  for (const Entry& entry : entries_) {
    if (entry.created >= revision) break;
    // Who was judged while it stood must not be judged otherwise when it is gone: two servers
    // would come to two verdicts (tests/model/reserve.pml, -DFORGETS).
    const bool gone = entry.value.withdrawn() && entry.changed < revision;
    if (entry.counts && !gone) counting.push_back(&entry);
  }
  return counting;
}

GroupVerdict GroupHistory::Judge(const GroupQuestion& question) const {
  GroupVerdict verdict;
  KeyHistory line;
  FailedCheck running = {Check::kGroupRecoveryInProgress, -1, 0, {}, absl::ZeroDuration()};
  for (const Entry* entry : CountingFor(question.revision)) {
    const absl::Time start = TimeOf(entry->value.start());
    const absl::Time deadline = TimeOf(entry->value.deadline());
    // The asker saw it as it was at its own revision.
    const bool finished = entry->value.has_end() && entry->changed < question.revision;
    const bool over = question.asked >= deadline;
    const absl::Time t = finished ? TimeOf(entry->value.end()) : over ? deadline : start;
    line.AddFinished(OnLine(start), OnLine(t), &entry->attempt);
    if (finished || entry->value.server() == question.server) continue;
    if (over && !entry->held) continue;
    ++running.total;
    if (running.attempts.size() < FailedCheck::kAttemptsMax) {
      running.attempts.push_back(entry->attempt);
    }
    running.passes_in =
        std::max(running.passes_in, over ? kLeaseAsksAgain : deadline - question.asked);
  }
  JudgeGroupLimits(question.limits, line, OnLine(question.asked), verdict);
  if (running.total > 0) {
    verdict.passed = false;
    verdict.recovery_in_progress = true;
    verdict.failed.push_back(Check::kGroupRecoveryInProgress);
    verdict.retry_in = std::max(verdict.retry_in, running.passes_in);
    verdict.explained.push_back(std::move(running));
  }
  return verdict;
}

const GroupHistory::Entry* GroupHistory::Find(absl::string_view id) const {
  for (const Entry& entry : entries_) {
    if (entry.attempt.id == id) return &entry;
  }
  return nullptr;
}

std::vector<Attempt> GroupHistory::Counting() const {
  std::vector<Attempt> counting;
  for (const Entry* entry : CountingFor(std::numeric_limits<int64_t>::max())) {
    counting.push_back(entry->attempt);
  }
  return counting;
}

std::vector<std::string> GroupHistory::Stale(absl::Time now) const {
  std::vector<std::string> stale;
  std::vector<std::pair<absl::Time, const Entry*>> old;
  absl::Duration kept = kDay;  // And the largest minimum that anyone asked with.
  absl::Time youngest = absl::InfinitePast();
  bool refused_remain = false;
  for (const Entry& entry : entries_) {
    const group::Attempt& value = entry.value;
    kept = std::max(kept, absl::Minutes(value.limits().minimum_minutes()));
    const absl::Time asked = TimeOf(value.asked());
    if (value.withdrawn()) continue;
    if (!entry.counts) {
      if (now - asked > kRefusedKept && stale.size() < kStaleMax) {
        stale.push_back(entry.key);
      } else {
        refused_remain = true;
      }
      continue;
    }
    const absl::Time t = value.has_end() ? TimeOf(value.end()) : TimeOf(value.deadline());
    youngest = std::max(youngest, t);
    if (!entry.held && !entry.copy) old.emplace_back(t, &entry);
  }
  // A refused one whose reason is pruned would look allowed: it goes first, then its reasons.
  if (refused_remain) return stale;
  for (const Entry& entry : entries_) {
    if (stale.size() >= kStaleMax) break;
    if (entry.value.withdrawn() && now - TimeOf(entry.value.asked()) > kWithdrawnKept) {
      stale.push_back(entry.key);
    }
  }
  for (const auto& [t, entry] : old) {
    if (stale.size() >= kStaleMax) break;
    if (t < youngest && now - t > kept + kPruneMargin) stale.push_back(entry->key);
  }
  return stale;
}

}  // namespace salve
