// Responders as components concern them: those that vote, and those that pass no throttle.
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"

namespace salve {

// Why a responder acts, for whatever keeps it: "Web/Down is UNHEALTHY: connection refused".
std::string Engine::ReasonOf(const MonitorItem& item) const {
  const MonitorStatus status = item.monitor->Status(parts_.loop.Now());
  return absl::StrCat(item.full_name, " is ", config::HealthState_Name(status.state),
                      status.last_error.empty() ? "" : ": ", status.last_error);
}

bool Engine::VoteStands(const MonitorItem& item, size_t index) const {
  const ResponderDefinition& definition = item.responders[index].definition;
  return definition.config.has_take_offline() && parts_.components != nullptr &&
         parts_.components->HasVote(definition.config.take_offline().component(), definition.name);
}

// A component that was taken offline because it is sick comes back when it is well; one that was
// taken offline for a time stays so for that time.
void Engine::TakeBackVotes(const MonitorItem& item) {
  for (size_t i = 0; i < item.responders.size(); ++i) {
    const ResponderDefinition& definition = item.responders[i].definition;
    const config::TakeOffline& config = definition.config.take_offline();
    if (!VoteStands(item, i) || !config.duration().empty()) continue;
    parts_.components
        ->TakeBack(config.component(), definition.name,
                   absl::StrCat(item.full_name, " is healthy again"))
        .IgnoreError();
  }
}

void Engine::DropVotesOfNobody() {
  if (parts_.components == nullptr) return;
  std::set<std::pair<std::string, std::string>> voters;
  for (const auto& [name, item] : monitors_) {
    const bool is_open = !item->monitor->Status(parts_.loop.Now()).incident_id.empty();
    for (const ResponderItem& responder : item->responders) {
      const config::TakeOffline& config = responder.definition.config.take_offline();
      if (!responder.definition.config.has_take_offline()) continue;
      if (!is_open && config.duration().empty()) continue;
      voters.emplace(config.component(), responder.definition.name);
    }
  }
  parts_.components->KeepVotesOf(voters);
}

// Again and again as long as the state lasts: it is cheap, and changes nothing twice.
void Engine::RunUnthrottled(const MonitorPtr& item, size_t index) {
  ResponderItem& responder = item->responders[index];
  const Instant now = parts_.loop.Now();
  item->chain.AskAgainAt(index, now + responder.definition.retry_after);
  if (responder.definition.observe) {
    return Respond(item, index, 1,
                   absl::StrCat("OBSERVE: would run ", responder.action->id(), " on ",
                                responder.action->resource(), " now"));
  }
  responder.action->AskedBy(responder.definition.name, ReasonOf(*item));
  responder.action->Run(
      now + responder.definition.timeout, [](std::string, auto then) { then(absl::OkStatus()); },
      [this, alive = alive_, item, index](ActionResult result) {
        if (!*alive) return;
        Respond(item, index, 2,
                result.kind == ActionResult::Kind::kSucceeded ? result.context
                                                              : result.exception_message);
      });
}

void Engine::RunUnthrottledManually(const std::shared_ptr<ManualRun>& run) {
  Attempt attempt;  // Not in the ledger: only for the answer.
  attempt.start_wall = parts_.loop.clock().WallNow();
  attempt.resource = run->action().resource();
  attempt.requester = run->request.requester;
  run->action().AskedBy(run->request.requester, run->reason);
  run->action().Run(
      parts_.loop.Now() + run->item->responders[run->index].definition.timeout,
      [](std::string, auto then) { then(absl::OkStatus()); },
      [this, alive = alive_, run, attempt](ActionResult result) {
        if (!*alive) return;
        v1::RunActionResponse response;
        response.set_allowed(true);
        *response.mutable_result() = EndProto(attempt, result, parts_.loop.clock().WallNow());
        response.mutable_result()->set_id(run->action().id());
        run->done(std::move(response));
      });
}

}  // namespace salve
