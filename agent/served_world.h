// ServedWorld: an engine on a real loop, with its ledger and events on disk, behind the API's own
// server at a Unix socket. Programs and units are fakes. For tests and benchmarks of the API.
#ifndef SALVE_AGENT_SERVED_WORLD_H_
#define SALVE_AGENT_SERVED_WORLD_H_

#include <grpcpp/grpcpp.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "agent/api_server.h"
#include "agent/components.h"
#include "agent/durable_queue.h"
#include "agent/engine.h"
#include "agent/overrides.h"
#include "agent/state_store.h"
#include "base/check.h"
#include "base/fake_host.h"
#include "base/fake_service_manager.h"
#include "base/uv_loop.h"
#include "base/worker.h"
#include "channels/event_query.h"
#include "channels/event_store.h"
#include "config/loader.h"
#include "probes/resolver.h"
#include "queue/fake_acceptors.h"
#include "responders/escalation/fake_transport.h"
#include "throttling/gate.h"
#include "throttling/ledger.h"
#include "throttling/local_coordinator.h"

namespace salve {

// Is asked for its looks by nobody.
class SilentProbe final : public Probe {
 public:
  void Start(Instant, ObservationDone) override {}
};

class ServedWorld {
 public:
  // `health_sets` in the configuration language.
  explicit ServedWorld(const std::string& health_sets, Role role = Role::kAdmin) {
    char dir[] = "/tmp/salve-served.XXXXXX";
    CHECK(mkdtemp(dir) != nullptr);
    dir_ = dir;
    Build();
    std::filesystem::create_directories(dir_ + "/conf.d");
    std::ofstream(dir_ + "/conf.d/test.textproto") << health_sets;
    LoadOptions options;
    options.host_name = "test-1";
    Configuration configuration = LoadConfiguration(dir_, options).value();
    CHECK(engine_->Apply(std::move(configuration)).ok());
    queue_->SetEngine(engine_.get());
    queue_->Configure(engine_->configuration().agent);
    server_ = ApiServer::Start({.path = socket(), .role = role}, Parts()).value();
    thread_ = std::thread([this] { loop_.Run(); });
  }
  ~ServedWorld() {
    StopServer();
    StopLoop();
    overrides_.reset();
    queue_.reset();
    engine_.reset();
    components_.reset();
    gate_.reset();
    coordinator_.reset();
    ledger_.reset();
    reader_.reset();
    events_.reset();
    std::filesystem::remove_all(dir_);
  }
  ServedWorld(const ServedWorld&) = delete;
  ServedWorld& operator=(const ServedWorld&) = delete;

  void StopServer() { server_.reset(); }
  // Nothing is answered from then on.
  void StopLoop() {
    if (!thread_.joinable()) return;
    loop_.Stop();
    thread_.join();
  }

  std::string socket() const { return dir_ + "/s.sock"; }
  EventLog& events() { return *events_; }
  std::shared_ptr<grpc::Channel> Channel() const {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    return grpc::CreateCustomChannel("unix:" + socket(), grpc::InsecureChannelCredentials(),
                                     arguments);
  }

 private:
  ApiParts Parts() {
    return {.loop = loop_,
            .engine = *engine_,
            .reader = *reader_,
            .overrides = *overrides_,
            .components = *components_,
            .reload =
                [](std::string who, std::function<void(absl::Status)> done) {
                  done(absl::FailedPreconditionError(who));  // So that a test sees the name.
                },
            .info = [](v1::GetInfoResponse& info) { info.set_version("test"); },
            .queue = queue_->dispatcher(),
            .queue_off = queue_->off()};
  }

  static Components::Config ComponentsOfTheTest() {
    Components::Config components;
    components.Add()->set_name("web");
    return components;
  }

  void Build() {
    state_ = StateStore::Open(dir_ + "/state.db", worker_).value();
    LedgerOptions ledger;
    ledger.path = dir_ + "/ledger.db";
    ledger.boot_id = "boot-1";
    ledger.server = "test-1";
    ledger_ = Ledger::Open(ledger, loop_, worker_).value();
    EventStoreOptions events;
    events.path = dir_ + "/events.db";
    events.server = "test-1";
    events.clock = &loop_.clock();
    events_ = EventStore::Open(std::move(events)).value();
    reader_ = std::make_unique<EventReader>(*events_);
    coordinator_ = NewLocalCoordinator(loop_, *ledger_);
    gate_ = std::make_unique<Gate>(
        Gate::Parts{&loop_, ledger_.get(), coordinator_.get(), events_.get()});
    components_ = std::make_unique<Components>(
        ComponentsParts{loop_, host_, worker_, *state_, [this](const ComponentNews& news) {
                          engine_->AppendAgentEvent(17, v1::Information, news.message, 0, news.who);
                        }});
    components_->Configure(ComponentsOfTheTest());
    queue_ = std::make_unique<DurableQueue>(DurableQueue::Parts{
        .loop = loop_,
        .events = *events_,
        .ledger = *ledger_,
        .resolver = resolver_,
        .transport = transport_,
        .acceptors = acceptors_,
        .state_dir = dir_,
        .boot_id = "boot-1",
        .agent_version = "test",
        .new_worker = [] { return std::make_unique<ThreadWorker>(); },
    });
    AgentDefinition agent;
    agent.server = "test-1";
    queue_->Open(agent);
    engine_ = std::make_unique<Engine>(EngineParts{
        .loop = loop_,
        .host = host_,
        .services = services_,
        .events = *events_,
        .ledger = *ledger_,
        .gate = *gate_,
        .coordinator = *coordinator_,
        .state = *state_,
        .components = components_.get(),
        .random = random_,
        .boot_id = "boot-1",
        .new_probe = [](const config::Probe&) -> absl::StatusOr<std::unique_ptr<Probe>> {
          return std::make_unique<SilentProbe>();
        },
        .new_action =
            [this](const config::Responder& config) {
              return NewAction(
                  config, ActionEnvironment{loop_, host_, services_, "test-1", components_.get()});
            },
        .version = "test",
        .defer =
            [this](const v1::RunActionRequest& request, const std::string& resource,
                   std::function<void(absl::StatusOr<std::string>)> done) {
              queue_->Defer(request, resource, std::move(done));
            },
    });
    OverrideStoreOptions overrides;
    overrides.local_file = dir_ + "/overrides.xml";
    overrides.local_copy = dir_ + "/overrides.last.xml";
    overrides.global_file = dir_ + "/global-overrides.xml";
    overrides.global_copy = dir_ + "/global-overrides.last.xml";
    overrides_ = std::make_unique<Overrides>(Overrides::Parts{loop_, worker_, *events_, *engine_},
                                             std::move(overrides));
    overrides_->Load();
  }

  std::string dir_;
  UvLoop loop_;
  FakeHost host_{loop_};
  FakeServiceManager services_{loop_};
  Resolver resolver_{loop_};
  FakeTransport transport_{loop_};
  FakeAcceptors acceptors_;
  ThreadWorker worker_;
  RandomSource random_ = SystemRandom();
  std::unique_ptr<StateStore> state_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<EventStore> events_;
  std::unique_ptr<EventReader> reader_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<Components> components_;
  std::unique_ptr<DurableQueue> queue_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Overrides> overrides_;
  std::unique_ptr<ApiServer> server_;
  std::thread thread_;
};

}  // namespace salve

#endif  // SALVE_AGENT_SERVED_WORLD_H_
