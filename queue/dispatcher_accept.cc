#include "absl/strings/str_cat.h"
#include "queue/dispatcher_state.h"

namespace salve {
namespace {

constexpr size_t kBatchMax = 4096;       // Submissions of one transaction.
constexpr size_t kAcceptingMax = 65536;  // That wait for it.
constexpr absl::Duration kExpireMin = absl::Seconds(5);
constexpr absl::Duration kExpireMax = absl::Hours(2160);
constexpr int kPriorityMax = 10;
constexpr absl::Duration kEventsOnDisk = absl::Seconds(1);

// "": it can be accepted.
std::string WhyNotTaken(const Submission& submission) {
  if (submission.type == queue::TYPE_UNSPECIFIED) return "the type is missing";
  const absl::Duration expire = submission.expire.value_or(kExpireMax);
  if (expire < kExpireMin || expire > kExpireMax) {
    return absl::StrCat("expire: ", absl::FormatDuration(expire), " is not in [5s, 2160h]");
  }
  if (submission.priority < -kPriorityMax || submission.priority > kPriorityMax) {
    return absl::StrCat("priority: ", submission.priority, " is not in [-10, 10]");
  }
  if (submission.type == queue::UP && submission.deferred.resource().empty()) {
    return "a deferred action needs its resource";
  }
  if (submission.type != queue::UP && submission.destination.empty()) {
    return "the destination is missing";
  }
  const size_t bytes = submission.letter.ByteSizeLong() + submission.deferred.ByteSizeLong() +
                       submission.subject.size() + submission.key.size() +
                       submission.correlation.size() + 1024;
  if (bytes > MessageStore::kMessageBytesMax) return "the message is too large";
  return "";
}

}  // namespace

void Dispatcher::State::Accept(Submission submission, Accepted done) {
  absl::Status why;
  if (stopped) {
    why = absl::UnavailableError("the queue has stopped");
  } else if (const std::string closed = WhyNotAccepting(); !closed.empty()) {
    why = absl::FailedPreconditionError(closed);
  }
  if (accepting.groups.size() >= kAcceptingMax) {
    why = absl::ResourceExhaustedError("too many messages wait for the disk to be accepted");
  }
  const std::string wrong = WhyNotTaken(submission);
  if (why.ok() && !wrong.empty()) why = absl::InvalidArgumentError(wrong);
  if (!why.ok()) {
    parts.loop.Post([why, done = std::move(done)]() mutable { done(why); });
    return;
  }
  accepting.groups.emplace_back().push_back(std::move(submission));
  accepting.dones.push_back(std::move(done));
  if (accept_posted) return;
  // What others submit in this turn goes with it.
  accept_posted = true;
  parts.loop.Post([self = weak_from_this()] {
    if (const auto state = self.lock()) state->AcceptNext();
  });
}

// One transaction at a time: what comes meanwhile is the next one.
void Dispatcher::State::AcceptNext() {
  if (accepting.groups.empty()) {
    accept_posted = false;
    return;
  }
  Acceptance batch;
  const size_t taken = std::min(accepting.groups.size(), kBatchMax);
  if (taken == accepting.groups.size()) {
    batch = std::exchange(accepting, {});
  } else {
    const auto groups = accepting.groups.begin();
    const auto dones = accepting.dones.begin();
    const auto n = static_cast<ptrdiff_t>(taken);
    batch.groups.assign(std::make_move_iterator(groups), std::make_move_iterator(groups + n));
    batch.dones.assign(std::make_move_iterator(dones), std::make_move_iterator(dones + n));
    accepting.groups.erase(groups, groups + n);
    accepting.dones.erase(dones, dones + n);
  }
  absl::Time first_expiry = absl::InfiniteFuture();
  for (const auto& group : batch.groups) {
    for (const Submission& submission : group) {
      first_expiry =
          std::min(first_expiry, WallNow() + submission.expire.value_or(submission.type == queue::UP
                                                                            ? rules->expire_deferred
                                                                            : rules->expire));
    }
  }
  Run([groups = std::move(batch.groups)](
          QueueDesk& desk) mutable { return desk.Accept(std::move(groups)); },
      [this, first_expiry, dones = std::move(batch.dones)](
          std::vector<absl::StatusOr<QueueDesk::Mids>> answers) mutable {
        for (size_t i = 0; i < dones.size(); ++i) {
          answers[i].ok() ? dones[i](std::move(answers[i]->front()))
                          : dones[i](answers[i].status());
        }
        ExpireSoon(first_expiry);
        AcceptNext();
        PumpAll();
        ReadInbox();
      });
}

void Dispatcher::State::ReadInbox() {
  if (reading_inbox || !configured || stopping || picture.MessagesIn("inbox") == 0) return;
  reading_inbox = true;
  Run([](QueueDesk& desk) { return desk.ShowInbox(); },
      [this](absl::StatusOr<std::vector<int64_t>> shown) {
        if (!shown.ok() || shown->empty()) {
          reading_inbox = false;
          return;
        }
        EndInbox(*std::move(shown));
      });
}

// Until it is kept: what is shown again would be told again. A stop waits for it.
void Dispatcher::State::EndInbox(std::vector<int64_t> shown) {
  parts.loop.CallAfter(kEventsOnDisk, [self = weak_from_this(), shown = std::move(shown)] {
    const auto state = self.lock();
    if (state == nullptr || state->stopped) return;
    state->Run(
        [state = state.get(), shown](QueueDesk& desk) {
          // Its text is in that event alone from then on.
          if (!state->AreEventsOnDisk()) return absl::UnavailableError("events are not on disk");
          return desk.EndInbox(shown);
        },
        [state = state.get(), shown](const absl::Status& ended) {
          if (!ended.ok()) return state->EndInbox(shown);
          state->reading_inbox = false;
          state->ReadInbox();
        });
  });
}

void Dispatcher::Accept(Submission submission, Accepted done) {
  state_->Accept(std::move(submission), std::move(done));
}

}  // namespace salve
