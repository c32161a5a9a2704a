#include "agent/policy_world.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/components.h"
#include "agent/configuration.h"
#include "agent/engine.h"
#include "agent/state_store.h"
#include "api/salve.pb.h"
#include "base/check.h"
#include "base/fake_host.h"
#include "base/fake_service_manager.h"
#include "base/host.h"
#include "base/ids.h"
#include "base/simulated_loop.h"
#include "base/status_macros.h"
#include "base/unit_name.h"
#include "base/worker.h"
#include "responders/escalation/notifier.h"
#include "throttling/coordinator.h"
#include "throttling/gate.h"
#include "throttling/ledger.h"
#include "throttling/local_coordinator.h"

namespace salve {
namespace {

// 2027-01-15 08:00 UTC, the begin of every case: a story is the same at each run.
constexpr int64_t kStart = 1'800'000'000;
constexpr absl::Duration kUptimeAtStart = absl::Hours(1);
// What passes between the kernel's start and the agent's.
constexpr absl::Duration kUptimeAtBoot = absl::Seconds(5);
// How exactly the moment of a reboot is kept.
constexpr absl::Duration kSlice = absl::Seconds(1);
constexpr absl::Duration kComponentCommandTakes = absl::Seconds(1);

// In memory where there is such a place: every attempt is synced to its disk.
absl::StatusOr<std::string> NewFolder() {
  const char* tmp = getenv("TMPDIR");
  for (const std::string& parent :
       {std::string("/dev/shm"), std::string(tmp == nullptr ? "" : tmp), std::string("/tmp")}) {
    std::string dir = parent + "/salve-policy-test-XXXXXX";
    if (parent.empty() || access(parent.c_str(), W_OK | X_OK) != 0) continue;
    if (mkdtemp(dir.data()) != nullptr) return dir;
  }
  return ErrnoStatus(errno, "a folder in /dev/shm or /tmp");
}

std::string UnitOf(const config::Responder& config) {
  if (config.has_restart_service() && config.restart_service().command().empty()) {
    return UnitName(config.restart_service().service());
  }
  if (config.has_reset_pool()) return UnitName(config.reset_pool().service());
  if (config.has_kill_process() && !config.kill_process().service().empty()) {
    return UnitName(config.kill_process().service());
  }
  return "";
}

// Each item tells its full name by that of its text, where for_each has left the written one;
// nothing is written where a real component has its state; and there are no other servers, so that
// a health floor would forbid everything.
Configuration Prepared(Configuration configuration) {
  for (HealthSetDefinition& set : configuration.health_sets) {
    for (ProbeDefinition& probe : set.probes) probe.config.set_name(FullName(probe));
    for (ResponderDefinition& responder : set.responders) {
      responder.config.set_name(responder.name);
    }
  }
  for (config::Component& component : *configuration.agent.config.mutable_component()) {
    component.clear_state_file();
  }
  configuration.agent.config.clear_min_healthy_percent();
  return configuration;
}

}  // namespace

std::set<std::string> UnitsOf(const Configuration& configuration) {
  std::set<std::string> units;
  for (const HealthSetDefinition& set : configuration.health_sets) {
    for (const ResponderDefinition& responder : set.responders) {
      if (std::string unit = UnitOf(responder.config); !unit.empty()) units.insert(unit);
    }
  }
  return units;
}

// Letters always arrive, and at once.
class ArrivingNotifier final : public Notifier {
 public:
  explicit ArrivingNotifier(EventLog& events) : events_(events) {}
  void Configure(const AgentDefinition& agent) override {
    destinations_.clear();
    for (const config::Destination& destination : agent.config.destination()) {
      destinations_.push_back(destination.name());
    }
  }
  std::vector<std::string> Send(const Notice& notice) override {
    std::vector<std::string> names;
    for (const std::string& name : destinations_) {
      if (!notice.to.empty() && std::count(notice.to.begin(), notice.to.end(), name) == 0) continue;
      names.push_back(name);
      v1::Event event;
      event.set_channel(v1::Monitoring);
      event.set_event_id(5);
      event.set_level(v1::Information);
      event.set_incident_id(notice.incident_id);
      event.set_health_set(notice.health_set);
      event.set_name(notice.monitor);
      event.mutable_monitoring()->set_health_set(notice.health_set);
      event.mutable_monitoring()->set_monitor(notice.monitor);
      event.mutable_monitoring()->set_subject(notice.subject);
      event.mutable_monitoring()->set_destination(name);
      event.mutable_monitoring()->set_attempt(1);
      events_.Append(std::move(event));
    }
    return names;
  }

 private:
  EventLog& events_;
  std::vector<std::string> destinations_;
};

struct PolicyWorld::Server {
  Server(absl::Time wall, absl::Duration uptime, const std::string& dir)
      : loop(SimulatedClock(wall, Instant::FromNanosSinceBoot(absl::ToInt64Nanoseconds(uptime)))),
        host(loop, dir + "/proc"),
        services(loop) {}

  SimulatedLoop loop;
  FakeHost host;
  FakeServiceManager services;
  InlineWorker worker;
};

struct PolicyWorld::Agent {
  RandomSource random;
  std::unique_ptr<StateStore> state;
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<Coordinator> coordinator;
  std::unique_ptr<Gate> gate;
  std::unique_ptr<Components> components;
  std::unique_ptr<Notifier> notifier;
  std::unique_ptr<Engine> engine;
};

absl::StatusOr<std::unique_ptr<PolicyWorld>> PolicyWorld::Create(const Configuration& configuration,
                                                                 const Policy& policy,
                                                                 int64_t looks_max) {
  std::unique_ptr<PolicyWorld> world(new PolicyWorld(configuration, policy, looks_max));
  ASSIGN_OR_RETURN(world->dir_, NewFolder());
  world->Boot(absl::FromUnixSeconds(kStart), kUptimeAtStart);
  RETURN_IF_ERROR(world->StartAgent());
  return world;
}

PolicyWorld::PolicyWorld(const Configuration& configuration, const Policy& policy,
                         int64_t looks_max)
    : configuration_(Prepared(configuration)),
      policy_(policy),
      record_(absl::FromUnixSeconds(kStart)),
      looks_max_(looks_max) {}

PolicyWorld::~PolicyWorld() {
  agent_.reset();
  server_.reset();
  std::error_code ignored;
  if (!dir_.empty()) std::filesystem::remove_all(dir_, ignored);
}

void PolicyWorld::Boot(absl::Time wall, absl::Duration uptime) {
  ++boots_;
  goes_down_.reset();
  server_ = std::make_unique<Server>(wall, uptime, dir_);
  record_.SetClock(server_->loop.clock());
  for (const std::string& unit : UnitsOf(configuration_)) {
    server_->services.SetUnit(unit, server_->services.Unit(unit));
  }
  for (const config::Component& component : configuration_.agent.config.component()) {
    for (const auto* command : {&component.offline_command(), &component.online_command()}) {
      if (command->empty()) continue;
      server_->host.SetProgram(command->Get(0), {.takes = kComponentCommandTakes});
    }
  }
}

absl::Status PolicyWorld::StartAgent() {
  Server& server = *server_;
  const std::string boot_id = absl::StrCat("boot-", boots_);
  auto agent = std::make_unique<Agent>();
  // The same at each run, and another after each start.
  agent->random =
      [seed = static_cast<uint64_t>(absl::ToUnixNanos(server.loop.clock().WallNow()))]() mutable {
        return seed = seed * 6364136223846793005u + 1442695040888963407u;
      };
  ASSIGN_OR_RETURN(agent->state, StateStore::Open(dir_ + "/state.db", server.worker));
  LedgerOptions ledger;
  ledger.path = dir_ + "/ledger.db";
  ledger.boot_id = boot_id;
  ledger.server = configuration_.agent.server;
  ledger.clock_is_synchronised = [] { return true; };
  ASSIGN_OR_RETURN(agent->ledger, Ledger::Open(ledger, server.loop, server.worker));
  agent->coordinator = NewLocalCoordinator(server.loop, *agent->ledger);
  agent->gate = std::make_unique<Gate>(
      Gate::Parts{&server.loop, agent->ledger.get(), agent->coordinator.get(), &record_});
  agent->gate->SetPolicy(policy_);
  Agent* const raw = agent.get();
  agent->components = std::make_unique<Components>(ComponentsParts{
      server.loop, server.host, server.worker, *agent->state, [raw](const ComponentNews& news) {
        raw->engine->AppendAgentEvent(17, news.is_trouble ? v1::Error : v1::Information,
                                      news.message, 0, news.who);
      }});
  agent->notifier = std::make_unique<ArrivingNotifier>(record_);
  agent->engine = std::make_unique<Engine>(EngineParts{
      .loop = server.loop,
      .host = server.host,
      .services = server.services,
      .events = record_,
      .ledger = *agent->ledger,
      .gate = *agent->gate,
      .coordinator = *agent->coordinator,
      .state = *agent->state,
      .components = agent->components.get(),
      .random = agent->random,
      .boot_id = boot_id,
      .new_probe = [this](const config::Probe& config) -> absl::StatusOr<std::unique_ptr<Probe>> {
        return NewProbe(config);
      },
      .new_action = [this](const config::Responder& config) { return NewAction(config); },
      .version = "test",
      .checks = ChecksOfAllKinds(),
      .notifier = agent->notifier.get(),
  });
  agent_ = std::move(agent);
  agent_->engine->Reconcile();
  agent_->components->Configure(configuration_.agent.config.component());
  return agent_->engine->Apply(configuration_);
}

std::unique_ptr<Probe> PolicyWorld::NewProbe(const config::Probe& config) {
  return NewPolicyProbe(config, server_->loop, seen_[config.name()], looks_);
}

absl::StatusOr<std::unique_ptr<Action>> PolicyWorld::NewAction(const config::Responder& config) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<Action> real,
      salve::NewAction(config, {.loop = server_->loop,
                                .host = server_->host,
                                .services = server_->services,
                                .server = configuration_.agent.server,
                                .components = agent_->components.get(),
                                .state_dir = dir_,
                                .files = &server_->worker,
                                .tell = [this](Notice n) { agent_->engine->Tell(std::move(n)); }}));
  return NewPolicyAction(
      config, std::move(real),
      {.loop = server_->loop,
       .record = record_,
       .script = [this, name = config.name()] { return scripts_[name]; },
       .goes_down = [this](absl::Duration down) { goes_down_ = down; },
       .succeeded = [this, config](const ActionScript& script) { Succeeded(config, script); }});
}

void PolicyWorld::Succeeded(const config::Responder& config, const ActionScript& script) {
  if (const std::string unit = UnitOf(config); !unit.empty()) {
    UnitState state = server_->services.Unit(unit);
    if (state.active_state != "active") {
      state = FakeServiceManager(server_->loop).Unit(unit);
      state.invocation_id = absl::StrCat(absl::ToInt64Nanoseconds(Now()));
      SetUnit(unit, state);
    }
  }
  for (const std::string& probe : script.heals) See(probe, Sight());
}

void PolicyWorld::See(const std::string& probe, Sight sight) {
  Seen& seen = seen_[probe];
  seen.sight = std::move(sight);
  if (seen.look_now) seen.look_now();
}

void PolicyWorld::Script(const std::string& responder, ActionScript script) {
  scripts_[responder] = std::move(script);
}

void PolicyWorld::SetUnit(const std::string& unit, const absl::StatusOr<UnitState>& state) {
  server_->services.SetUnit(unit, state);
}

absl::Status PolicyWorld::RunFor(absl::Duration d) {
  const absl::Duration end = Now() + d;
  do {
    server_->loop.RunFor(std::clamp(end - Now(), absl::ZeroDuration(), kSlice));
    if (looks_ > looks_max_) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the case has more than ", looks_max_, " looks: let less time pass"));
    }
    if (goes_down_.has_value()) RETURN_IF_ERROR(Reboot(*goes_down_));
  } while (Now() < end);
  return absl::OkStatus();
}

absl::Status PolicyWorld::RestartAgent(absl::Duration down) {
  record_.Say("the agent dies");
  agent_.reset();
  server_->loop.RunFor(down);
  record_.Say("the agent starts again");
  RETURN_IF_ERROR(StartAgent());
  return RunFor(absl::ZeroDuration());
}

absl::Status PolicyWorld::Reboot(absl::Duration down) {
  record_.Say("the server goes down");
  agent_.reset();
  const absl::Time wall = server_->loop.clock().WallNow() + down;
  server_.reset();
  Boot(wall, kUptimeAtBoot);
  record_.Say("the server has booted");
  RETURN_IF_ERROR(StartAgent());
  return RunFor(absl::ZeroDuration());
}

absl::Status PolicyWorld::Maintain(const std::string& health_set, absl::Duration length) {
  v1::MaintenanceRequest request;
  const bool begins = length > absl::ZeroDuration();
  request.set_verb(begins ? v1::MaintenanceRequest::START : v1::MaintenanceRequest::END);
  request.set_health_set(health_set);
  request.set_duration_seconds(absl::ToInt64Seconds(length));
  request.set_reason("policy test");
  request.set_user("test");
  const auto ended =
      std::make_shared<absl::Status>(absl::InternalError("the maintenance was not answered"));
  agent_->engine->Maintain(request, [ended](const auto& answer) { *ended = answer.status(); });
  RETURN_IF_ERROR(RunFor(absl::ZeroDuration()));
  return *ended;
}

absl::Status PolicyWorld::PauseActions(absl::Duration length) {
  v1::PauseRequest request;
  const bool begins = length > absl::ZeroDuration();
  request.set_verb(begins ? v1::PauseRequest::PAUSE : v1::PauseRequest::RESUME);
  if (length < absl::InfiniteDuration()) request.set_duration_seconds(absl::ToInt64Seconds(length));
  request.set_reason("policy test");
  request.set_user("test");
  const auto ended =
      std::make_shared<absl::Status>(absl::InternalError("the pause was not answered"));
  agent_->engine->PauseActions(request, [ended](const auto& answer) { *ended = answer.status(); });
  RETURN_IF_ERROR(RunFor(absl::ZeroDuration()));
  return *ended;
}

PolicyWorld::State PolicyWorld::StateOf(const std::string& item) const {
  const size_t slash = item.find('/');
  const absl::StatusOr<v1::GetServerHealthResponse> health =
      agent_->engine->Health(item.substr(0, slash));
  CHECK(health.ok() && health->health_sets_size() == 1);
  const v1::HealthSetHealth& set = health->health_sets(0);
  if (slash == std::string::npos) return {set.state(), "", ""};
  for (const v1::MonitorHealth& monitor : set.monitors()) {
    if (monitor.name() != item.substr(slash + 1)) continue;
    return {monitor.state(), monitor.last_error(), monitor.hold()};
  }
  return {set.state(), "", ""};  // It is disabled, or its set is.
}

}  // namespace salve
