#include "agent/queue_notifier.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "channels/event_text.h"
#include "responders/escalation/letter_record.pb.h"

namespace salve {
namespace {

constexpr size_t kSubjectBytesMax = 300;
constexpr size_t kMessageBytesMax = 4096;
constexpr size_t kErrorBytesMax = 1024;
constexpr size_t kDigestBytesMax = 32 * 1024;  // Of an agent before the queue.
constexpr char kKeyPrefix[] = "letter/";

queue::Letter::Kind KindOf(Notice::Kind kind) {
  return kind == Notice::Kind::kHealthyAgain ? queue::Letter::HEALTHY_AGAIN
                                             : queue::Letter::ESCALATION;
}

// All but the destination and the key.
Submission SubmissionOf(const Notice& notice, const std::string& group) {
  Submission submission;
  submission.type = notice.kind == Notice::Kind::kHealthyAgain ? queue::AR : queue::AF;
  submission.subject = CleanText(notice.subject, kSubjectBytesMax);
  submission.correlation = notice.incident_id;
  queue::Letter& letter = submission.letter;
  letter.set_kind(KindOf(notice.kind));
  const bool is_digest = notice.kind == Notice::Kind::kDigest;
  letter.set_message(CleanText(notice.message, is_digest ? kDigestBytesMax : kMessageBytesMax));
  letter.set_health_set(notice.health_set);
  letter.set_monitor(notice.monitor);
  letter.set_state(notice.state);
  letter.set_error(CleanText(notice.error, kErrorBytesMax));
  letter.set_group(group);
  letter.set_time_ns(absl::ToUnixNanos(notice.time));
  return submission;
}

std::string BytesOf(const Submission& submission, Notice::Kind kind) {
  responders::LetterRecord record;
  record.set_destination(submission.destination);
  record.set_kind(static_cast<int>(kind));
  record.set_subject(submission.subject);
  record.set_message(submission.letter.message());
  record.set_health_set(submission.letter.health_set());
  record.set_monitor(submission.letter.monitor());
  record.set_state(submission.letter.state());
  record.set_error(submission.letter.error());
  record.set_incident_id(submission.correlation);
  record.set_time_ns(submission.letter.time_ns());
  return record.SerializeAsString();
}

Notice NoticeOf(const responders::LetterRecord& record) {
  Notice notice;
  notice.kind =
      record.kind() == static_cast<int>(Notice::Kind::kHealthyAgain) ? Notice::Kind::kHealthyAgain
      : record.kind() == static_cast<int>(Notice::Kind::kDigest)     ? Notice::Kind::kDigest
                                                                     : Notice::Kind::kEscalation;
  notice.subject = record.subject();
  notice.message = record.message();
  notice.health_set = record.health_set();
  notice.monitor = record.monitor();
  notice.state = record.state();
  notice.error = record.error();
  notice.incident_id = record.incident_id();
  notice.time = absl::FromUnixNanos(record.time_ns());
  return notice;
}

}  // namespace

QueueNotifier::QueueNotifier(Parts parts) : parts_(std::move(parts)) {}

QueueNotifier::~QueueNotifier() {
  *alive_ = false;
  parts_.loop.CancelTimer(retry_);
}

void QueueNotifier::Restore(const std::map<std::string, std::string>& kept) {
  // In the order in which they were told; their keys don't say it.
  std::vector<std::pair<int64_t, std::pair<std::string, responders::LetterRecord>>> letters;
  for (auto it = kept.lower_bound(kKeyPrefix);
       it != kept.end() && absl::StartsWith(it->first, kKeyPrefix); ++it) {
    responders::LetterRecord record;
    if (!record.ParseFromString(it->second)) continue;
    letters.push_back({record.time_ns(), {it->first, record}});
  }
  std::stable_sort(letters.begin(), letters.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [time, letter] : letters) {
    Submission submission = SubmissionOf(NoticeOf(letter.second), group_);
    submission.destination = letter.second.destination();
    submission.key = letter.first.substr(sizeof(kKeyPrefix) - 1);
    waiting_.push_back({std::move(submission), letter.first});
  }
  Offer();
}

void QueueNotifier::Configure(const AgentDefinition& agent) {
  group_ = agent.group;
  destinations_.clear();
  for (const config::Destination& destination : agent.config.destination()) {
    destinations_.push_back(destination.name());
  }
}

std::vector<std::string> QueueNotifier::Send(const Notice& notice) {
  std::vector<std::string> names;
  const Submission common = SubmissionOf(notice, group_);
  const std::string key = notice.key.empty()
                              ? absl::StrCat(absl::ToUnixNanos(notice.time), "-", ++unnamed_)
                              : notice.key;
  for (const std::string& name : destinations_) {
    if (!notice.to.empty() &&
        std::find(notice.to.begin(), notice.to.end(), name) == notice.to.end()) {
      continue;
    }
    names.push_back(name);
    if (waiting_.size() >= kWaitingMax) {
      Drop(common);
      continue;
    }
    Submission submission = common;
    submission.destination = name;
    submission.key = absl::StrCat(key, "/", name);
    std::string kept = kKeyPrefix + submission.key;
    parts_.keep(kept, BytesOf(submission, notice.kind));
    waiting_.push_back({std::move(submission), std::move(kept)});
  }
  Offer();
  return names;
}

void QueueNotifier::Drop(const Submission& submission) {
  if (++dropped_ > 1) return;
  parts_.say(true, absl::StrCat("the queue takes nothing and ", kWaitingMax,
                                " messages wait for it: further ones are not told, the first '",
                                submission.subject, "'"));
}

void QueueNotifier::Offer() {
  if (retry_ != TimerId::kNone) return;
  for (auto one = waiting_.begin(); one != waiting_.end(); ++one) {
    if (std::exchange(one->offered, true)) continue;
    parts_.accept(one->submission, [this, alive = alive_, one](absl::StatusOr<std::string> mid) {
      if (*alive) OnAnswer(one, mid.status());
    });
  }
}

void QueueNotifier::OnAnswer(std::list<Waiting>::iterator one, const absl::Status& status) {
  // What is refused for good would be refused for ever.
  const bool is_over = status.ok() || absl::IsInvalidArgument(status);
  if (!status.ok() && !std::exchange(in_trouble_, true)) {
    parts_.say(true, absl::StrCat("'", one->submission.subject,
                                  "' can't be put into the queue: ", status.message(),
                                  is_over ? "" : "; it is kept and offered again"));
  }
  if (is_over) {
    parts_.keep(one->kept, "");
    waiting_.erase(one);
  } else {
    one->offered = false;
  }
  if (!status.ok() && retry_ == TimerId::kNone) {
    retry_ = parts_.loop.CallAfter(kRetry, [this] {
      retry_ = TimerId::kNone;
      Offer();
    });
  }
  if (!waiting_.empty() || !std::exchange(in_trouble_, false)) return;
  parts_.say(false,
             absl::StrCat("the queue takes notices again",
                          dropped_ == 0 ? "" : absl::StrCat("; ", dropped_, " were not told")));
  dropped_ = 0;
}

}  // namespace salve
