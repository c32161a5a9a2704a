#include "queue/etcd_acceptors.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "queue/acceptor_record.h"
#include "throttling/group_history.h"

namespace salve {
namespace {

using etcdserverpb::TxnRequest;

constexpr absl::Duration kAnswerTime = absl::Seconds(5);
constexpr absl::Duration kAgainFirst = absl::Milliseconds(500);
constexpr absl::Duration kAgainMax = absl::Seconds(10);
constexpr absl::Duration kKeepAlive = absl::Seconds(20);

class EtcdAcceptors final : public Acceptors {
 public:
  EtcdAcceptors(EtcdAcceptorsOptions options, EventLoop& loop, EtcdClient& etcd)
      : server_(std::move(options.server)),
        keys_(options.prefix, options.group),
        loop_(loop),
        etcd_(etcd) {
    Read();
  }
  ~EtcdAcceptors() override {
    alive_.reset();
    etcd_.Unwatch(watch_);
    loop_.CancelTimer(read_timer_);
    loop_.CancelTimer(offer_timer_);
  }

  std::vector<Acceptor> List() const override {
    std::vector<Acceptor> list;
    for (const auto& [server, address] : acceptors_) list.push_back({server, address});
    return list;
  }
  std::string Source() const override {
    if (is_answering_) return "etcd";
    return was_read_ ? "etcd (not answering: the last known)" : "etcd (not answering)";
  }
  void Watch(std::function<void()> changed) override { changed_ = std::move(changed); }

  void Offer(const std::string& address) override {
    if (wanted_ == address) return;
    wanted_ = address;
    offer_again_ = kAgainFirst;
    Step();
  }

 private:
  // ------------------------------------------------------------------------------------- reading

  // What is there now, and from its revision on each change.
  void Read() {
    read_timer_ = TimerId::kNone;
    TxnRequest txn;
    auto& range = *txn.add_success()->mutable_request_range();
    range.set_key(keys_.acceptors());
    range.set_range_end(PrefixEnd(keys_.acceptors()));
    range.set_limit(kAcceptorsListedMax);
    etcd_.Txn(std::move(txn), loop_.Now() + kAnswerTime,
              [this, alive = Alive()](const absl::StatusOr<EtcdTxn>& answer) {
                if (alive.expired()) return;
                if (!answer.ok() || answer->response.responses_size() == 0) {
                  is_answering_ = false;
                  return ReadAgain();
                }
                OnRead(*answer);
              });
  }

  void OnRead(const EtcdTxn& answer) {
    is_answering_ = was_read_ = true;
    again_ = kAgainFirst;
    const auto& range = answer.response.responses(0).response_range();
    has_more_ = range.more();
    std::map<std::string, std::string> before;
    before.swap(acceptors_);
    published_.reset();
    for (const auto& kv : range.kvs()) Take(kv.key(), kv.value());
    WatchFrom(answer.response.header().revision());
    if (acceptors_ != before && changed_) changed_();
    OnPublished();
  }

  void WatchFrom(int64_t revision) {
    etcd_.Unwatch(watch_);
    watch_ = etcd_.Watch(
        keys_.acceptors(), PrefixEnd(keys_.acceptors()), revision,
        [this](const etcdserverpb::WatchResponse& response) { OnEvents(response); },
        [this, alive = Alive()](const absl::Status&) {
          if (alive.expired()) return;
          // Changes may have been missed, or compacted away: what is there now is what counts.
          watch_ = EtcdWatchId::kNone;
          is_answering_ = false;
          ReadAgain();
        });
  }

  void OnEvents(const etcdserverpb::WatchResponse& response) {
    const std::map<std::string, std::string> before = acceptors_;
    bool is_about_this = false;
    for (const auto& event : response.events()) {
      const std::string& key = event.kv().key();
      is_about_this |= key == keys_.acceptor(server_);
      if (event.type() != etcdserverpb::Event::DELETE) {
        Take(key, event.kv().value());
      } else {
        if (key == keys_.acceptor(server_)) published_.reset();
        acceptors_.erase(UnescapeKeyPart(key.substr(key.rfind('/') + 1)));
      }
    }
    if (has_more_) ReadAgain();  // One that was not listed may have its turn.
    if (acceptors_ != before && changed_) changed_();
    if (is_about_this) OnPublished();
  }

  void Take(const std::string& key, const std::string& value) {
    if (key == keys_.acceptor(server_)) {
      published_ = value;
      return;
    }
    const absl::StatusOr<Acceptor> acceptor = ParseAcceptorRecord(key, value);
    const std::string server = UnescapeKeyPart(key.substr(key.rfind('/') + 1));
    if (!acceptor.ok()) {
      acceptors_.erase(server);  // It said something else before, which holds no more.
    } else if (acceptors_.contains(server) || acceptors_.size() < kAcceptorsListedMax) {
      acceptors_[server] = acceptor->address;
    } else {
      has_more_ = true;
    }
  }

  void ReadAgain() {
    if (read_timer_ != TimerId::kNone) return;
    read_timer_ = loop_.CallAfter(again_, [this] { Read(); });
    again_ = std::min(2 * again_, kAgainMax);
  }

  // ------------------------------------------------------------------------------------ offering

  // Does what is next to make etcd say what is wanted, one call at a time.
  void Step() {
    if (is_stepping_ || !wanted_.has_value()) return;
    loop_.CancelTimer(offer_timer_);
    offer_timer_ = TimerId::kNone;
    if (wanted_->empty()) {
      lease_ = 0;  // What still arrives of an earlier step lapses with it.
      put_.clear();
      if (!is_withdrawn_) Withdraw();
    } else if (lease_ == 0) {
      GrantLease();
    } else if (put_ != *wanted_) {
      Put();
    } else {
      offer_timer_ =
          loop_.CallAfter(is_kept_ ? kKeepAlive : absl::ZeroDuration(), [this] { KeepAlive(); });
    }
  }

  // After each step. A failed one is done again, in a while.
  void OnStepped(bool ok) {
    is_stepping_ = false;
    if (ok) {
      offer_again_ = kAgainFirst;
      return Step();
    }
    offer_timer_ = loop_.CallAfter(offer_again_, [this] { Step(); });
    offer_again_ = std::min(2 * offer_again_, kAgainMax);
  }

  void GrantLease() {
    is_stepping_ = true;
    etcd_.GrantLease(kAcceptorLease, loop_.Now() + kAnswerTime,
                     [this, alive = Alive()](absl::StatusOr<int64_t> lease) {
                       if (alive.expired()) return;
                       if (lease.ok()) lease_ = *lease;
                       is_kept_ = true;
                       put_.clear();
                       OnStepped(lease.ok());
                     });
  }

  void Put() {
    is_stepping_ = true;
    is_withdrawn_ = false;
    TxnRequest txn;
    auto& put = *txn.add_success()->mutable_request_put();
    put.set_key(keys_.acceptor(server_));
    put.set_value(AcceptorRecord(*wanted_));
    put.set_lease(lease_);
    etcd_.Txn(std::move(txn), loop_.Now() + kAnswerTime,
              [this, alive = Alive(), address = *wanted_](const absl::StatusOr<EtcdTxn>& answer) {
                if (alive.expired()) return;
                if (answer.ok()) {
                  put_ = address;
                } else if (answer.status().code() != absl::StatusCode::kUnavailable) {
                  lease_ = 0;  // etcd says that it is none.
                }
                OnStepped(answer.ok());
              });
  }

  void Withdraw() {
    is_stepping_ = true;
    TxnRequest txn;
    txn.add_success()->mutable_request_delete_range()->set_key(keys_.acceptor(server_));
    etcd_.Txn(std::move(txn), loop_.Now() + kAnswerTime,
              [this, alive = Alive()](const absl::StatusOr<EtcdTxn>& answer) {
                if (alive.expired()) return;
                is_withdrawn_ = answer.ok();
                OnStepped(answer.ok());
              });
  }

  void KeepAlive() {
    is_stepping_ = true;
    etcd_.KeepAlive(lease_, loop_.Now() + kAnswerTime,
                    [this, alive = Alive(), lease = lease_](const absl::Status& status) {
                      if (alive.expired()) return;
                      if (status.code() == absl::StatusCode::kNotFound) lease_ = 0;
                      is_kept_ = status.ok();  // Else it may still live: tried again soon.
                      OnStepped(status.ok() || lease_ != lease);
                      // What changed during a call was not looked at then.
                      if (status.ok() && is_answering_) OnPublished();
                    });
  }

  // The key is as `published_` says. A copy of an earlier put that came late, or somebody who
  // removed it, does not have the last word. Not at once: it may be another agent of this name,
  // with the same in mind.
  void OnPublished() {
    if (is_stepping_ || put_.empty() || !wanted_.has_value() || put_ != *wanted_) return;
    if (published_ == AcceptorRecord(put_)) return;
    put_.clear();
    loop_.CancelTimer(offer_timer_);
    offer_timer_ = loop_.CallAfter(kAgainMax, [this] { Step(); });
  }

  std::weak_ptr<bool> Alive() const { return alive_; }

  const std::string server_;
  const GroupKeys keys_;
  EventLoop& loop_;
  EtcdClient& etcd_;
  std::function<void()> changed_;

  std::map<std::string, std::string> acceptors_;  // Address by server, without this one.
  std::optional<std::string> published_;          // The value of this one's key.
  bool is_answering_ = false;
  bool was_read_ = false;
  bool has_more_ = false;  // Than are listed.
  EtcdWatchId watch_ = EtcdWatchId::kNone;
  TimerId read_timer_ = TimerId::kNone;
  absl::Duration again_ = kAgainFirst;

  std::optional<std::string> wanted_;  // Unset: nobody has said; "": none.
  int64_t lease_ = 0;                  // 0: none that is known to live.
  bool is_kept_ = true;                // The last sign of life was heard.
  std::string put_;                    // The address that was put under lease_.
  bool is_withdrawn_ = false;
  bool is_stepping_ = false;
  TimerId offer_timer_ = TimerId::kNone;
  absl::Duration offer_again_ = kAgainFirst;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<Acceptors> NewEtcdAcceptors(EtcdAcceptorsOptions options, EventLoop& loop,
                                            EtcdClient& etcd) {
  return std::make_unique<EtcdAcceptors>(std::move(options), loop, etcd);
}

}  // namespace salve
