// `salvectl action run --dry-run`: what would be done and what would refuse it. Nothing is.
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"

namespace salve {

void Engine::DryRun(const std::shared_ptr<ManualRun>& run) {
  v1::RunActionResponse response;
  response.set_plan(run->action().Plan());
  // A person is not held to what holds the responder; but wants to know it.
  if (run->item != nullptr) {
    if (const std::optional<std::string> why = WhyNotNow(*run->item, run->index)) {
      absl::StrAppend(response.mutable_plan(),
                      ". By itself the responder would not act now: ", *why);
    }
  } else if (const Readiness readiness = run->action().Check();
             readiness.kind != Readiness::Kind::kReady) {
    absl::StrAppend(response.mutable_plan(), ". A responder would not act now: ", readiness.reason);
  }
  if (stopping_ || parts_.services.IsStopping()) {
    response.set_refused_because("the agent or the system is stopping");
  } else if (std::string paused = guards_.PausedBecause();
             !paused.empty() && KeepsFrom(HoldKind::kPause, TraitsOf(run->action()))) {
    response.set_refused_because(std::move(paused));
  } else if (IsBusy(KeyOf(run->action()))) {
    response.set_refused_because("another action on the resource is under way");
  }
  if (!run->action().is_throttled()) {
    response.set_allowed(response.refused_because().empty());
    return run->done(std::move(response));
  }
  parts_.gate.DryCheck(run->request,
                       [this, alive = alive_, run, response](GateAnswer answer) mutable {
                         if (!*alive) return;
                         response.set_allowed(answer.kind == GateAnswer::Kind::kAllowed &&
                                              response.refused_because().empty());
                         FillVerdict(run->request, answer, response);
                         run->done(std::move(response));
                       });
}

void Engine::FillVerdict(const ActionRequest& request, const GateAnswer& answer,
                         v1::RunActionResponse& response) const {
  v1::RecoveryActionLogEvent& verdict = *response.mutable_verdict();
  verdict.set_action_id(std::string(ActionName(request.action)));
  verdict.set_resource_name(request.resource);
  verdict.set_requester_name(request.requester);
  verdict.set_exception_message(answer.message);
  verdict.set_local_throttle_result(answer.local_xml);
  verdict.set_group_throttle_result(answer.group.xml);
  if (answer.retry_in.has_value()) {
    SetTime(parts_.loop.clock().WallNow() + *answer.retry_in,
            response.mutable_time_to_retry_after());
  }
}

}  // namespace salve
