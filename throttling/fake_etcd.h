// An etcd in memory for tests: transactions, leases and watches with etcd's own semantics, on the
// loop's clock. One FakeEtcd is the cluster; each server of a test has its own FakeEtcdClient,
// whose network can be cut, lose answers or delay requests.
#ifndef SALVE_THROTTLING_FAKE_ETCD_H_
#define SALVE_THROTTLING_FAKE_ETCD_H_

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "throttling/etcd_client.h"

namespace salve {

class FakeEtcd {
 public:
  explicit FakeEtcd(EventLoop& loop) : loop_(loop) {}

  bool down = false;
  absl::Duration clock_offset;  // Of its wall clock against the loop's.
  int transactions = 0;         // Those that wrote.
  int reads = 0;
  int keep_alives = 0;
  size_t largest_key = 0;
  size_t largest_value = 0;
  size_t largest_answer = 0;

  const std::map<std::string, etcdserverpb::KeyValue>& kvs() const { return kvs_; }

  absl::Time Date() const {
    return absl::FromUnixSeconds(absl::ToUnixSeconds(loop_.clock().WallNow() + clock_offset));
  }

  etcdserverpb::TxnResponse Apply(const etcdserverpb::TxnRequest& request) {
    ExpireLeases();
    etcdserverpb::TxnResponse response;
    response.set_succeeded(
        std::all_of(request.compare().begin(), request.compare().end(),
                    [this](const etcdserverpb::Compare& compare) { return Holds(compare); }));
    std::vector<etcdserverpb::Event> events;
    const auto& ops = response.succeeded() ? request.success() : request.failure();
    const int64_t before = revision_;
    for (const auto& op : ops) Do(op, events, *response.add_responses());
    ++(events.empty() ? reads : transactions);
    if (!events.empty()) revision_ = before + 1;
    response.mutable_header()->set_revision(revision_);
    largest_answer = std::max(largest_answer, response.ByteSizeLong());
    Tell(events);
    return response;
  }

  int64_t Grant(absl::Duration ttl) {
    const int64_t id = ++last_lease_;
    leases_[id] = {ttl, loop_.Now() + ttl};
    earliest_end_ = std::min(earliest_end_, loop_.Now() + ttl);
    loop_.CallAfter(ttl, [this] { ExpireLeases(); });
    return id;
  }
  bool KeepAlive(int64_t id) {
    ++keep_alives;
    ExpireLeases();
    const auto lease = leases_.find(id);
    if (lease == leases_.end()) return false;
    lease->second.ends = loop_.Now() + lease->second.ttl;
    loop_.CallAfter(lease->second.ttl, [this] { ExpireLeases(); });
    return true;
  }
  void RevokeAllLeases() {
    for (auto& [id, lease] : leases_) lease.ends = loop_.Now();
    earliest_end_ = loop_.Now();
    ExpireLeases();
  }

  using OnEvents = std::function<void(const etcdserverpb::WatchResponse&)>;
  int AddWatch(std::string key, std::string end, OnEvents on_events) {
    KeyRange range = {std::move(key), std::move(end)};
    if (!range.second.empty()) watched_ranges_.insert(range);
    watched_[range].insert(++last_watch_);
    watches_[last_watch_] = {std::move(range), std::move(on_events)};
    return last_watch_;
  }
  void RemoveWatch(int id) {
    const auto watch = watches_.find(id);
    if (watch == watches_.end()) return;
    std::set<int>& ids = watched_[watch->second.range];
    ids.erase(id);
    if (ids.empty()) {
      watched_ranges_.erase(watch->second.range);
      watched_.erase(watch->second.range);
    }
    watches_.erase(watch);
  }

 private:
  using KeyRange = std::pair<std::string, std::string>;  // Its end is empty: one key.
  struct LeaseState {
    absl::Duration ttl;
    Instant ends;
  };
  struct WatchState {
    KeyRange range;
    OnEvents on_events;
  };

  bool Holds(const etcdserverpb::Compare& compare) const {
    if (compare.range_end().empty()) {
      const auto found = kvs_.find(compare.key());
      return Holds(compare, found == kvs_.end() ? nullptr : &found->second);
    }
    // Each key of the range, or the one that is not there.
    auto it = kvs_.lower_bound(compare.key());
    if (it == kvs_.end() || !In(it->first, compare)) return Holds(compare, nullptr);
    for (; it != kvs_.end() && In(it->first, compare); ++it) {
      if (!Holds(compare, &it->second)) return false;
    }
    return true;
  }
  static bool Holds(const etcdserverpb::Compare& compare, const etcdserverpb::KeyValue* found) {
    const etcdserverpb::KeyValue none;
    const etcdserverpb::KeyValue& kv = found == nullptr ? none : *found;
    // Below, equal or above: -1, 0 or 1.
    const auto order = [](const auto& is, const auto& wanted) {
      return is < wanted ? -1 : is == wanted ? 0 : 1;
    };
    int is = 0;
    switch (compare.target()) {
      case etcdserverpb::Compare::CREATE:
        is = order(kv.create_revision(), compare.create_revision());
        break;
      case etcdserverpb::Compare::MOD:
        is = order(kv.mod_revision(), compare.mod_revision());
        break;
      case etcdserverpb::Compare::VERSION:
        is = order(kv.version(), compare.version());
        break;
      case etcdserverpb::Compare::LEASE:
        is = order(kv.lease(), compare.lease());
        break;
      default:
        if (found == nullptr) return false;  // etcd's rule for values.
        is = order(kv.value(), compare.value());
        break;
    }
    switch (compare.result()) {
      case etcdserverpb::Compare::NOT_EQUAL:
        return is != 0;
      case etcdserverpb::Compare::LESS:
        return is < 0;
      case etcdserverpb::Compare::GREATER:
        return is > 0;
      default:
        return is == 0;
    }
  }

  void Do(const etcdserverpb::RequestOp& op, std::vector<etcdserverpb::Event>& events,
          etcdserverpb::ResponseOp& out) {
    if (op.has_request_put()) {
      const auto& put = op.request_put();
      etcdserverpb::KeyValue& kv = kvs_[put.key()];
      kv.set_key(put.key());
      if (kv.version() == 0) {
        kv.set_create_revision(revision_ + 1);
        ChangeCounts(put.key(), 1);
      }
      kv.set_mod_revision(revision_ + 1);
      kv.set_version(kv.version() + 1);
      kv.set_value(put.value());
      kv.set_lease(put.lease());
      largest_key = std::max(largest_key, put.key().size());
      largest_value = std::max(largest_value, put.value().size());
      auto& event = events.emplace_back();
      *event.mutable_kv() = kv;
      out.mutable_response_put();
    } else if (op.has_request_delete_range()) {
      const auto& range = op.request_delete_range();
      int64_t deleted = 0;
      for (auto it = kvs_.lower_bound(range.key()); it != kvs_.end() && In(it->first, range);) {
        it = Erase(it, events);
        ++deleted;
      }
      out.mutable_response_delete_range()->set_deleted(deleted);
    } else if (op.has_request_txn()) {
      const auto& txn = op.request_txn();
      auto& answer = *out.mutable_response_txn();
      answer.set_succeeded(
          std::all_of(txn.compare().begin(), txn.compare().end(),
                      [this](const etcdserverpb::Compare& compare) { return Holds(compare); }));
      for (const auto& one : answer.succeeded() ? txn.success() : txn.failure()) {
        Do(one, events, *answer.add_responses());
      }
    } else {
      const auto& range = op.request_range();
      auto& answer = *out.mutable_response_range();
      if (range.count_only()) {
        answer.set_count(Count(range));
        return;
      }
      for (auto it = kvs_.lower_bound(range.key()); it != kvs_.end() && In(it->first, range);
           ++it) {
        answer.set_count(answer.count() + 1);
        if (range.limit() != 0 && answer.kvs_size() >= range.limit()) {
          answer.set_more(true);
        } else {
          *answer.add_kvs() = it->second;
          if (range.keys_only()) answer.mutable_kvs()->rbegin()->clear_value();
        }
      }
    }
  }

  static bool Covers(const KeyRange& range, const std::string& key) {
    return range.second.empty() ? key == range.first : key >= range.first && key < range.second;
  }
  template <typename Range>
  static bool In(const std::string& key, const Range& range) {
    return range.range_end().empty() ? key == range.key() : key < range.range_end();
  }
  using Kvs = std::map<std::string, etcdserverpb::KeyValue>;
  Kvs::iterator Erase(Kvs::iterator at, std::vector<etcdserverpb::Event>& events) {
    auto& event = events.emplace_back();
    event.set_type(etcdserverpb::Event::DELETE);
    event.mutable_kv()->set_key(at->first);
    ChangeCounts(at->first, -1);
    return kvs_.erase(at);
  }

  // A fleet counts the same few ranges again and again: their counts are kept up to date.
  int64_t Count(const etcdserverpb::RangeRequest& range) {
    const auto [count, is_new] = counts_.try_emplace({range.key(), range.range_end()}, 0);
    if (is_new) {
      for (auto it = kvs_.lower_bound(range.key()); it != kvs_.end() && In(it->first, range);
           ++it) {
        ++count->second;
      }
    }
    return count->second;
  }
  void ChangeCounts(const std::string& key, int change) {
    for (auto& [range, count] : counts_) {
      if (Covers(range, key)) count += change;
    }
  }

  void ExpireLeases() {
    if (loop_.Now() < earliest_end_) return;
    earliest_end_ = Instant::InfiniteFuture();
    std::vector<etcdserverpb::Event> events;
    for (auto lease = leases_.begin(); lease != leases_.end();) {
      if (lease->second.ends > loop_.Now()) {
        earliest_end_ = std::min(earliest_end_, lease->second.ends);
        ++lease;
        continue;
      }
      for (auto kv = kvs_.begin(); kv != kvs_.end();) {
        if (kv->second.lease() == lease->first) {
          kv = Erase(kv, events);
        } else {
          ++kv;
        }
      }
      lease = leases_.erase(lease);
    }
    if (!events.empty()) ++revision_;
    Tell(events);
  }

  void Tell(const std::vector<etcdserverpb::Event>& events) {
    std::map<int, etcdserverpb::WatchResponse> responses;
    const auto tell = [&responses](const std::set<int>& ids, const etcdserverpb::Event& event) {
      for (const int id : ids) *responses[id].add_events() = event;
    };
    for (const auto& event : events) {
      const std::string& key = event.kv().key();
      if (const auto one = watched_.find({key, ""}); one != watched_.end())
        tell(one->second, event);
      for (const KeyRange& range : watched_ranges_) {
        if (Covers(range, key)) tell(watched_.at(range), event);
      }
    }
    // Whoever is told may end watches.
    std::vector<std::pair<OnEvents, etcdserverpb::WatchResponse>> told;
    for (auto& [id, response] : responses) {
      response.mutable_header()->set_revision(revision_);
      told.emplace_back(watches_.at(id).on_events, std::move(response));
    }
    for (const auto& [on_events, response] : told) on_events(response);
  }

  EventLoop& loop_;
  int64_t revision_ = 1;
  int64_t last_lease_ = 100;
  int last_watch_ = 0;
  std::map<int64_t, LeaseState> leases_;
  Instant earliest_end_ = Instant::InfiniteFuture();  // No lease lapses before.
  Kvs kvs_;
  std::map<KeyRange, int64_t> counts_;  // Of the ranges that were counted.
  std::map<int, WatchState> watches_;
  std::map<KeyRange, std::set<int>> watched_;  // The watches of each key and range.
  std::set<KeyRange> watched_ranges_;          // Those of watched_ that are no single key.
};

class FakeEtcdClient final : public EtcdClient {
 public:
  FakeEtcdClient(EventLoop& loop, FakeEtcd& etcd) : loop_(loop), etcd_(etcd) {}
  ~FakeEtcdClient() override {
    for (const auto& [id, watch] : watches_) etcd_.RemoveWatch(watch.id);
  }

  bool cut = false;       // Nothing gets through, in either direction.
  int lose_requests = 0;  // The next so many never arrive.
  int lose_answers = 0;   // The next so many are done, but nobody hears of it.
  int late_requests = 0;  // The next so many are given up, and arrive all the same later.
  absl::Duration latency = absl::Milliseconds(1);  // Of each way.
  absl::Duration retry_after = absl::Milliseconds(500);

  void Txn(etcdserverpb::TxnRequest request, Instant deadline,
           absl::AnyInvocable<void(absl::StatusOr<EtcdTxn>)> done) override {
    auto call = std::make_shared<Call>();
    call->request = std::move(request);
    call->deadline = deadline;
    call->done = std::move(done);
    Try(call);
  }
  void GrantLease(absl::Duration ttl, Instant deadline,
                  absl::AnyInvocable<void(absl::StatusOr<int64_t>)> done) override {
    Simple<absl::StatusOr<int64_t>>(deadline, std::move(done), [this, ttl] {
      return absl::StatusOr<int64_t>(etcd_.Grant(ttl));
    });
  }
  void KeepAlive(int64_t lease, Instant deadline,
                 absl::AnyInvocable<void(absl::Status)> done) override {
    Simple<absl::Status>(deadline, std::move(done), [this, lease] {
      return etcd_.KeepAlive(lease) ? absl::OkStatus() : absl::NotFoundError("lease not found");
    });
  }
  void ReadTime(Instant deadline,
                absl::AnyInvocable<void(absl::StatusOr<EtcdTime>)> done) override {
    const Instant sent = loop_.Now();
    Simple<absl::StatusOr<EtcdTime>>(deadline, std::move(done), [this, sent] {
      return absl::StatusOr<EtcdTime>(EtcdTime{etcd_.Date(), sent, loop_.Now()});
    });
  }
  EtcdWatchId Watch(const std::string& key, const std::string& range_end, int64_t,
                    absl::AnyInvocable<void(const etcdserverpb::WatchResponse&)> on_events,
                    absl::AnyInvocable<void(absl::Status)> on_end) override {
    const EtcdWatchId id{++last_watch_};
    auto shared = std::make_shared<absl::AnyInvocable<void(const etcdserverpb::WatchResponse&)>>(
        std::move(on_events));
    const int at = etcd_.AddWatch(key, range_end, [this, id, shared](const auto& response) {
      loop_.Post([this, alive = std::weak_ptr<bool>(alive_), id, shared, response] {
        if (!alive.expired() && !cut && watches_.contains(id)) (*shared)(response);
      });
    });
    watches_.emplace(id, OpenWatch{at, std::move(on_end)});
    return id;
  }
  void Unwatch(EtcdWatchId id) override {
    const auto watch = watches_.find(id);
    if (watch == watches_.end()) return;
    etcd_.RemoveWatch(watch->second.id);
    watches_.erase(watch);
  }

  // As after a broken connection, or a compaction.
  void BreakWatches() {
    std::map<EtcdWatchId, OpenWatch> broken;
    broken.swap(watches_);
    for (auto& [id, watch] : broken) {
      etcd_.RemoveWatch(watch.id);
      watch.on_end(absl::UnavailableError("the watch is broken"));
    }
  }
  size_t open_watches() const { return watches_.size(); }

 private:
  struct Call {
    etcdserverpb::TxnRequest request;
    Instant deadline;
    absl::AnyInvocable<void(absl::StatusOr<EtcdTxn>)> done;
    int tries = 0;
  };
  struct OpenWatch {
    int id;
    absl::AnyInvocable<void(absl::Status)> on_end;
  };

  bool Reachable() const { return !cut && !etcd_.down; }

  void Try(const std::shared_ptr<Call>& call) {
    ++call->tries;
    const bool lost = !Reachable() || (lose_requests > 0 && lose_requests-- > 0);
    const bool late = !lost && late_requests > 0 && late_requests-- > 0;
    if (late) {
      loop_.CallAfter(call->deadline - loop_.Now() + absl::Seconds(1),
                      [this, alive = std::weak_ptr<bool>(alive_), request = call->request] {
                        if (!alive.expired()) etcd_.Apply(request);
                      });
    }
    if (lost || late) return Again(call);
    loop_.CallAfter(latency, [this, alive = std::weak_ptr<bool>(alive_), call] {
      if (alive.expired()) return;
      if (!Reachable()) return Again(call);
      EtcdTxn txn{etcd_.Apply(call->request), call->tries > 1};
      if (lose_answers > 0) {
        --lose_answers;
        return Again(call);
      }
      loop_.CallAfter(latency, [this, alive, call, txn = std::move(txn)]() mutable {
        if (alive.expired()) return;
        if (!Reachable()) return Again(call);
        call->done(std::move(txn));
      });
    });
  }
  void Again(const std::shared_ptr<Call>& call) {
    const Instant next = loop_.Now() + retry_after;
    if (next >= call->deadline) {
      loop_.CallAt(call->deadline, [alive = std::weak_ptr<bool>(alive_), call] {
        if (!alive.expired()) call->done(absl::UnavailableError("etcd does not answer"));
      });
      return;
    }
    loop_.CallAt(next, [this, alive = std::weak_ptr<bool>(alive_), call] {
      if (!alive.expired()) Try(call);
    });
  }

  template <typename Answer>
  void Simple(Instant deadline, absl::AnyInvocable<void(Answer)> done,
              std::function<Answer()> question) {
    const bool lost = !Reachable();
    loop_.CallAt(lost ? deadline : loop_.Now() + 2 * latency,
                 [this, alive = std::weak_ptr<bool>(alive_), lost, done = std::move(done),
                  question = std::move(question)]() mutable {
                   if (alive.expired()) return;
                   if (lost || !Reachable()) {
                     return done(Answer(absl::UnavailableError("etcd does not answer")));
                   }
                   done(question());
                 });
  }

  EventLoop& loop_;
  FakeEtcd& etcd_;
  uint64_t last_watch_ = 0;
  std::map<EtcdWatchId, OpenWatch> watches_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace salve

#endif  // SALVE_THROTTLING_FAKE_ETCD_H_
