#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "queue/dispatcher_state.h"

namespace salve {
namespace {

constexpr absl::Duration kRetryFirst = absl::Seconds(1);
// Well within the time for which an acceptor that is back waits for its word.
constexpr absl::Duration kRetryMax = absl::Seconds(10);

}  // namespace

// The answer to its transfer did not come. It is not delivered here before the acceptor was asked;
// when that can't be reached it is, since late is worse.
void Dispatcher::State::AskAcceptor(Stream& stream, const StoredMessage& row) {
  stream.asked_acceptor = true;
  const std::string acceptor = row.message.handed_to();
  const auto on_answer = [self = weak_from_this(), queue = stream.queue, row,
                          acceptor](const Parts::Arrival& arrival) {
    const std::shared_ptr<State> state = self.lock();
    if (state == nullptr) return;
    Stream& asking = *state->StreamOf(queue);
    if (state->stopping) {
      QueueDesk::Settlement settlement{.queue = queue, .sequences = asking.sequences};
      settlement.result.kind = DeliveryResult::Kind::kNotReached;
      settlement.interrupted = true;
      return state->Settle(queue, std::move(settlement));
    }
    if (arrival.ok() && absl::StartsWith(arrival->arrival(), "arrived")) {
      asking.is_at_acceptor = true;
      return state->OnDelivered(
          queue, {.detail = absl::StrCat(acceptor, " has it: ", arrival->arrival())});
    }
    // "Not arrived" is of now: the transfer itself may still come to it. So it is owed a word, too.
    state->Deliver(asking, {row});
  };
  if (parts.check_arrival == nullptr) return on_answer(absl::UnavailableError("nobody to ask"));
  parts.check_arrival(absl::StrCat("relay/", acceptor), row.message, on_answer);
}

// After each step: whoever is owed more than before is told.
void Dispatcher::State::TellOwed() {
  if (!configured || stopping || parts.end_transfers == nullptr) return;
  for (const auto& [acceptor, ever] : picture.owed) {
    if (std::exchange(owing[acceptor].ever, ever) != ever) TellAcceptor(acceptor);
  }
}

void Dispatcher::State::TellAcceptor(const std::string& acceptor) {
  Owing& one = owing[acceptor];
  if (stopping) return;
  if (one.busy) {
    one.again = true;
    return;
  }
  one.busy = true;
  one.again = false;
  parts.loop.CancelTimer(std::exchange(one.timer, TimerId::kNone));
  Run([acceptor](QueueDesk& desk) { return desk.Owed(acceptor); },
      [this, acceptor](const v1::EndTransfersRequest& request) {
        Owing& asking = owing[acceptor];
        if (request.ends().empty() || stopping) {
          asking.busy = false;
          if (asking.again) TellAcceptor(acceptor);
          return;
        }
        parts.end_transfers(
            acceptor, request,
            [self = weak_from_this(), acceptor, request](const Parts::Ended& answer) {
              if (const auto state = self.lock()) state->OnTold(acceptor, request, answer);
            });
      });
}

void Dispatcher::State::OnTold(const std::string& acceptor, const v1::EndTransfersRequest& told,
                               const Parts::Ended& answer) {
  Owing& one = owing[acceptor];
  if (stopping) return;
  // An acceptor that does not know the call holds nothing back.
  if (!answer.ok() && !absl::IsUnimplemented(answer.status())) {
    one.busy = false;
    const absl::Duration wait =
        std::min(kRetryFirst * (1 << std::min(one.failures++, 6)), kRetryMax);
    one.timer = parts.loop.CallAfter(wait, [this, acceptor] {
      owing[acceptor].timer = TimerId::kNone;
      TellAcceptor(acceptor);
    });
    return;
  }
  one.failures = 0;
  Run(
      [acceptor, told, said = answer.ok() ? *answer : v1::EndTransfersResponse()](QueueDesk& desk) {
        desk.OnTold(acceptor, told, said);
        return absl::OkStatus();
      },
      [this, acceptor](absl::Status) {
        owing[acceptor].busy = false;
        TellAcceptor(acceptor);  // What came meanwhile.
      });
}

}  // namespace salve
