#include "throttling/ledger.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "channels/set_aside.h"
#include "throttling/ledger_line.h"
#include "throttling/ledger_store.h"

namespace salve {
namespace {

constexpr absl::Duration kKeptFor = absl::Hours(24 * 30);  // For `action list`.
constexpr absl::Duration kKeptAtLeast = absl::Hours(24);   // The longest window.
constexpr size_t kDroppedAtOnce = 200;
constexpr size_t kDroppedAtOnceWhenNearlyFull = 2'000;
constexpr size_t kNearlyFull = Ledger::kAttemptsMax / 10 * 9;
constexpr size_t kEffectBytesMax = 4096;
constexpr int kWritesBetweenCheckpoints = 200;

constexpr char kWayOut[] =
    "; nothing is throttled rightly without it, so the agent does not start. Bring the file "
    "back, or start once with --accept-ledger-loss: that sets it aside and begins a new one, and "
    "the attempts so far no longer count";

struct KeyName {
  RecoveryAction action;
  std::string resource;  // In lower case.

  template <typename H>
  friend H AbslHashValue(H h, const KeyName& key) {
    return H::combine(std::move(h), key.action, key.resource);
  }
  friend auto operator<=>(const KeyName&, const KeyName&) = default;
};

KeyName KeyOf(RecoveryAction action, absl::string_view resource) {
  return {action, absl::AsciiStrToLower(resource)};
}

struct Loaded {
  std::unique_ptr<LedgerStore> store;
  std::vector<BootRow> boots;
  std::vector<AttemptRow> attempts;
  std::string loss_accepted;
};

absl::StatusOr<Loaded> OpenStore(const std::string& path) {
  Loaded loaded;
  ASSIGN_OR_RETURN(loaded.store, LedgerStore::Open(path, loaded.boots, loaded.attempts));
  return loaded;
}

absl::StatusOr<Loaded> LoadOrSetAside(const LedgerOptions& options, absl::Time now) {
  const bool is_there = access(options.path.c_str(), F_OK) == 0;
  absl::Status loss;
  if (!is_there && options.events_db_exists) {
    loss = absl::DataLossError(
        absl::StrCat(options.path, ": is missing, but events.db is there: it was lost"));
  } else {
    absl::StatusOr<Loaded> loaded = OpenStore(options.path);
    if (!absl::IsDataLoss(loaded.status())) return loaded;
    loss = loaded.status();
  }
  if (!options.accept_loss) {
    return absl::DataLossError(absl::StrCat(loss.message(), kWayOut));
  }
  std::string where;
  if (is_there) {
    ASSIGN_OR_RETURN(const std::string aside, SetAside(options.path, now));
    where = absl::StrCat("; set aside as ", aside);
  }
  ASSIGN_OR_RETURN(Loaded begun, OpenStore(options.path));
  begun.loss_accepted =
      absl::StrCat(loss.message(), where, "; a new ledger was begun, earlier attempts no longer ",
                   "count (--accept-ledger-loss)");
  return begun;
}

class SqliteLedger final : public Ledger {
 public:
  SqliteLedger(LedgerOptions options, EventLoop& loop, Worker& worker, Loaded loaded)
      : options_(std::move(options)),
        loop_(loop),
        worker_(worker),
        store_(std::move(loaded.store)),
        loss_accepted_(std::move(loaded.loss_accepted)),
        line_(loaded.boots, loaded.attempts, options_.boot_id, loop.Now()) {
    for (AttemptRow& row : loaded.attempts) {
      const int64_t number = row.number;
      line_.SetBootIds(row);
      Record& record = records_[number];
      record.row = std::move(row);
      Index(record.row);
    }
    line_.Look(loop_.Now(), loop_.clock().WallNow(), options_.clock_is_synchronised());
    RebuildHistories();
  }

  ~SqliteLedger() override {
    alive_.reset();
    Mutex mu;
    CondVar closed_or_not;
    bool closed = false;
    worker_.Post([&] {
      store_.reset();
      MutexLock lock(&mu);
      closed = true;
      closed_or_not.SignalAll();
    });
    MutexLock lock(&mu);
    while (!closed) closed_or_not.Wait(&mu);
  }

  absl::Status WriteFirstHeartbeat() { return store_->WriteBoot(line_.RunningBoot()); }

  Attempt NewAttempt(RecoveryAction action, absl::string_view resource, absl::string_view requester,
                     absl::Duration timeout) override {
    Attempt attempt;
    attempt.start_wall = loop_.clock().WallNow();
    attempt.id = NewId(attempt.start_wall, random_);
    attempt.action = action;
    attempt.resource = std::string(resource);
    attempt.requester = std::string(requester);
    attempt.server = options_.server;
    attempt.boot_id = options_.boot_id;
    attempt.start = loop_.Now();
    attempt.timeout = timeout;
    return attempt;
  }

  void Begin(const Attempt& attempt, LedgerDone done) override {
    CHECK(!numbers_.contains(attempt.id));
    if (records_.size() >= kAttemptsMax) {
      Answer(std::move(done),
             absl::ResourceExhaustedError(absl::StrCat(options_.path, ": holds ", kAttemptsMax,
                                                       " attempts, all too young to be dropped")));
      return;
    }
    const int64_t number = records_.empty() ? 1 : records_.rbegin()->first + 1;
    Record& record = records_[number];
    record.row.number = number;
    record.row.attempt = attempt;
    record.row.boot = line_.RunningBoot().number;
    Index(record.row);
    AddToHistory(record.row);
    WriteRow(record.row, "ledger.begin.before", "ledger.begin.after",
             [this, number, done = std::move(done)](absl::Status status) mutable {
               if (!status.ok()) Forget(number);
               done(std::move(status));
             });
  }

  void SetEffect(const std::string& id, absl::string_view effect, LedgerDone done) override {
    Record* record = RunningRecord(id);
    if (record == nullptr) return AnswerNotFound(id, std::move(done));
    record->row.attempt.effect = std::string(effect.substr(0, kEffectBytesMax));
    WriteRow(record->row, "ledger.effect.before", "ledger.effect.after", std::move(done));
  }

  void Finish(const std::string& id, AttemptResult result, LedgerDone done) override {
    Record* record = RunningRecord(id);
    if (record == nullptr) return AnswerNotFound(id, std::move(done));
    Attempt& attempt = record->row.attempt;
    absl::Duration end = Now();
    if (result == AttemptResult::kCrashed) {
      end = std::min(end, line_.StartOf(record->row) + attempt.timeout);
    }
    attempt.state = AttemptState::kFinished;
    attempt.result = result;
    attempt.end_wall = WallOfOrigin() + end;
    attempt.end = Instant::FromNanosSinceBoot(absl::ToInt64Nanoseconds(end));
    attempt.end_boot_id = options_.boot_id;
    record->row.end_boot = line_.RunningBoot().number;
    HistoryOf(attempt).Finish(&attempt, end);
    const int64_t number = record->row.number;
    WriteRow(record->row, "ledger.finish.before", "ledger.finish.after",
             [this, number, done = std::move(done)](absl::Status status) mutable {
               if (!status.ok()) unwritten_.push_back(number);
               done(std::move(status));
             });
  }

  void Heartbeat(LedgerDone done) override {
    if (line_.Look(loop_.Now(), loop_.clock().WallNow(), options_.clock_is_synchronised())) {
      RebuildHistories();
    }
    Upkeep upkeep;
    upkeep.boot = line_.RunningBoot();
    upkeep.drop = DropOld();
    const std::vector<int64_t> unwritten = std::exchange(unwritten_, {});
    for (const int64_t number : unwritten) {
      const auto record = records_.find(number);
      if (record != records_.end()) upkeep.unwritten.push_back(record->second.row);
    }
    upkeep.checkpoint = writes_since_checkpoint_ >= kWritesBetweenCheckpoints;
    if (upkeep.checkpoint) writes_since_checkpoint_ = 0;
    Work([store = store_.get(), upkeep = std::move(upkeep)] { return store->Keep(upkeep); },
         [this, unwritten, done = std::move(done)](absl::Status status) mutable {
           if (!status.ok()) {
             unwritten_.insert(unwritten_.end(), unwritten.begin(), unwritten.end());
           }
           done(std::move(status));
         });
  }

  const Attempt* Find(const std::string& id) const override {
    const auto number = numbers_.find(id);
    return number == numbers_.end() ? nullptr : &records_.at(number->second).row.attempt;
  }

  std::vector<const Attempt*> Unfinished() const override {
    std::vector<const Attempt*> unfinished;
    for (const auto& [number, record] : records_) {
      const Attempt& attempt = record.row.attempt;
      if (attempt.state == AttemptState::kInProgress) unfinished.push_back(&attempt);
    }
    return unfinished;
  }

  std::vector<const Attempt*> List(const RecoveryAction* action, absl::string_view resource,
                                   absl::Time since, size_t limit) const override {
    std::vector<const Attempt*> found;
    for (auto it = records_.rbegin(); it != records_.rend() && found.size() < limit; ++it) {
      const Attempt& attempt = it->second.row.attempt;
      if (attempt.start_wall < since || (action != nullptr && attempt.action != *action)) continue;
      if (!resource.empty() && !absl::EqualsIgnoreCase(attempt.resource, resource)) continue;
      found.push_back(&attempt);
    }
    std::reverse(found.begin(), found.end());
    return found;
  }

  std::vector<const Attempt*> OfRequester(absl::string_view prefix) const override {
    std::vector<const Attempt*> found;
    for (auto it = requesters_.lower_bound({prefix, 0});
         it != requesters_.end() && absl::StartsWith(it->first, prefix); ++it) {
      found.push_back(&records_.at(it->second).row.attempt);
    }
    return found;
  }

  std::vector<Key> Keys() const override {
    std::map<KeyName, std::string> sorted;
    for (const auto& [name, kept] : keys_) {
      if (!kept.history.empty()) sorted[name] = kept.resource;
    }
    std::vector<Key> keys;
    for (auto& [name, resource] : sorted) keys.push_back({name.action, std::move(resource)});
    return keys;
  }

  const KeyHistory& History(RecoveryAction action, absl::string_view resource) const override {
    const auto key = keys_.find(KeyOf(action, resource));
    return key == keys_.end() ? empty_ : key->second.history;
  }

  absl::Duration Now() const override { return absl::Nanoseconds(loop_.Now().nanos_since_boot()); }
  absl::Time WallOfOrigin() const override { return loop_.clock().WallNow() - Now(); }

  absl::Duration AgeOf(const Attempt& attempt) const override {
    const auto number = numbers_.find(attempt.id);
    if (number == numbers_.end()) return absl::ZeroDuration();
    const AttemptRow& row = records_.at(number->second).row;
    const bool is_finished = row.attempt.state == AttemptState::kFinished;
    return std::max(absl::ZeroDuration(),
                    Now() - (is_finished ? line_.EndOf(row) : line_.StartOf(row)));
  }

  void SetLargestMinimum(absl::Duration minimum) override { largest_minimum_ = minimum; }
  absl::Status Health() const override { return health_; }
  const std::string& LossAccepted() const override { return loss_accepted_; }

 private:
  struct Record {
    AttemptRow row;
  };
  struct KeptKey {
    KeyHistory history;
    std::string resource;  // As last given.
  };

  void Index(const AttemptRow& row) {
    numbers_[row.attempt.id] = row.number;
    requesters_.emplace(row.attempt.requester, row.number);
  }

  KeyHistory& HistoryOf(const Attempt& attempt) {
    return keys_[KeyOf(attempt.action, attempt.resource)].history;
  }

  void AddToHistory(const AttemptRow& row) {
    KeptKey& key = keys_[KeyOf(row.attempt.action, row.attempt.resource)];
    key.resource = row.attempt.resource;
    const absl::Duration start = line_.StartOf(row);
    if (row.attempt.state == AttemptState::kFinished) {
      key.history.AddFinished(start, line_.EndOf(row), &row.attempt);
    } else {
      key.history.AddRunning(start, start + row.attempt.timeout, &row.attempt);
    }
  }

  void RebuildHistories() {
    keys_.clear();
    for (const auto& [number, record] : records_) AddToHistory(record.row);
  }

  Record* RunningRecord(const std::string& id) {
    const auto number = numbers_.find(id);
    if (number == numbers_.end()) return nullptr;
    Record& record = records_.at(number->second);
    return record.row.attempt.state == AttemptState::kInProgress ? &record : nullptr;
  }

  void Forget(int64_t number) {
    const auto record = records_.find(number);
    if (record == records_.end()) return;
    const Attempt& attempt = record->second.row.attempt;
    const auto key = keys_.find(KeyOf(attempt.action, attempt.resource));
    key->second.history.Remove(&attempt);
    if (key->second.history.empty()) keys_.erase(key);
    numbers_.erase(attempt.id);
    requesters_.erase({attempt.requester, number});
    records_.erase(record);
  }

  // Takes some of the attempts that are no longer needed out of memory; returns their numbers.
  std::vector<int64_t> DropOld() {
    const bool nearly_full = records_.size() >= kNearlyFull;
    const absl::Duration kept_for =
        std::max({nearly_full ? kKeptAtLeast : kKeptFor, kKeptAtLeast, largest_minimum_});
    const size_t at_most = nearly_full ? kDroppedAtOnceWhenNearlyFull : kDroppedAtOnce;
    const absl::Duration now = Now();
    std::vector<int64_t> drop;
    for (const auto& [number, record] : records_) {
      if (drop.size() >= at_most || now - line_.StartOf(record.row) <= kept_for) break;
      const Attempt& attempt = record.row.attempt;
      if (attempt.state != AttemptState::kFinished || now - line_.EndOf(record.row) <= kept_for)
        continue;
      // The minimum distance is measured from the youngest, however long ago that was.
      const bool is_youngest = HistoryOf(attempt).finished().back().attempt == &attempt;
      if (!is_youngest) drop.push_back(number);
    }
    for (const int64_t number : drop) Forget(number);
    return drop;
  }

  void Answer(LedgerDone done, absl::Status status) {
    loop_.Post([alive = std::weak_ptr<bool>(alive_), done = std::move(done),
                status = std::move(status)]() mutable {
      if (!alive.expired()) done(std::move(status));
    });
  }
  void AnswerNotFound(const std::string& id, LedgerDone done) {
    Answer(std::move(done), absl::NotFoundError(absl::StrCat("no attempt ", id, " in progress")));
  }

  // Runs `work` on the worker, then `done` here with what it gave.
  void Work(absl::AnyInvocable<absl::Status()> work, LedgerDone done) {
    ++writes_since_checkpoint_;
    worker_.Post([this, loop = &loop_, alive = std::weak_ptr<bool>(alive_), work = std::move(work),
                  done = std::move(done)]() mutable {
      absl::Status status = work();
      loop->Post([this, alive = std::move(alive), done = std::move(done),
                  status = std::move(status)]() mutable {
        if (alive.expired()) return;
        NoteHealth(status);
        done(std::move(status));
      });
    });
  }

  void WriteRow(const AttemptRow& row, const char* fault_before, const char* fault_after,
                LedgerDone done) {
    Work(
        [store = store_.get(), row, fault_before, fault_after] {
          FaultPoint(fault_before);
          absl::Status status = store->Write(row);
          FaultPoint(fault_after);
          return status;
        },
        std::move(done));
  }

  void NoteHealth(const absl::Status& status) {
    // Said when it changes: a full disk would fill the journal too.
    if (status.ok() != health_.ok()) {
      if (status.ok()) {
        LogInfo(absl::StrCat(options_.path, ": can be written again"));
      } else {
        LogError(
            absl::StrCat("the ledger can't be written, actions are refused: ", status.message()));
      }
    }
    health_ = status;
  }

  const LedgerOptions options_;
  EventLoop& loop_;
  Worker& worker_;
  std::unique_ptr<LedgerStore> store_;  // Used and closed on the worker only.
  const std::string loss_accepted_;
  RandomSource random_ = SystemRandom();
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  LedgerLine line_;

  std::map<int64_t, Record> records_;  // By number: oldest first. Their addresses stay.
  absl::flat_hash_map<std::string, int64_t> numbers_;
  absl::btree_set<std::pair<absl::string_view, int64_t>>
      requesters_;  // The texts are the records'.
  absl::flat_hash_map<KeyName, KeptKey> keys_;
  const KeyHistory empty_;
  std::vector<int64_t> unwritten_;  // Finished, but that is not on disk yet.

  absl::Duration largest_minimum_;
  absl::Status health_;
  int writes_since_checkpoint_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Open(LedgerOptions options, EventLoop& loop,
                                                     Worker& worker) {
  ASSIGN_OR_RETURN(Loaded loaded, LoadOrSetAside(options, loop.clock().WallNow()));
  auto ledger = std::make_unique<SqliteLedger>(std::move(options), loop, worker, std::move(loaded));
  RETURN_IF_ERROR(ledger->WriteFirstHeartbeat());
  return ledger;
}

}  // namespace salve
