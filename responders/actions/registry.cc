#include "absl/strings/str_cat.h"
#include "responders/action.h"
#include "responders/actions/collect.h"
#include "responders/actions/component_state.h"
#include "responders/actions/escalate.h"
#include "responders/actions/kill_process.h"
#include "responders/actions/reboot_server.h"
#include "responders/actions/reset_pool.h"
#include "responders/actions/restart_service.h"
#include "responders/actions/run_command.h"

namespace salve {
namespace {

using config::Responder;

struct Kind {
  int field_number;
  const char* type_name;
  absl::Status (*check)(const Responder&);
  std::unique_ptr<Action> (*make)(const Responder&, const ActionEnvironment&);
};

constexpr Kind kKinds[] = {
    // One entry a kind.
    {Responder::kKillProcess, "KillProcessResponder",
     [](const Responder& c) { return CheckKillProcess(c.kill_process()); },
     [](const Responder& c, const ActionEnvironment& e) {
       return NewKillProcess(c.kill_process(), e);
     }},
    {Responder::kResetPool, "ResetPoolResponder",
     [](const Responder& c) { return CheckResetPool(c.reset_pool()); },
     [](const Responder& c, const ActionEnvironment& e) {
       return NewResetPool(c.reset_pool(), e);
     }},
    {Responder::kRestartService, "RestartServiceResponder",
     [](const Responder& c) { return CheckRestartService(c.restart_service()); },
     [](const Responder& c, const ActionEnvironment& e) {
       return NewRestartService(c.restart_service(), e);
     }},
    {Responder::kRebootServer, "RebootServerResponder",
     [](const Responder& c) { return CheckRebootServer(c.reboot_server()); },
     [](const Responder& c, const ActionEnvironment& e) {
       return NewRebootServer(c.reboot_server(), e);
     }},
    {Responder::kTakeOffline, "TakeOfflineResponder",
     [](const Responder& c) { return CheckTakeOffline(c.take_offline()); },
     [](const Responder& c, const ActionEnvironment& e) {
       return NewTakeOffline(c.take_offline(), e);
     }},
    {Responder::kBringOnline, "BringOnlineResponder",
     [](const Responder& c) { return CheckBringOnline(c.bring_online()); },
     [](const Responder& c, const ActionEnvironment& e) {
       return NewBringOnline(c.bring_online(), e);
     }},
    {Responder::kRunCommand, "RunCommandResponder",
     [](const Responder& c) { return CheckRunCommand(c.run_command()); },
     [](const Responder& c, const ActionEnvironment& e) {
       return NewRunCommand(c.run_command(), e);
     }},
    {Responder::kEscalate, "EscalateResponder",
     [](const Responder& c) { return CheckEscalate(c.escalate()); },
     [](const Responder& c, const ActionEnvironment& e) { return NewEscalate(c.escalate(), e); }},
    {Responder::kCollect, "CollectResponder",
     [](const Responder& c) { return CheckCollect(c.collect()); },
     [](const Responder& c, const ActionEnvironment& e) { return NewCollect(c.collect(), e); }},
};

const Kind* FindKind(int field_number) {
  for (const Kind& kind : kKinds) {
    if (kind.field_number == field_number) return &kind;
  }
  return nullptr;
}

}  // namespace

absl::Status CheckResponder(const Responder& config) {
  const Kind* kind = FindKind(config.action_case());
  if (kind == nullptr) return absl::InvalidArgumentError("action: the responder has no action");
  return kind->check(config);
}

absl::StatusOr<std::unique_ptr<Action>> NewAction(const Responder& config,
                                                  const ActionEnvironment& environment) {
  if (absl::Status s = CheckResponder(config); !s.ok()) return s;
  return FindKind(config.action_case())->make(config, environment);
}

bool HasActionKind(int field_number) { return FindKind(field_number) != nullptr; }

std::string ResponderTypeName(const Responder& config) {
  const Kind* kind = FindKind(config.action_case());
  return kind == nullptr ? "Responder" : kind->type_name;
}

}  // namespace salve
