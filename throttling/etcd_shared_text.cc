#include "throttling/etcd_shared_text.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

constexpr absl::Duration kAnswerTime = absl::Seconds(2);
constexpr absl::Duration kAgainFirst = absl::Milliseconds(500);
constexpr absl::Duration kAgainMax = absl::Seconds(10);

class EtcdSharedText final : public SharedText {
 public:
  EtcdSharedText(std::string key, EventLoop& loop, EtcdClient& etcd)
      : key_(std::move(key)), loop_(loop), etcd_(etcd) {}
  ~EtcdSharedText() override {
    alive_.reset();
    etcd_.Unwatch(watch_);
    loop_.CancelTimer(again_timer_);
  }

  void Watch(std::function<void(const std::string& text)> on_text) override {
    on_text_ = std::move(on_text);
    Read();
  }

  void Replace(const std::string& from, const std::string& to,
               absl::AnyInvocable<void(absl::Status)> done) override {
    if (to.size() > kSharedTextBytesMax) {
      return loop_.Post([done = std::move(done)]() mutable {
        done(absl::ResourceExhaustedError(
            absl::StrCat("the text has more than ", kSharedTextBytesMax, " bytes")));
      });
    }
    etcdserverpb::TxnRequest txn;
    etcdserverpb::Compare& compare = *txn.add_compare();
    compare.set_key(key_);
    if (from.empty()) {
      compare.set_target(etcdserverpb::Compare::CREATE);
      compare.set_create_revision(0);
    } else {
      compare.set_target(etcdserverpb::Compare::VALUE);
      compare.set_value(from);
    }
    if (to.empty()) {
      txn.add_success()->mutable_request_delete_range()->set_key(key_);
    } else {
      auto& put = *txn.add_success()->mutable_request_put();
      put.set_key(key_);
      put.set_value(to);
    }
    txn.add_failure()->mutable_request_range()->set_key(key_);
    etcd_.Txn(std::move(txn), loop_.Now() + kAnswerTime,
              [to, done = std::move(done)](absl::StatusOr<EtcdTxn> answer) mutable {
                if (!answer.ok()) return done(answer.status());
                if (answer->response.succeeded()) return done(absl::OkStatus());
                // Sent twice, and the first had done it: then it is what it should be.
                const auto& range = answer->response.responses(0).response_range();
                const std::string now = range.kvs_size() > 0 ? range.kvs(0).value() : "";
                done(answer->repeated && now == to
                         ? absl::OkStatus()
                         : absl::AbortedError("somebody else has changed it meanwhile"));
              });
  }

 private:
  // What is there now, and from its revision on each change.
  void Read() {
    etcdserverpb::TxnRequest txn;
    txn.add_success()->mutable_request_range()->set_key(key_);
    etcd_.Txn(std::move(txn), loop_.Now() + kAnswerTime,
              [this, alive = std::weak_ptr<bool>(alive_)](absl::StatusOr<EtcdTxn> answer) {
                if (alive.expired()) return;
                if (!answer.ok()) return ReadAgain();
                again_ = kAgainFirst;
                const auto& range = answer->response.responses(0).response_range();
                WatchFrom(answer->response.header().revision());
                Tell(range.kvs_size() > 0 ? range.kvs(0).value() : "");
              });
  }

  void WatchFrom(int64_t revision) {
    watch_ = etcd_.Watch(
        key_, "", revision,
        [this](const etcdserverpb::WatchResponse& response) {
          const auto& last = response.events(response.events_size() - 1);
          Tell(last.type() == etcdserverpb::Event::DELETE ? "" : last.kv().value());
        },
        [this, alive = std::weak_ptr<bool>(alive_)](const absl::Status&) {
          // Changes may have been missed, or compacted away: what is there now is what counts.
          if (!alive.expired()) ReadAgain();
        });
  }

  void ReadAgain() {
    again_timer_ = loop_.CallAfter(again_, [this] { Read(); });
    again_ = std::min(2 * again_, kAgainMax);
  }

  void Tell(const std::string& text) {
    if (std::exchange(told_, text) != text) on_text_(text);
  }

  const std::string key_;
  EventLoop& loop_;
  EtcdClient& etcd_;
  std::function<void(const std::string&)> on_text_;
  std::optional<std::string> told_;
  EtcdWatchId watch_ = EtcdWatchId::kNone;
  TimerId again_timer_ = TimerId::kNone;
  absl::Duration again_ = kAgainFirst;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<SharedText> NewEtcdSharedText(std::string key, EventLoop& loop, EtcdClient& etcd) {
  return std::make_unique<EtcdSharedText>(std::move(key), loop, etcd);
}

}  // namespace salve
