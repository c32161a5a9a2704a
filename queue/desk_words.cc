// The words between the members of a transfer, so that a mail is told once although an answer was
// lost: the acceptor holds what it took until its sender says CONFIRM or WITHDRAW, and the sender
// owes that word, on disk with the end it is about, until it is taken.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "google/protobuf/text_format.h"
#include "queue/desk.h"
#include "queue/queue_events.h"

namespace salve {
namespace {

using v1::TransferEnd;

constexpr char kOwedSetting[] = "owed";
// All of them are one setting, which has its bounds.
constexpr int kOwedMax = 200;
constexpr size_t kOwedBytesMax = 48 << 10;
constexpr int kEndsMax = 1000;  // Of one request.
// At least: what is removed from poison or from dead may have expired long ago.
constexpr absl::Duration kOwedFor = absl::Hours(24);

std::string TextOf(const queue::OwedWords& words) {
  std::string text;
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.PrintToString(words, &text);
  return text;
}

// Adds the word that an end owes to the acceptor that has the message, or may have it.
void Owe(const StoredMessage& row, std::optional<Final> final, absl::Time now,
         queue::OwedWords& owing) {
  const queue::Message& message = row.message;
  const bool is_done = final == Final::kDone;
  if (message.handed_to().empty() || (!is_done && final != Final::kRemoved)) return;
  queue::OwedWord& word = *owing.add_owed();
  word.set_acceptor(message.handed_to());
  word.set_withdraw(!is_done || QueueKindOf(row.queue) != QueueKind::kRelay);
  word.set_mid(message.mid());
  word.set_origin_server(message.origin_server());
  word.set_origin_mid(message.origin_mid());
  word.set_until_ns(std::max(message.expires_ns(), absl::ToUnixNanos(now + kOwedFor)));
}

// A lost CONFIRM costs a minute, a lost WITHDRAW perhaps a second mail: that one goes last.
void DropOne(queue::OwedWords& words) {
  auto* owed = words.mutable_owed();
  const auto confirm = std::find_if(owed->begin(), owed->end(),
                                    [](const queue::OwedWord& word) { return !word.withdraw(); });
  owed->erase(confirm == owed->end() ? owed->begin() : confirm);
}

}  // namespace

QueueDesk::QueueDesk(MessageStore& store, const Clock& clock) : store_(store), clock_(clock) {
  // What can't be read is owed no more: the acceptors go on without it.
  google::protobuf::TextFormat::ParseFromString(store_.Setting(kOwedSetting), &owed_);
  for (const queue::OwedWord& word : owed_.owed()) ++owed_ever_[word.acceptor()];
}

std::map<std::string, int64_t> QueueDesk::OwedEver() const {
  std::map<std::string, int64_t> ever;
  for (const queue::OwedWord& word : owed_.owed()) {
    ever[word.acceptor()] = owed_ever_.at(word.acceptor());
  }
  return ever;
}

absl::Status QueueDesk::ApplyOwing(Changes changes, const std::vector<Step>& steps) {
  queue::OwedWords owing;
  for (const Step& step : steps) Owe(step.row, step.final, Now(), owing);
  if (owing.owed_size() == 0) return Apply(std::move(changes)).status();
  queue::OwedWords words = owed_;
  words.MergeFrom(owing);
  std::string text = TextOf(words);
  while (words.owed_size() > kOwedMax || text.size() > kOwedBytesMax) {
    DropOne(words);
    text = TextOf(words);
  }
  changes.settings.emplace_back(kOwedSetting, std::move(text));
  RETURN_IF_ERROR(Apply(std::move(changes)).status());
  owed_ = std::move(words);
  is_owed_kept_ = true;
  for (const queue::OwedWord& word : owing.owed()) ++owed_ever_[word.acceptor()];
  return absl::OkStatus();
}

v1::EndTransfersRequest QueueDesk::Owed(const std::string& acceptor) {
  const int64_t now = absl::ToUnixNanos(Now());
  auto* owed = owed_.mutable_owed();
  const auto over = std::remove_if(owed->begin(), owed->end(), [&](const queue::OwedWord& word) {
    return word.until_ns() <= now;
  });
  if (over != owed->end()) is_owed_kept_ = false;
  owed->erase(over, owed->end());
  v1::EndTransfersRequest request;
  for (const queue::OwedWord& word : *owed) {
    if (word.acceptor() != acceptor) continue;
    TransferEnd& end = *request.add_ends();
    end.set_word(word.withdraw() ? TransferEnd::WITHDRAW : TransferEnd::CONFIRM);
    end.set_origin_server(word.origin_server());
    end.set_origin_mid(word.origin_mid());
  }
  return request;
}

// It had its end on both sides, or will have.
void QueueDesk::TellDoubt(const queue::OwedWord& word) {
  const auto ended = store_.FindEnded(word.mid());
  if (!ended.ok() || !ended->has_value()) return;
  v1::Event event = EndEvent(**ended);
  event.set_event_id(40022);
  event.set_level(v1::Warning);
  event.mutable_queue()->set_reason(absl::StrCat(
      "also by ", word.acceptor(), ": its answer was lost, and it could not be told in time"));
  events_.push_back(std::move(event));
}

void QueueDesk::OnTold(const std::string& acceptor, const v1::EndTransfersRequest& told,
                       const v1::EndTransfersResponse& answer) {
  auto* owed = owed_.mutable_owed();
  for (int i = 0; i < told.ends_size(); ++i) {
    const TransferEnd& end = told.ends(i);
    const auto word = std::find_if(owed->begin(), owed->end(), [&](const queue::OwedWord& one) {
      return one.acceptor() == acceptor && one.origin_server() == end.origin_server() &&
             one.origin_mid() == end.origin_mid() &&
             one.withdraw() == (end.word() == TransferEnd::WITHDRAW);
    });
    if (word == owed->end()) continue;
    const std::string arrival = i < answer.arrivals_size() ? answer.arrivals(i) : "";
    if (word->withdraw() && (arrival == "arrived-done" || arrival == "arrived-queued")) {
      TellDoubt(*word);
    }
    owed->erase(word);
    is_owed_kept_ = false;
  }
}

// With the next end that owes one, or here: a word that is said once more does no harm.
absl::Status QueueDesk::KeepOwed() {
  if (is_owed_kept_) return absl::OkStatus();
  Changes changes;
  changes.settings.emplace_back(kOwedSetting, owed_.owed_size() == 0 ? "" : TextOf(owed_));
  RETURN_IF_ERROR(Apply(std::move(changes)).status());
  is_owed_kept_ = true;
  return absl::OkStatus();
}

absl::Time QueueDesk::HeldUntil(const queue::Message& message) const {
  if (message.unconfirmed_ns() == 0) return absl::InfinitePast();
  // Its sender may have had no chance while this server was down.
  const absl::Time until =
      std::max(absl::FromUnixNanos(message.unconfirmed_ns()), began_ + kConfirmWithin);
  // Else the clock was set back: not to wait for that.
  return until <= Now() + kConfirmWithin ? until : absl::InfinitePast();
}

// Puts back, without its text, what is to be ended as withdrawn and is not in the queue: what a
// crash under HOLD took out (who executes what is in the set asks the queue first), and what has
// not come yet, so that it is known when it comes late. Killed between, it is withdrawn once more.
absl::Status QueueDesk::PutToEnd(const TransferEnd& withdrawn) {
  if (withdrawn.origin_server() == rules_->server) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto ended,
                   store_.FindEndedOrigin(withdrawn.origin_server(), withdrawn.origin_mid()));
  if (ended.has_value() && ended->final != Final::kHeldInSet) return absl::OkStatus();
  queue::Message message;
  message.set_mid(ended.has_value() ? ended->mid : store_.NewMid(Now()));
  message.set_origin_server(withdrawn.origin_server());
  message.set_origin_mid(withdrawn.origin_mid());
  message.set_type(ended.has_value() ? ended->type : queue::AF);
  if (ended.has_value()) {
    message.set_subject(ended->subject);
    message.set_correlation(ended->correlation);
  }
  message.set_expires_ns(absl::ToUnixNanos(Now() + rules_->expire));
  message.set_hops(1);
  Changes changes;
  changes.puts.push_back({message, "submission", /*suspended=*/true, Now()});
  return Apply(std::move(changes)).status();
}

absl::StatusOr<v1::EndTransfersResponse> QueueDesk::EndTransfers(
    const v1::EndTransfersRequest& request) {
  if (request.ends_size() > kEndsMax) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kEndsMax, " ends at once"));
  }
  v1::EndTransfersResponse response;
  Changes changes;
  std::vector<Step> steps;
  std::set<int64_t> changed;  // A second word on the same one finds it as it was.
  for (const TransferEnd& end : request.ends()) {
    ASSIGN_OR_RETURN(auto here, store_.FindOrigin(end.origin_server(), end.origin_mid()));
    if (end.word() == TransferEnd::WITHDRAW && !here.has_value()) {
      RETURN_IF_ERROR(PutToEnd(end));
      ASSIGN_OR_RETURN(here, store_.FindOrigin(end.origin_server(), end.origin_mid()));
    }
    const bool was_taken = here.has_value() && here->message.hops() > 0 &&
                           MayEnd(here->message.type(), *QueueKindOf(here->queue), Final::kRemoved);
    if (was_taken && changed.insert(here->sequence).second) {
      StoredMessage& row = *here;
      if (end.word() == TransferEnd::WITHDRAW && !row.delivering) {
        AddEnd(row, Final::kRemoved,
               absl::StrCat(kWithdrawnBy, request.sender(), ", where it has had its end"), changes,
               steps);
        response.add_arrivals("withdrawn");
        continue;
      }
      if (end.word() == TransferEnd::WITHDRAW) {
        changes.updates.push_back({.sequence = row.sequence, .removing = true});
      } else if (end.word() == TransferEnd::CONFIRM && row.message.unconfirmed_ns() != 0) {
        row.message.clear_unconfirmed_ns();
        changes.updates.push_back({.sequence = row.sequence, .message = row.message});
      }
    }
    v1::CheckArrivalRequest asked;
    asked.set_origin_server(end.origin_server());
    asked.set_origin_mid(end.origin_mid());
    ASSIGN_OR_RETURN(const v1::CheckArrivalResponse arrival, CheckArrival(asked));
    response.add_arrivals(arrival.arrival());
  }
  RETURN_IF_ERROR(ApplyAndTell(std::move(changes), std::move(steps)));
  return response;
}

}  // namespace salve
