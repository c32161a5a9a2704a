#include "throttling/etcd_coordinator.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "config/names.h"
#include "throttling/group_history.h"
#include "throttling/group_time.h"

namespace salve {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

constexpr absl::Duration kAnswerTime = absl::Seconds(2);  // Of Reserve and Check, all in all.
constexpr absl::Duration kDutyTime = absl::Seconds(5);    // Of what nobody waits for.
constexpr absl::Duration kLeaveTime = absl::Seconds(1);
constexpr absl::Duration kLeaseTtl = absl::Seconds(60);
constexpr absl::Duration kKeepAlive = absl::Seconds(20);
constexpr absl::Duration kMemberTtl = absl::Hours(24 * 7);  // Unseen for so long: not counted.
constexpr absl::Duration kMemberKeepAlive = absl::Hours(6);
// Of attempts that no limit asks about; a copy of the youngest stays.
constexpr absl::Duration kRecordTtl = absl::Hours(25);
constexpr absl::Duration kRecordLeaseAge = absl::Hours(1);
constexpr absl::Duration kReadTime = absl::Seconds(60);
constexpr absl::Duration kTryAgain = absl::Seconds(5);
constexpr absl::Duration kDutyAgainMax = absl::Seconds(30);
constexpr absl::Duration kUnavailableFirst = absl::Seconds(10);
constexpr absl::Duration kUnavailableMax = absl::Minutes(5);
constexpr absl::Duration kSpreadLeast = absl::Seconds(1);
// A large group asks over a longer time: 200 servers a second, each two transactions at most.
constexpr absl::Duration kSpreadOfServer = absl::Milliseconds(5);
constexpr absl::Duration kCountLeast = absl::Seconds(30);
constexpr absl::Duration kCountOfServer = absl::Milliseconds(20);  // 50 counts a second in all.
constexpr absl::Duration kTidyAfter = absl::Milliseconds(100);
constexpr int kCountedAlwaysMax = 200;
constexpr int kTriesMax = 5;
constexpr size_t kWatchesMax = 100;
constexpr size_t kDutiesMax = 1000;
constexpr int kSweepMax = 1000;

void Put(RequestOp& op, const std::string& key, const std::string& value, int64_t lease = 0) {
  op.mutable_request_put()->set_key(key);
  op.mutable_request_put()->set_value(value);
  op.mutable_request_put()->set_lease(lease);
}
void Get(RequestOp& op, const std::string& key) { op.mutable_request_range()->set_key(key); }
void RangePrefix(RequestOp& op, const std::string& prefix, int limit = 0) {
  op.mutable_request_range()->set_key(prefix);
  op.mutable_request_range()->set_range_end(PrefixEnd(prefix));
  op.mutable_request_range()->set_limit(limit);
}
void RangeKeys(RequestOp& op, const std::string& prefix) {
  RangePrefix(op, prefix);
  op.mutable_request_range()->set_keys_only(true);
}
void CountPrefix(RequestOp& op, const std::string& prefix) {
  RangePrefix(op, prefix);
  op.mutable_request_range()->set_count_only(true);
}
void Delete(RequestOp& op, const std::string& key) {
  op.mutable_request_delete_range()->set_key(key);
}
Compare& CompareKey(TxnRequest& txn, Compare::CompareTarget target, const std::string& key) {
  Compare& compare = *txn.add_compare();
  compare.set_target(target);
  compare.set_key(key);
  return compare;
}
const etcdserverpb::RangeResponse& RangeOf(const EtcdTxn& txn, int op) {
  return txn.response.responses(op).response_range();
}

class EtcdCoordinator final : public Coordinator {
 public:
  EtcdCoordinator(EtcdCoordinatorOptions options, EventLoop& loop, EtcdClient& etcd,
                  const Ledger& ledger, RandomSource& random)
      : options_(std::move(options)),
        loop_(loop),
        etcd_(etcd),
        ledger_(ledger),
        random_(random),
        keys_(options_.prefix, options_.group) {
    timers_.insert(loop_.CallAfter(absl::ZeroDuration(), [this] { Begin(); }));
  }
  ~EtcdCoordinator() override {
    alive_.reset();
    for (const TimerId timer : timers_) loop_.CancelTimer(timer);
    for (const auto& [key, watches] : watches_) {
      for (const EtcdWatchId watch : watches) etcd_.Unwatch(watch);
    }
  }

  void Reserve(const GroupRequest& request, GroupDone done) override {
    if (!request.limits.HasGroupLimit()) {
      Record(request.attempt);
      return AnswerNotConfigured(std::move(done));
    }
    const QuestionPtr ask = NewQuestion(request, std::move(done));
    ask->real = true;
    asking_.insert(request.attempt.id);
    StopWatching(keys_.running(request.attempt.action, request.attempt.resource));
    WhenReady(ask, [this, ask] { SendReservation(ask); });
  }

  void Check(const GroupRequest& request, GroupDone done) override {
    if (!request.limits.HasGroupLimit()) return AnswerNotConfigured(std::move(done));
    const QuestionPtr ask = NewQuestion(request, std::move(done));
    WhenTimed(ask, [this, ask] { SendCheck(ask); });
  }

  void Release(const Attempt& attempt) override { Finish(attempt); }

  void ListServers(
      absl::AnyInvocable<void(absl::StatusOr<std::vector<GroupMember>>)> done) override {
    TxnRequest txn;
    RangePrefix(*txn.add_success(), keys_.servers());
    RangePrefix(*txn.add_success(), keys_.alives());
    etcd_.Txn(std::move(txn), Deadline(),
              [alive = Alive(), done = std::move(done)](absl::StatusOr<EtcdTxn> answer) mutable {
                if (alive.expired()) return;
                if (!answer.ok()) return done(answer.status());
                done(MembersOf(*answer));
              });
  }

  void ForgetServer(const std::string& name, absl::AnyInvocable<void(absl::Status)> done) override {
    ListServers([this, alive = Alive(), name,
                 done = std::move(done)](absl::StatusOr<std::vector<GroupMember>> members) mutable {
      if (alive.expired()) return;
      if (!members.ok()) return done(members.status());
      std::vector<std::string> known;
      bool found = false;
      for (const GroupMember& member : *members) {
        known.push_back(member.name);
        found |= member.name == name;
      }
      if (!found) {
        return done(absl::NotFoundError(absl::StrCat("no server '", name, "' in the group ",
                                                     options_.group, DidYouMean(name, known))));
      }
      TxnRequest txn;
      CompareKey(txn, Compare::CREATE, keys_.alive(name)).set_create_revision(0);
      Delete(*txn.add_success(), keys_.server(name));
      etcd_.Txn(std::move(txn), Deadline(),
                [name, done = std::move(done)](absl::StatusOr<EtcdTxn> answer) mutable {
                  if (!answer.ok()) return done(answer.status());
                  done(answer->response.succeeded()
                           ? absl::OkStatus()
                           : absl::FailedPreconditionError(absl::StrCat(
                                 name, " is alive: stop its agent, and forget it a minute later")));
                });
    });
  }

  void ReportHealth(bool healthy,
                    absl::AnyInvocable<void(absl::StatusOr<GroupHealth>)> done) override {
    healthy_ = healthy;
    is_health_told_ = false;
    if (registered_) return SendHealth(std::move(done));
    Post([this, done = std::move(done)]() mutable {
      done(absl::UnavailableError(
          absl::StrCat("the group ", options_.group, " can't be asked: ", health_.message())));
    });
  }

  // The lease itself lapses by itself: what still runs keeps its marks until then, as after a
  // crash.
  void Leave(std::function<void()> done) override {
    left_ = true;
    if (!std::exchange(registered_, false)) return Post(std::move(done));
    TxnRequest txn;
    CompareKey(txn, Compare::LEASE, keys_.alive(options_.server)).set_lease(lease_);
    Delete(*txn.add_success(), keys_.alive(options_.server));
    Delete(*txn.add_success(), keys_.version(kGroupProtocolVersion, options_.server));
    Delete(*txn.add_success(), keys_.healthy(options_.server));
    etcd_.Txn(std::move(txn), loop_.Now() + kLeaveTime,
              [alive = Alive(), done = std::move(done)](const absl::StatusOr<EtcdTxn>&) {
                if (!alive.expired()) done();
              });
  }

  void OnFreed(Freed freed) override { freed_ = std::move(freed); }
  absl::Status Health() const override { return health_; }

 private:
  struct Question {
    GroupRequest request;
    GroupDone done;
    Instant deadline;
    bool real = false;
    int tries = 0;
    bool sent = false;      // A reservation may have reached etcd.
    bool repeated = false;  // More than one may have.
    bool insists = false;   // Puts it down although the action runs somewhere.
    group::Attempt value;   // What its key holds, the same in every try.
    bool answered = false;
  };
  using QuestionPtr = std::shared_ptr<Question>;

  // Whatever it waits for, it is answered at its deadline.
  QuestionPtr NewQuestion(const GroupRequest& request, GroupDone done) {
    auto ask = std::make_shared<Question>(Question{request, std::move(done), Deadline()});
    After(kAnswerTime, [this, ask] { Unavailable(ask, "no answer in time"); });
    return ask;
  }

  std::weak_ptr<bool> Alive() const { return alive_; }
  Instant Deadline() const { return loop_.Now() + kAnswerTime; }
  void Post(Task task) {
    loop_.Post([alive = Alive(), task = std::move(task)]() mutable {
      if (!alive.expired()) task();
    });
  }
  void After(absl::Duration delay, std::function<void()> task) {
    auto id = std::make_shared<TimerId>();
    *id = loop_.CallAfter(delay, [this, id, task = std::move(task)] {
      timers_.erase(*id);
      task();
    });
    timers_.insert(*id);
  }
  absl::Duration Random(absl::Duration bound) {
    return bound * (static_cast<double>(random_() >> 11) * 0x1p-53);
  }
  absl::Duration Spread(absl::Duration wait) {
    const absl::Duration tenth = wait == absl::InfiniteDuration() ? kSpreadLeast : wait / 10;
    return Random(std::max({kSpreadLeast, tenth, kSpreadOfServer * servers_in_group_}));
  }

  // Says a trouble when it begins or changes, and when it is over.
  void SetHealth(absl::Status status) {
    const bool is_news = status.code() != health_.code();
    if (!is_news) {
      health_ = std::move(status);
      return;
    }
    const bool well = status.ok();
    const std::string message =
        well ? absl::StrCat("the group ", options_.group, " can be asked again")
             : absl::StrCat("the group ", options_.group, " can't be asked: ", status.message());
    health_ = std::move(status);
    if (options_.say) options_.say(message, !well);
  }

  // -------------------------------------------------------------------------------------------
  // Time and registration.

  void Begin() {
    ReadTime();
    Register();
    KeepAlive();
    KeepMember();
    Count();
  }

  void ReadTime() {
    if (std::exchange(reading_time_, true)) return;
    etcd_.ReadTime(loop_.Now() + kAnswerTime,
                   [this, alive = Alive()](absl::StatusOr<EtcdTime> reading) {
                     if (alive.expired()) return;
                     reading_time_ = false;
                     if (reading.ok()) time_.Take(*reading);
                     const absl::Duration again = reading.ok() ? kReadTime : kTryAgain;
                     if (!std::exchange(reading_scheduled_, true)) {
                       After(again + Random(again / 10), [this] {
                         reading_scheduled_ = false;
                         ReadTime();
                       });
                     }
                     Resume(timed_, reading.status());
                   });
  }

  void Register() {
    if (left_ || std::exchange(registering_, true)) return;
    registered_ = false;
    etcd_.GrantLease(kLeaseTtl, Deadline(), [this, alive = Alive()](absl::StatusOr<int64_t> lease) {
      if (alive.expired()) return;
      if (!lease.ok()) return Registered(lease.status());
      if (member_lease_ != 0) return Announce(*lease, 0);
      etcd_.GrantLease(kMemberTtl, Deadline(),
                       [this, alive, lease = *lease](absl::StatusOr<int64_t> member) {
                         if (alive.expired()) return;
                         if (!member.ok()) return Registered(member.status());
                         member_lease_ = *member;
                         Announce(lease, 0);
                       });
    });
  }

  group::Server Self() const {
    group::Server self;
    self.set_machine_id(options_.machine_id);
    self.set_boot_id(options_.boot_id);
    self.set_protocol_version(kGroupProtocolVersion);
    self.set_agent_version(options_.agent_version);
    if (time_.IsFresh(loop_.Now())) {
      *self.mutable_seen() = GroupTimestamp(time_.Earliest(loop_.Now()));
    }
    return self;
  }

  // Takes the name: it must be free (`seen` 0), or as it was seen to be ours.
  void Announce(int64_t lease, int64_t seen) {
    TxnRequest txn;
    const std::string key = keys_.alive(options_.server);
    if (seen == 0) {
      CompareKey(txn, Compare::CREATE, key).set_create_revision(0);
    } else {
      CompareKey(txn, Compare::MOD, key).set_mod_revision(seen);
    }
    const std::string self = GroupJson(Self());
    Put(*txn.add_success(), key, self, lease);
    Put(*txn.add_success(), keys_.version(kGroupProtocolVersion, options_.server), "", lease);
    Put(*txn.add_success(), keys_.server(options_.server), self, member_lease_);
    Get(*txn.add_failure(), key);
    etcd_.Txn(std::move(txn), Deadline(),
              [this, alive = Alive(), lease](absl::StatusOr<EtcdTxn> answer) {
                if (alive.expired()) return;
                if (!answer.ok()) {
                  if (absl::StrContains(answer.status().message(), "lease not found")) {
                    member_lease_ = 0;
                  }
                  return Registered(answer.status());
                }
                if (answer->response.succeeded()) {
                  lease_ = lease;
                  return Registered(absl::OkStatus());
                }
                OnNameTaken(lease, RangeOf(*answer, 0));
              });
  }

  void OnNameTaken(int64_t lease, const etcdserverpb::RangeResponse& range) {
    group::Server other;
    if (range.kvs_size() == 0 || range.kvs(0).lease() == lease) {
      return Announce(lease, range.kvs_size() == 0 ? 0 : range.kvs(0).mod_revision());
    }
    if (absl::Status status = ParseGroupJson(range.kvs(0).value(), other); !status.ok()) {
      return Registered(
          absl::DataLossError(absl::StrCat("the value of ", range.kvs(0).key(), " can't be read")));
    }
    if (other.machine_id() == options_.machine_id) {
      return Announce(lease, range.kvs(0).mod_revision());
    }
    Registered(absl::AlreadyExistsError(absl::StrCat(
        "the name ", options_.server, " is used by another machine (machine id ",
        other.machine_id(), "): give each server a name of its own in salve.textproto")));
  }

  void Registered(const absl::Status& status) {
    registering_ = false;
    if (left_) return;
    registered_ = status.ok();
    if (status.ok()) {
      SetHealth(absl::OkStatus());
      is_health_told_ = false;  // What was told went with the lease before.
      TellHealth();
      if (!std::exchange(swept_, true)) Sweep();
    } else {
      SetHealth(status);
      if (!std::exchange(register_scheduled_, true)) {
        After(kTryAgain + Random(kTryAgain), [this] {
          register_scheduled_ = false;
          if (!registered_) Register();
        });
      }
    }
    Resume(ready_, status);
  }

  void KeepAlive() {
    After(kKeepAlive, [this] { KeepAlive(); });
    if (!registered_) return;
    etcd_.KeepAlive(lease_, loop_.Now() + kDutyTime, [this, alive = Alive()](absl::Status status) {
      if (alive.expired()) return;
      if (absl::IsNotFound(status)) return Register();
      SetHealth(status);
      if (status.ok()) DoDuties();
      if (status.ok()) TellHealth();
    });
  }

  void KeepMember() {
    After(kMemberKeepAlive, [this] { KeepMember(); });
    if (member_lease_ == 0) return;
    etcd_.KeepAlive(member_lease_, loop_.Now() + kDutyTime,
                    [this, alive = Alive()](absl::Status status) {
                      if (alive.expired() || !absl::IsNotFound(status)) return;
                      member_lease_ = 0;
                      Register();
                    });
  }

  // Whether this server is healthy goes with its liveness. Said again with the next sign of life
  // when it did not arrive, or when another word of it may have arrived after it.
  void TellHealth() {
    if (healthy_.has_value() && !is_health_told_) {
      SendHealth([](const absl::StatusOr<GroupHealth>&) {});
    }
  }
  void SendHealth(absl::AnyInvocable<void(absl::StatusOr<GroupHealth>)> done) {
    const bool healthy = *healthy_;
    TxnRequest txn;
    CompareKey(txn, Compare::LEASE, keys_.alive(options_.server)).set_lease(lease_);
    if (healthy) {
      Put(*txn.add_success(), keys_.healthy(options_.server), "", lease_);
    } else {
      Delete(*txn.add_success(), keys_.healthy(options_.server));
    }
    CountPrefix(*txn.add_success(), keys_.servers());
    CountPrefix(*txn.add_success(), keys_.healthies());
    ++healths_on_their_way_;
    etcd_.Txn(std::move(txn), Deadline(),
              [this, alive = Alive(), healthy,
               done = std::move(done)](absl::StatusOr<EtcdTxn> answer) mutable {
                if (alive.expired()) return;
                const bool alone = --healths_on_their_way_ == 0;
                if (!answer.ok()) return done(answer.status());
                if (!answer->response.succeeded()) {
                  Register();
                  return done(absl::UnavailableError("the registration was lost"));
                }
                is_health_told_ = alone && !answer->repeated && healthy_ == healthy;
                const auto count = [&](int op) {
                  return static_cast<int>(RangeOf(*answer, op).count());
                };
                const GroupHealth health = {count(1), count(2) - (healthy ? 1 : 0)};
                if (health.servers > 0) return done(health);
                done(absl::FailedPreconditionError(
                    absl::StrCat("the group ", options_.group, " has no servers")));
              });
  }

  // etcd counts by walking over the keys: a large group is counted seldom, a small one with
  // each question.
  void CountServers(google::protobuf::RepeatedPtrField<RequestOp>& ops,
                    bool whatever_size = false) const {
    if (!whatever_size && servers_in_group_ > kCountedAlwaysMax) return;
    CountPrefix(*ops.Add(), keys_.servers());
    CountPrefix(*ops.Add(), keys_.versions(kGroupProtocolVersion));
  }
  void TakeCounts(const EtcdTxn& answer, int first) {
    if (answer.response.responses_size() < first + 2) return;
    servers_in_group_ = static_cast<int>(RangeOf(answer, first).count());
    servers_compatible_ = static_cast<int>(RangeOf(answer, first + 1).count());
  }

  void Count() {
    TxnRequest txn;
    CountServers(*txn.mutable_success(), /*whatever_size=*/true);
    etcd_.Txn(std::move(txn), Deadline(), [this, alive = Alive()](absl::StatusOr<EtcdTxn> answer) {
      if (alive.expired()) return;
      if (answer.ok()) TakeCounts(*answer, 0);
      const absl::Duration again = std::max(kCountLeast, kCountOfServer * servers_in_group_);
      After(answer.ok() ? again + Random(again) : kTryAgain, [this] { Count(); });
    });
  }

  GroupVerdict WithTotals(GroupVerdict verdict) const {
    verdict.servers_in_group = std::max(1, servers_in_group_);
    verdict.servers_in_compatible_version = std::max(1, servers_compatible_);
    return verdict;
  }

  // Goes on when the time is fresh, or ends the question when that can't be.
  void WhenTimed(const QuestionPtr& ask, std::function<void()> then) {
    if (time_.IsFresh(loop_.Now())) return then();
    timed_.push_back([this, ask, then = std::move(then)](const absl::Status& status) {
      if (time_.IsFresh(loop_.Now())) return then();
      Unavailable(ask, absl::StrCat("the coordinator's time is not known: ", status.message()));
    });
    ReadTime();
  }
  void WhenReady(const QuestionPtr& ask, std::function<void()> then) {
    if (registered_) return WhenTimed(ask, std::move(then));
    ready_.push_back([this, ask, then = std::move(then)](const absl::Status& status) {
      if (registered_) return WhenTimed(ask, then);
      Unavailable(ask, status.message());
    });
    Register();
  }
  using Waiting = std::vector<std::function<void(const absl::Status&)>>;
  void Resume(Waiting& waiting, const absl::Status& status) {
    for (auto& go_on : std::exchange(waiting, {})) go_on(status);
  }

  // -------------------------------------------------------------------------------------------
  // Check and reservation.

  void SendReservation(const QuestionPtr& ask) {
    if (ask->answered) return;
    const Attempt& attempt = ask->request.attempt;
    if (++ask->tries > kTriesMax) return Unavailable(ask, "etcd's answers make no progress");
    group::Attempt& value = ask->value;
    if (ask->tries == 1) {
      const Instant now = loop_.Now();
      value = ValueOf(attempt);
      *value.mutable_asked() = GroupTimestamp(time_.Earliest(now));
      *value.mutable_start() = GroupTimestamp(time_.Latest(now));
      *value.mutable_deadline() = GroupTimestamp(time_.Latest(now) + attempt.timeout);
      value.mutable_limits()->set_minimum_minutes(ask->request.limits.group_minimum_minutes);
      value.mutable_limits()->set_max_in_a_day(ask->request.limits.group_max_in_day);
    }
    group::Running running;
    running.set_server(options_.server);
    running.set_boot_id(options_.boot_id);
    *running.mutable_deadline() = value.deadline();

    TxnRequest txn;
    const std::string attempts = keys_.attempts(attempt.action, attempt.resource);
    const std::string marks = keys_.running(attempt.action, attempt.resource);
    CompareKey(txn, Compare::CREATE, attempts + attempt.id).set_create_revision(0);
    CompareKey(txn, Compare::LEASE, keys_.alive(options_.server)).set_lease(lease_);
    // While the action runs somewhere the lists alone refuse, nearly always: then nothing is put
    // that would have to be listed by all others, and taken back.
    TxnRequest& put = *txn.add_success()->mutable_request_txn();
    if (!ask->insists) {
      Compare& nothing_runs = CompareKey(put, Compare::CREATE, marks);
      nothing_runs.set_range_end(PrefixEnd(marks));
      nothing_runs.set_create_revision(0);
    }
    Put(*put.add_success(), attempts + attempt.id, GroupJson(value));
    Put(*put.add_success(), marks + attempt.id, GroupJson(running), lease_);
    for (auto* ops : {txn.mutable_success(), txn.mutable_failure()}) {
      RangePrefix(*ops->Add(), attempts, GroupHistory::kAttemptsMax);
      RangeKeys(*ops->Add(), marks);
      Get(*ops->Add(), keys_.youngest(attempt.action, attempt.resource));
      CountServers(*ops);
    }
    ask->repeated |= ask->sent;
    ask->sent = true;
    etcd_.Txn(std::move(txn), ask->deadline,
              [this, alive = Alive(), ask](absl::StatusOr<EtcdTxn> answer) {
                if (alive.expired() || ask->answered) return;
                if (!answer.ok()) return Unavailable(ask, answer.status().message());
                OnReservation(ask, *answer);
              });
  }

  void OnReservation(const QuestionPtr& ask, const EtcdTxn& answer) {
    const Attempt& attempt = ask->request.attempt;
    ask->repeated |= answer.repeated;
    const bool free = answer.response.succeeded();  // Its key was, and the name is ours.
    const int lists = free ? 1 : 0;
    TakeCounts(answer, lists + 3);
    absl::StatusOr<GroupHistory> history =
        GroupHistory::Read(attempt.action, RangeOf(answer, lists), RangeOf(answer, lists + 1),
                           RangeOf(answer, lists + 2));
    if (!history.ok()) return Unavailable(ask, history.status().message());
    const GroupHistory::Entry* own = history->Find(attempt.id);
    if (own == nullptr && !free) {
      // Not the attempt was there already: our name is not ours any more.
      if (loop_.Now() >= ask->deadline) return Unavailable(ask, "the registration was lost");
      registered_ = false;
      return WhenReady(ask, [this, ask] { SendReservation(ask); });
    }
    unavailable_in_a_row_ = 0;
    SetHealth(absl::OkStatus());
    GroupVerdict verdict =
        history->Judge({options_.server, TimeOf(ask->value.asked()), ask->request.limits,
                        own != nullptr ? own->created : std::numeric_limits<int64_t>::max()});
    if (own == nullptr) {
      ask->sent = ask->repeated;  // This one has put nothing.
      if (verdict.passed) {
        ask->insists = true;
        return SendReservation(ask);
      }
    }
    if (verdict.passed) {
      granted_[attempt.id] = {own->value, 0};
      asking_.erase(attempt.id);
    } else {
      if (ask->sent) Withdraw(ask, ask->repeated);
      verdict.retry_spread = Spread(verdict.retry_in);
      if (verdict.recovery_in_progress) {
        WatchRunning(attempt, verdict, answer.response.header().revision());
      }
    }
    Prune(*history);
    Answer(ask, std::move(verdict));
  }

  void SendCheck(const QuestionPtr& ask) {
    const Attempt& attempt = ask->request.attempt;
    TxnRequest txn;
    RangePrefix(*txn.add_success(), keys_.attempts(attempt.action, attempt.resource),
                GroupHistory::kAttemptsMax);
    RangeKeys(*txn.add_success(), keys_.running(attempt.action, attempt.resource));
    Get(*txn.add_success(), keys_.youngest(attempt.action, attempt.resource));
    CountServers(*txn.mutable_success());
    etcd_.Txn(std::move(txn), ask->deadline,
              [this, alive = Alive(), ask](absl::StatusOr<EtcdTxn> answer) {
                if (alive.expired() || ask->answered) return;
                if (!answer.ok()) return Unavailable(ask, answer.status().message());
                absl::StatusOr<GroupHistory> history =
                    GroupHistory::Read(ask->request.attempt.action, RangeOf(*answer, 0),
                                       RangeOf(*answer, 1), RangeOf(*answer, 2));
                if (!history.ok()) return Unavailable(ask, history.status().message());
                TakeCounts(*answer, 3);
                GroupVerdict verdict = history->Judge(
                    {options_.server, time_.Earliest(loop_.Now()), ask->request.limits});
                verdict.attempts = history->Counting();
                Answer(ask, std::move(verdict));
              });
  }

  void AnswerNotConfigured(GroupDone done) {
    GroupVerdict verdict = WithTotals({});
    verdict.xml = "<not configured>";
    Post([done = std::move(done), verdict = std::move(verdict)]() mutable {
      done(std::move(verdict));
    });
  }

  void Answer(const QuestionPtr& ask, GroupVerdict verdict) {
    ask->answered = true;
    if (!ask->sent) asking_.erase(ask->request.attempt.id);
    verdict = WithTotals(std::move(verdict));
    verdict.xml = GroupResultXml(ask->request.limits, verdict, loop_.clock().WallNow(), ask->real);
    ask->done(std::move(verdict));
  }

  // Fails closed. What may have reached etcd is taken back as soon as that is possible.
  void Unavailable(const QuestionPtr& ask, absl::string_view why) {
    if (ask->answered) return;
    ask->answered = true;
    if (ask->sent) Withdraw(ask, /*may_arrive_late=*/true);
    GroupVerdict verdict;
    verdict.passed = false;
    verdict.failed = {::salve::Check::kGroupUnavailable};
    if (ask->real) ++unavailable_in_a_row_;
    if (health_.ok()) SetHealth(absl::UnavailableError(why));
    verdict.retry_in = kUnavailableFirst;
    for (int i = 1; i < unavailable_in_a_row_ && verdict.retry_in < kUnavailableMax; ++i) {
      verdict.retry_in = std::min(2 * verdict.retry_in, kUnavailableMax);
    }
    verdict.retry_spread = Spread(verdict.retry_in);
    verdict.explained = {{::salve::Check::kGroupUnavailable, -1, 0, {}, verdict.retry_in}};
    LogWarning(absl::StrCat("the group ", options_.group, " did not answer: ", why));
    Post([this, ask, verdict = std::move(verdict)]() mutable { Answer(ask, std::move(verdict)); });
  }

  group::Attempt ValueOf(const Attempt& attempt) const {
    group::Attempt value;
    value.set_server(options_.server);
    value.set_requester(attempt.requester);
    value.set_resource(attempt.resource);
    return value;
  }

  // -------------------------------------------------------------------------------------------
  // Duties: what must reach etcd some time, whether anybody waits for it or not.

  struct Duty {
    std::function<std::optional<TxnRequest>()> make;  // nullopt: not now, the time is not known.
    std::function<void(const EtcdTxn&)> then;
    bool sent = false;
  };
  using Make = std::function<std::optional<TxnRequest>()>;

  void AddDuty(const std::string& id, Make make,
               std::function<void(const EtcdTxn&)> then = nullptr) {
    if (duties_.size() >= kDutiesMax && !duties_.contains(id)) {
      LogError(absl::StrCat("too much waits for etcd: an attempt of the group ", options_.group,
                            " is not marked there; its deadline frees it"));
      asking_.erase(id);
      granted_.erase(id);
      return;
    }
    duties_[id] = std::make_shared<Duty>(Duty{std::move(make), std::move(then)});
    DoDuty(id);
  }

  void DoDuties() {
    std::vector<std::string> ids;
    for (const auto& [id, duty] : duties_) ids.push_back(id);
    for (const std::string& id : ids) DoDuty(id);
  }

  void DoDuty(const std::string& id) {
    const auto found = duties_.find(id);
    if (found == duties_.end() || found->second->sent) return;
    const std::shared_ptr<Duty> duty = found->second;
    std::optional<TxnRequest> txn = duty->make();
    if (!txn.has_value()) return DutiesLater();
    duty->sent = true;
    etcd_.Txn(*std::move(txn), loop_.Now() + kDutyTime,
              [this, alive = Alive(), id, duty](absl::StatusOr<EtcdTxn> answer) {
                if (alive.expired()) return;
                duty->sent = false;
                const auto current = duties_.find(id);
                const bool is_current = current != duties_.end() && current->second == duty;
                if (!answer.ok()) {
                  if (is_current) DutiesLater();
                  return;
                }
                duty_again_ = kSpreadLeast;
                if (is_current) duties_.erase(current);
                if (duty->then) duty->then(*answer);
              });
  }

  void DutiesLater() {
    if (std::exchange(duties_scheduled_, true)) return;
    After(duty_again_ + Random(duty_again_), [this] {
      duties_scheduled_ = false;
      DoDuties();
    });
    duty_again_ = std::min(2 * duty_again_, kDutyAgainMax);
  }

  // Takes back a reservation that was refused, or whose answer never came. When a copy of it may
  // still arrive, a mark stays at its key, so that it finds the key taken. Each change of an
  // attempt's key is made once, however often it is sent: its revision is part of the history.
  void Withdraw(const QuestionPtr& ask, bool may_arrive_late) {
    const Attempt& attempt = ask->request.attempt;
    const std::string key = keys_.attempts(attempt.action, attempt.resource) + attempt.id;
    const std::string running = keys_.running(attempt.action, attempt.resource) + attempt.id;
    group::Attempt mark = ask->value;
    mark.set_withdrawn(true);
    TxnRequest txn;
    if (may_arrive_late) {
      CompareKey(txn, Compare::CREATE, key).set_create_revision(0);
      Put(*txn.add_success(), key, GroupJson(mark));
      TxnRequest& arrived = *txn.add_failure()->mutable_request_txn();
      CompareKey(arrived, Compare::VALUE, key).set_value(GroupJson(ask->value));
      Put(*arrived.add_success(), key, GroupJson(mark));
      Delete(*txn.add_failure(), running);
    } else {
      // It was refused, so that it never counted for anybody.
      Delete(*txn.add_success(), key);
      Delete(*txn.add_success(), running);
    }
    const auto take_back = [this, id = attempt.id, txn] {
      AddDuty(
          id, [txn] { return txn; }, [this, id](const EtcdTxn&) { asking_.erase(id); });
    };
    if (may_arrive_late) return take_back();
    // Nobody waits for it: when many are refused at once, their answers go first.
    After(kTidyAfter + Random(kTidyAfter), take_back);
  }

  // Puts down an attempt that is not checked, for others to count. It goes by itself after a day,
  // but for a copy of the youngest of its key.
  void Record(const Attempt& attempt) {
    const std::string key = keys_.attempts(attempt.action, attempt.resource) + attempt.id;
    const std::string youngest = keys_.youngest(attempt.action, attempt.resource);
    const Instant at = loop_.Now();
    granted_[attempt.id] = {group::Attempt(), -1};
    AddDuty(attempt.id, [this, key, youngest, attempt, at]() -> std::optional<TxnRequest> {
      const Instant now = loop_.Now();
      if (!time_.IsFresh(now) || !HaveRecordLease()) return std::nullopt;
      group::Attempt value = ValueOf(attempt);
      const absl::Time asked = time_.Latest(now) - (now - at);
      *value.mutable_asked() = GroupTimestamp(asked);
      *value.mutable_start() = GroupTimestamp(asked);
      *value.mutable_deadline() = GroupTimestamp(asked + attempt.timeout);
      granted_[attempt.id] = {value, record_lease_};
      TxnRequest txn;
      // A copy that comes late must not undo its end.
      CompareKey(txn, Compare::CREATE, key).set_create_revision(0);
      Put(*txn.add_success(), key, GroupJson(value), record_lease_);
      CopyIfYoungest(*txn.add_success(), youngest, YoungestJson(attempt.id, value));
      return txn;
    });
  }

  static std::string YoungestJson(const std::string& id, const group::Attempt& value) {
    group::Youngest copy;
    copy.mutable_start()->set_seconds(value.start().seconds());
    copy.set_id(id);
    *copy.mutable_attempt() = value;
    return GroupJson(copy);
  }
  // etcd finds no value less or greater where there is none.
  static void CopyIfYoungest(RequestOp& op, const std::string& key, const std::string& copy) {
    TxnRequest& first = *op.mutable_request_txn();
    CompareKey(first, Compare::CREATE, key).set_create_revision(0);
    Put(*first.add_success(), key, copy);
    TxnRequest& younger = *first.add_failure()->mutable_request_txn();
    Compare& compare = CompareKey(younger, Compare::VALUE, key);
    compare.set_result(Compare::LESS);
    compare.set_value(copy);
    Put(*younger.add_success(), key, copy);
  }
  // The end of an attempt whose copy may be there.
  static void CopyEnd(RequestOp& op, const std::string& key, const std::string& begun,
                      const std::string& ended) {
    TxnRequest& same = *op.mutable_request_txn();
    CompareKey(same, Compare::VALUE, key).set_value(begun);
    Put(*same.add_success(), key, ended);
  }

  // The lease of attempts that no limit asks about: granted anew each hour, never kept alive.
  bool HaveRecordLease() {
    const Instant now = loop_.Now();
    if (record_lease_ != 0 && now - record_lease_granted_ < kRecordLeaseAge) return true;
    if (std::exchange(granting_record_lease_, true)) return false;
    etcd_.GrantLease(kRecordTtl, Deadline(),
                     [this, alive = Alive(), now](absl::StatusOr<int64_t> lease) {
                       if (alive.expired()) return;
                       granting_record_lease_ = false;
                       if (!lease.ok()) return;
                       record_lease_ = *lease;
                       record_lease_granted_ = now;
                       DoDuties();
                     });
    return false;
  }

  void Finish(const Attempt& attempt) {
    const std::string key = keys_.attempts(attempt.action, attempt.resource) + attempt.id;
    const std::string mark = keys_.running(attempt.action, attempt.resource) + attempt.id;
    const std::string youngest = keys_.youngest(attempt.action, attempt.resource);
    const bool ran = attempt.state == AttemptState::kFinished;
    const Instant at = loop_.Now();
    const absl::Duration age = ran ? ledger_.AgeOf(attempt) : absl::ZeroDuration();
    const std::string result(AttemptResultName(ran ? attempt.result : AttemptResult::kFailed));
    // An attempt of an earlier life is known only to etcd.
    if (!granted_.contains(attempt.id)) return FinishKnownToEtcd(attempt, key, mark, age, result);
    AddDuty(
        attempt.id + "/end",
        [this, id = attempt.id, key, youngest, mark, at, age,
         result]() -> std::optional<TxnRequest> {
          const Instant now = loop_.Now();
          const auto granted = granted_.find(id);
          if (!time_.IsFresh(now) || granted == granted_.end()) return std::nullopt;
          auto [value, lease] = granted->second;
          if (lease < 0) return std::nullopt;  // Its beginning is not there yet.
          const std::string begun = YoungestJson(id, value);
          *value.mutable_end() = GroupTimestamp(time_.Latest(now) - (now - at) - age);
          value.set_result(result);
          value.set_ran(true);
          TxnRequest txn;
          // Once: a copy that comes later must not move its revision.
          CompareKey(txn, Compare::VERSION, key).set_version(1);
          Put(*txn.add_success(), key, GroupJson(value), lease);
          if (lease != 0) CopyEnd(*txn.add_success(), youngest, begun, YoungestJson(id, value));
          for (auto* ops : {txn.mutable_success(), txn.mutable_failure()}) {
            Delete(*ops->Add(), mark);
          }
          return txn;
        },
        [this, id = attempt.id](const EtcdTxn&) { granted_.erase(id); });
  }

  void FinishKnownToEtcd(const Attempt& attempt, const std::string& key, const std::string& mark,
                         absl::Duration age, const std::string& result, bool ran = true) {
    AddDuty(
        attempt.id,
        [key] {
          TxnRequest txn;
          Get(*txn.add_success(), key);
          return std::optional(txn);
        },
        [this, id = attempt.id, key, youngest = keys_.youngest(attempt.action, attempt.resource),
         mark, age, result, ran, at = loop_.Now()](const EtcdTxn& answer) {
          const auto& range = RangeOf(answer, 0);
          group::Attempt value;
          const bool there =
              range.kvs_size() > 0 && ParseGroupJson(range.kvs(0).value(), value).ok();
          const int64_t lease = there ? range.kvs(0).lease() : 0;
          AddDuty(id + "/end",
                  [this, id, key, youngest, mark, age, result, ran, at, value, there, lease,
                   seen = there ? range.kvs(0).mod_revision() : 0]() -> std::optional<TxnRequest> {
                    TxnRequest txn;
                    const Instant now = loop_.Now();
                    CompareKey(txn, Compare::MOD, key).set_mod_revision(seen);
                    if (there && !value.has_end() && !value.withdrawn()) {
                      if (!time_.IsFresh(now)) return std::nullopt;
                      group::Attempt ended = value;
                      *ended.mutable_end() = GroupTimestamp(time_.Latest(now) - (now - at) - age);
                      ended.set_result(result);
                      ended.set_ran(ran);
                      Put(*txn.add_success(), key, GroupJson(ended), lease);
                      if (lease != 0) {
                        CopyEnd(*txn.add_success(), youngest, YoungestJson(id, value),
                                YoungestJson(id, ended));
                      }
                    }
                    for (auto* ops : {txn.mutable_success(), txn.mutable_failure()}) {
                      Delete(*ops->Add(), mark);
                    }
                    return txn;
                  });
        });
  }

  // At the start: running keys of ours whose attempt we do not run. The ledger knows those of an
  // earlier life, except what a crash cut off between the group's grant and the ledger.
  void Sweep() {
    TxnRequest txn;
    RangePrefix(*txn.add_success(), keys_.all_running(), kSweepMax);
    etcd_.Txn(std::move(txn), loop_.Now() + kDutyTime,
              [this, alive = Alive()](absl::StatusOr<EtcdTxn> answer) {
                if (alive.expired()) return;
                if (!answer.ok()) {
                  swept_ = false;  // At the next registration, or in a while.
                  After(kDutyAgainMax, [this] {
                    if (!std::exchange(swept_, true)) Sweep();
                  });
                  return;
                }
                for (const auto& kv : RangeOf(*answer, 0).kvs()) SweepMark(kv);
              });
  }

  void SweepMark(const etcdserverpb::KeyValue& kv) {
    group::Running running;
    if (!ParseGroupJson(kv.value(), running).ok()) return;
    if (running.server() != options_.server) return;
    const std::string key = keys_.AttemptOfRunning(kv.key());
    const std::string id = key.substr(key.rfind('/') + 1);
    if (granted_.contains(id) || asking_.contains(id)) return;
    const Attempt* known = ledger_.Find(id);
    if (known != nullptr && known->state == AttemptState::kInProgress) return;  // Its end follows.
    Attempt attempt = known != nullptr ? *known : Attempt();
    attempt.id = id;
    FinishKnownToEtcd(
        attempt, key, kv.key(), known != nullptr ? ledger_.AgeOf(*known) : absl::ZeroDuration(),
        std::string(AttemptResultName(known != nullptr ? known->result : AttemptResult::kCrashed)),
        /*ran=*/known != nullptr);
  }

  void Prune(const GroupHistory& history) {
    const std::vector<std::string> stale = history.Stale(time_.Earliest(loop_.Now()));
    if (stale.empty() || std::exchange(pruning_, true)) return;
    TxnRequest txn;
    for (const std::string& key : stale) Delete(*txn.add_success(), key);
    etcd_.Txn(std::move(txn), loop_.Now() + kDutyTime,
              [this, alive = Alive()](const absl::StatusOr<EtcdTxn>&) {
                if (!alive.expired()) pruning_ = false;
              });
  }

  // -------------------------------------------------------------------------------------------
  // Word of an action that ended.

  void WatchRunning(const Attempt& attempt, const GroupVerdict& verdict, int64_t revision) {
    const std::string key = keys_.running(attempt.action, attempt.resource);
    if (!freed_ || watches_.contains(key) || watches_.size() >= kWatchesMax) return;
    const auto tell = [this, action = attempt.action, key,
                       resource = attempt.action == RecoveryAction::kRebootServer
                                      ? std::string()
                                      : attempt.resource] {
      StopWatching(key);
      freed_(action, resource, Spread(absl::ZeroDuration()));
    };
    for (const FailedCheck& failed : verdict.explained) {
      if (failed.check != ::salve::Check::kGroupRecoveryInProgress) continue;
      // Only the keys of what refused, not those of who asks at the same moment and is refused too.
      for (const Attempt& one : failed.attempts) {
        watches_[key].push_back(etcd_.Watch(
            key + one.id, "", revision,
            [tell](const etcdserverpb::WatchResponse& response) {
              const bool freed = std::any_of(
                  response.events().begin(), response.events().end(),
                  [](const auto& event) { return event.type() == etcdserverpb::Event::DELETE; });
              if (freed) tell();
            },
            // Events may have been missed: who asks again sees what is true.
            [this, alive = Alive(), key, tell](const absl::Status&) {
              if (alive.expired()) return;
              StopWatching(key);
              After(kTryAgain, tell);
            }));
      }
    }
  }

  void StopWatching(const std::string& key) {
    const auto found = watches_.find(key);
    if (found == watches_.end()) return;
    const std::vector<EtcdWatchId> watches = std::move(found->second);
    watches_.erase(found);
    for (const EtcdWatchId watch : watches) etcd_.Unwatch(watch);
  }

  // -------------------------------------------------------------------------------------------

  static std::vector<GroupMember> MembersOf(const EtcdTxn& answer) {
    std::map<std::string, GroupMember> members;
    for (int list = 0; list < 2; ++list) {
      for (const auto& kv : RangeOf(answer, list).kvs()) {
        group::Server server;
        if (!ParseGroupJson(kv.value(), server).ok()) continue;
        const std::string name = UnescapeKeyPart(kv.key().substr(kv.key().rfind('/') + 1));
        GroupMember& member = members[name];
        member.name = name;
        member.machine_id = server.machine_id();
        member.agent_version = server.agent_version();
        member.protocol_version = server.protocol_version();
        member.seen = TimeOf(server.seen());
        member.alive = list == 1;
      }
    }
    std::vector<GroupMember> all;
    for (auto& [name, member] : members) all.push_back(std::move(member));
    return all;
  }

  struct Granted {
    group::Attempt value;
    int64_t lease = 0;  // Of its key; -1: the key is not there yet.
  };

  const EtcdCoordinatorOptions options_;
  EventLoop& loop_;
  EtcdClient& etcd_;
  const Ledger& ledger_;
  RandomSource& random_;
  const GroupKeys keys_;

  GroupTime time_;
  bool reading_time_ = false;
  bool reading_scheduled_ = false;
  int64_t lease_ = 0;         // Of our liveness; while registered_.
  int64_t member_lease_ = 0;  // Of our registration; 0: none yet.
  bool registering_ = false;
  bool register_scheduled_ = false;
  bool registered_ = false;
  bool left_ = false;
  bool swept_ = false;
  std::optional<bool> healthy_;  // This server, as it was reported; unset: not yet.
  bool is_health_told_ = false;
  int healths_on_their_way_ = 0;
  Waiting timed_, ready_;  // Questions, each with a deadline of its own.
  absl::Status health_;
  int servers_in_group_ = 0;
  int servers_compatible_ = 0;
  int unavailable_in_a_row_ = 0;

  // Of this life, in etcd perhaps, and not granted: asked for, or refused and not taken back yet.
  std::set<std::string> asking_;
  std::map<std::string, Granted>
      granted_;  // By attempt: what its key holds, until its end is there.
  std::map<std::string, std::shared_ptr<Duty>> duties_;
  bool duties_scheduled_ = false;
  absl::Duration duty_again_ = kSpreadLeast;
  bool pruning_ = false;
  int64_t record_lease_ = 0;
  Instant record_lease_granted_;
  bool granting_record_lease_ = false;

  std::map<std::string, std::vector<EtcdWatchId>> watches_;  // By the prefix of running keys.
  Freed freed_;
  std::set<TimerId> timers_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<Coordinator> NewEtcdCoordinator(EtcdCoordinatorOptions options, EventLoop& loop,
                                                EtcdClient& etcd, const Ledger& ledger,
                                                RandomSource& random) {
  return std::make_unique<EtcdCoordinator>(std::move(options), loop, etcd, ledger, random);
}

}  // namespace salve
