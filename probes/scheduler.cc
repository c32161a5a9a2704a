#include "probes/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace salve {
namespace {

constexpr size_t kWaitersMax = 1000;

// Kinds keep these bounds themselves; here they are kept for all, so that no kind can fill the
// agent's memory.
void Bound(Observation& observation) {
  if (observation.error.size() > kErrorBytesMax) observation.error.resize(kErrorBytesMax);
  if (observation.values.size() > kValuesMax) observation.values.resize(kValuesMax);
  if (observation.attributes.size() > kAttributesMax) observation.attributes.resize(kAttributesMax);
  for (auto& [name, value] : observation.attributes) {
    if (value.size() > kErrorBytesMax) value.resize(kErrorBytesMax);
  }
}

}  // namespace

absl::Duration PhaseOf(absl::string_view full_name, absl::Duration interval) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : full_name) hash = (hash ^ c) * 0x100000001b3;
  // FNV leaves names that differ only in their last letter a fixed step apart: mix.
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53;
  hash ^= hash >> 33;
  const uint64_t nanos = std::max<int64_t>(absl::ToInt64Nanoseconds(interval), 1);
  return absl::Nanoseconds(hash % nanos);
}

struct ProbeScheduler::Entry {
  // A look is going on from kLooking on; after kHung only the probe does not know that it ended.
  enum class State { kIdle, kLooking, kHung };

  ProbeDefinition definition;
  std::unique_ptr<Probe> probe;
  State state = State::kIdle;
  bool removed = false;
  int calls = 0;  // Calls into, or from, the probe that are on the stack.

  TimerId turn = TimerId::kNone;
  Instant turn_at;

  TimerId soon = TimerId::kNone;  // A look out of turn.
  Instant soon_at;
  bool hinted = false;    // A change came during the look: look once more.
  bool hint_due = false;  // The look out of turn is for a hint.
  Instant last_hint_look = Instant::FromNanosSinceBoot(0);

  uint64_t attempt = 0;  // Tells the answer of this try from a late one.
  TimerId guard = TimerId::kNone;
  TimerId retry = TimerId::kNone;
  Look look;
  std::vector<std::function<void(const Look&)>> waiters;
  ProbeCounters counters;
};

ProbeScheduler::ProbeScheduler(EventLoop& loop, LookDone done)
    : loop_(loop), done_(std::move(done)) {}

ProbeScheduler::~ProbeScheduler() {
  loop_.CancelTimer(burial_);
  for (auto& [name, entry] : entries_) CancelTimers(*entry);
}

void ProbeScheduler::Add(ProbeDefinition definition, std::unique_ptr<Probe> probe) {
  auto owned = std::make_unique<Entry>();
  Entry& entry = *owned;
  const std::string name = FullName(definition);
  entry.definition = std::move(definition);
  entry.probe = std::move(probe);
  CHECK(entries_.emplace(name, std::move(owned)).second);

  if (entry.probe->IsRecurrent()) {
    entry.turn_at =
        loop_.Now() + PhaseOf(name, std::min(entry.definition.interval, kFirstLookWithin));
    ScheduleTurn(entry);
  }
  ++entry.calls;
  entry.probe->Watch([this, &entry] { Hint(entry); });
  --entry.calls;
}

void ProbeScheduler::Remove(const std::string& full_name) {
  auto it = entries_.find(full_name);
  if (it == entries_.end()) return;
  std::unique_ptr<Entry> entry = std::move(it->second);
  entries_.erase(it);
  CancelTimers(*entry);
  entry->removed = true;
  // A probe must not be destroyed below its own feet: it may go on after `done` has returned.
  if (entry->calls > 0) BuryLater(std::move(entry));
}

void ProbeScheduler::BuryLater(std::unique_ptr<Entry> entry) {
  removed_.push_back(std::move(entry));
  if (burial_ != TimerId::kNone) return;
  burial_ = loop_.CallAt(loop_.Now(), [this] {
    burial_ = TimerId::kNone;
    removed_.clear();
  });
}

absl::Status ProbeScheduler::LookNow(const std::string& full_name,
                                     std::function<void(const Look&)> done) {
  Entry* entry = Find(full_name);
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat("no probe '", full_name, "'"));
  if (entry->waiters.size() >= kWaitersMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("probe '", full_name, "': ", kWaitersMax, " callers wait for it already"));
  }
  entry->waiters.push_back(std::move(done));
  if (entry->state != Entry::State::kLooking) LookSoon(*entry, loop_.Now());
  return absl::OkStatus();
}

absl::Status ProbeScheduler::Report(const std::string& full_name, bool passed, std::string error) {
  Entry* entry = Find(full_name);
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat("no probe '", full_name, "'"));
  if (absl::Status status = entry->probe->Report(passed, std::move(error)); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat("probe '", full_name, "': ", status.message()));
  }
  Hint(*entry);
  return absl::OkStatus();
}

ProbeCounters ProbeScheduler::counters(const std::string& full_name) const {
  const Entry* entry = Find(full_name);
  return entry == nullptr ? ProbeCounters{} : entry->counters;
}

uint64_t ProbeScheduler::skipped_total() const { return skipped_; }

ProbeScheduler::Entry* ProbeScheduler::Find(const std::string& full_name) const {
  auto it = entries_.find(full_name);
  return it == entries_.end() ? nullptr : it->second.get();
}

void ProbeScheduler::ScheduleTurn(Entry& entry) {
  entry.turn = loop_.CallAt(entry.turn_at, [this, &entry] { Turn(entry); });
}

void ProbeScheduler::Turn(Entry& entry) {
  // Turns stand on a fixed grid. Those that were missed as a whole (a suspended machine) are
  // not made up for.
  const Instant now = loop_.Now();
  const absl::Duration interval = std::max(entry.definition.interval, absl::Milliseconds(1));
  entry.turn_at = entry.turn_at + interval;
  if (entry.turn_at <= now) {
    entry.turn_at = entry.turn_at + interval * ((now - entry.turn_at) / interval + 1);
  }
  ScheduleTurn(entry);
  if (entry.state != Entry::State::kIdle) {
    ++entry.counters.skipped;
    ++skipped_;
    return;
  }
  BeginLook(entry);
}

void ProbeScheduler::Hint(Entry& entry) {
  if (entry.removed) return;
  if (entry.state != Entry::State::kIdle) {
    entry.hinted = true;
    return;
  }
  entry.hint_due = true;
  LookSoon(entry, std::max(loop_.Now(), entry.last_hint_look + kHintSpacing));
}

// Always by way of the loop: the caller may be the probe itself.
void ProbeScheduler::LookSoon(Entry& entry, Instant when) {
  if (entry.soon != TimerId::kNone) {
    if (entry.soon_at <= when) return;
    loop_.CancelTimer(entry.soon);
  }
  entry.soon_at = when;
  entry.soon = loop_.CallAt(when, [this, &entry] {
    entry.soon = TimerId::kNone;
    const bool hint = std::exchange(entry.hint_due, false);
    if (!hint && entry.waiters.empty()) return;  // A turn came first and answered.
    if (hint) {
      if (entry.state == Entry::State::kIdle) {
        entry.last_hint_look = loop_.Now();
      } else {
        entry.hinted = true;
      }
    }
    if (entry.state == Entry::State::kIdle) {
      BeginLook(entry);
    } else if (entry.state == Entry::State::kHung) {
      Look look;
      look.start = loop_.Now();
      look.wall_start = loop_.clock().WallNow();
      look.observation = Rejected("the look before, long past its deadline, has not ended yet");
      ++entry.calls;
      for (auto& waiter : std::exchange(entry.waiters, {})) waiter(look);
      --entry.calls;
    }
  });
}

void ProbeScheduler::BeginLook(Entry& entry) {
  entry.state = Entry::State::kLooking;
  entry.look = Look{};
  entry.look.start = loop_.Now();
  entry.look.wall_start = loop_.clock().WallNow();
  StartTry(entry);
}

void ProbeScheduler::StartTry(Entry& entry) {
  const Instant deadline = loop_.Now() + entry.definition.timeout;
  const uint64_t attempt = ++entry.attempt;
  entry.guard = loop_.CallAt(deadline + kGrace, [this, &entry] { GiveUp(entry); });
  ++entry.calls;
  entry.probe->Start(deadline, [this, &entry, attempt](Observation observation) {
    TryEnded(entry, attempt, std::move(observation));
  });
  --entry.calls;
}

void ProbeScheduler::TryEnded(Entry& entry, uint64_t attempt, Observation observation) {
  if (entry.removed || attempt != entry.attempt) return;
  if (entry.state == Entry::State::kHung) {
    entry.state = Entry::State::kIdle;
    if (std::exchange(entry.hinted, false)) Hint(entry);
    return;
  }
  loop_.CancelTimer(std::exchange(entry.guard, TimerId::kNone));
  if (observation.outcome == Outcome::kTimedOut &&
      entry.look.retries < entry.definition.max_retry_attempts) {
    ++entry.look.retries;
    entry.retry = loop_.CallAt(loop_.Now(), [this, &entry] {
      entry.retry = TimerId::kNone;
      StartTry(entry);
    });
    return;
  }
  entry.state = Entry::State::kIdle;
  FinishLook(entry, std::move(observation));
}

void ProbeScheduler::GiveUp(Entry& entry) {
  entry.guard = TimerId::kNone;
  entry.state = Entry::State::kHung;
  FinishLook(entry, TimedOut(absl::StrCat("the probe has not ended ", absl::FormatDuration(kGrace),
                                          " after its deadline")));
}

void ProbeScheduler::FinishLook(Entry& entry, Observation observation) {
  Look look = std::move(entry.look);
  look.observation = std::move(observation);
  Bound(look.observation);
  look.duration = loop_.Now() - look.start;
  ++entry.counters.looks;
  // Who asks for a look from now on wants one that starts from now on.
  auto waiters = std::exchange(entry.waiters, {});
  ++entry.calls;
  done_(entry.definition, look);
  for (auto& waiter : waiters) {
    if (entry.removed) break;
    waiter(look);
  }
  --entry.calls;
  if (!entry.removed && entry.state == Entry::State::kIdle && entry.hinted) {
    entry.hinted = false;
    Hint(entry);
  }
}

void ProbeScheduler::CancelTimers(Entry& entry) {
  for (TimerId* timer : {&entry.turn, &entry.soon, &entry.guard, &entry.retry}) {
    loop_.CancelTimer(std::exchange(*timer, TimerId::kNone));
  }
}

}  // namespace salve
