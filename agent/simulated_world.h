// SimulatedWorld: a whole engine on a simulated clock, with scripted looks, programs and units,
// a real ledger, a real state.db and a real queue in a folder of its own. For tests. One thread
// only.
#ifndef SALVE_AGENT_SIMULATED_WORLD_H_
#define SALVE_AGENT_SIMULATED_WORLD_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/components.h"
#include "agent/deferred_actions.h"
#include "agent/engine.h"
#include "agent/queue_notifier.h"
#include "agent/state_store.h"
#include "base/fake_host.h"
#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"
#include "base/worker.h"
#include "channels/event_log.h"
#include "config/loader.h"
#include "queue/dispatcher.h"
#include "queue/fake_acceptors.h"
#include "queue/fake_deliverer.h"
#include "queue/letter_deliverer.h"
#include "queue/message_store.h"
#include "responders/escalation/fake_transport.h"
#include "throttling/fake_coordinator.h"
#include "throttling/fake_shared_text.h"
#include "throttling/gate.h"
#include "throttling/ledger.h"
#include "throttling/local_coordinator.h"

namespace salve {

class RecordingEventLog final : public EventLog {
 public:
  uint64_t Append(v1::Event event) override {
    event.set_record_id(events.size() + 1);
    events.push_back(std::move(event));
    return events.size();
  }
  std::vector<v1::Event> events;
};

// Looks as the test says; a url or unit without a script succeeds.
class ScriptedProbe final : public Probe {
 public:
  ScriptedProbe(EventLoop& loop, const Observation* answer, const absl::Duration* takes)
      : loop_(loop), answer_(answer), takes_(takes) {}
  ~ScriptedProbe() override { loop_.CancelTimer(timer_); }
  void Start(Instant, ObservationDone done) override {
    timer_ = loop_.CallAfter(*takes_, [this, done = std::move(done)]() mutable { done(*answer_); });
  }

 private:
  EventLoop& loop_;
  const Observation* answer_;
  const absl::Duration* takes_;
  TimerId timer_ = TimerId::kNone;
};

class SimulatedWorld {
 public:
  // The server booted an hour ago, unless the test says otherwise.
  explicit SimulatedWorld(Instant now = Instant::FromNanosSinceBoot(3'600'000'000'000))
      : loop(SimulatedClock(absl::FromUnixSeconds(1'800'000'000), now)) {
    const char* tmp = getenv("TEST_TMPDIR");
    dir_ = std::string(tmp == nullptr ? "/tmp" : tmp) + "/world-XXXXXX";
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
    std::filesystem::create_directories(dir_ + "/conf.d");
    Boot();
  }
  ~SimulatedWorld() {
    EndAgent();
    std::filesystem::remove_all(dir_);
  }

  // Loads health sets written in the configuration language.
  absl::Status Configure(const std::string& text, const std::string& agent = "boot_grace: \"0s\"") {
    std::ofstream(dir_ + "/conf.d/test.textproto") << text;
    std::ofstream(dir_ + "/salve.textproto") << agent;
    LoadOptions options;
    options.host_name = "test-1";
    options.checks.probe = [](const config::Probe&) { return absl::OkStatus(); };
    options.checks.monitor = CheckMonitor;
    options.checks.responder = CheckResponder;
    options.found = found;
    absl::StatusOr<Configuration> configuration = LoadConfiguration(dir_, options);
    if (!configuration.ok()) return configuration.status();
    components->Configure(configuration->agent.config.component());
    letters->Configure(configuration->agent);
    queue->Configure(configuration->agent);
    notifier->Configure(configuration->agent);
    return engine->Apply(*std::move(configuration));
  }

  // What the probe that looks at this url (http) or unit (systemd_unit) sees from now on.
  Observation& Sees(const std::string& target) { return answers_[target]; }

  void RunFor(absl::Duration d) { loop.RunFor(d); }
  const std::string& dir() const { return dir_; }

  FoundPaths found;  // Of the conditions of what is configured next.

  // The agent dies without a word, and a new one takes up the state. With another boot id it is
  // as after a reboot.
  void KillAgent(const std::string& boot_id = "boot-1") {
    EndAgent();
    boot_id_ = boot_id;
    Boot();
    engine->Reconcile();
    at_start_ = false;
  }

  std::vector<v1::Event> Events(v1::Channel channel) const {
    std::vector<v1::Event> found;
    for (const v1::Event& event : events.events) {
      if (event.channel() == channel) found.push_back(event);
    }
    return found;
  }
  // How many events of this channel have this id.
  int Count(v1::Channel channel, int event_id) const {
    int count = 0;
    for (const v1::Event& event : events.events) {
      count += event.channel() == channel && event.event_id() == event_id;
    }
    return count;
  }
  std::string StateOf(const std::string& set) const {
    return engine->Health(set)->health_sets(0).state();
  }

  SimulatedLoop loop;
  FakeHost host{loop};
  FakeServiceManager services{loop};
  InlineWorker worker;
  RecordingEventLog events;
  FakeTransport transport{loop};
  std::unique_ptr<StateStore> state;
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<Coordinator> coordinator;
  bool in_group = false;  // From the next start on (KillAgent): the coordinator is `group`.
  FakeCoordinator* group = nullptr;
  absl::Duration looks_take = absl::ZeroDuration();  // All of them.
  FakeSharedText group_pause{loop};                  // Used in a group only.
  std::unique_ptr<Gate> gate;
  std::unique_ptr<Components> components;
  std::unique_ptr<LetterDeliverer> letters;
  std::unique_ptr<DeferredActions> actions;
  std::unique_ptr<Dispatcher> queue;
  bool queue_answers = true;  // Else notices are neither taken nor refused.
  std::unique_ptr<QueueNotifier> notifier;
  std::unique_ptr<Engine> engine;

 private:
  // Without a word: the queue stays dirty.
  void EndAgent() {
    engine.reset();
    components.reset();
    notifier.reset();
    queue.reset();
    actions.reset();
    letters.reset();
    gate.reset();
    coordinator.reset();
    ledger.reset();
    state.reset();
  }

  void OpenQueue() {
    StoreOptions options;
    options.path = dir_ + "/queue.db";
    options.server = "test-1";
    options.now = loop.clock().WallNow();
    absl::StatusOr<std::unique_ptr<MessageStore>> store = MessageStore::Open(options);
    ASSERT_TRUE(store.ok()) << store.status();
    letters = std::make_unique<LetterDeliverer>(loop, transport);
    actions = std::make_unique<DeferredActions>(loop, *ledger);
    queue = std::make_unique<Dispatcher>(Dispatcher::Parts{
        .loop = loop,
        .worker = worker,
        .store = *std::move(store),
        .events = events,
        .server = "test-1",
        .letters = *letters,
        .forwards = others_,
        .relays = others_,
        .actions = *actions,
        .acceptors = acceptors_,
        .attempt_of = [this](const std::string& mid) { return KnownAttemptOf(*ledger, mid); },
        .crashes_of =
            [this](const queue::Deferred& deferred) {
              return CrashesOf(*ledger, deferred, loop.clock().WallNow(), at_start_);
            },
    });
    const absl::Status recovered = queue->Recover(config::Queue::REVALIDATE, "");
    ASSERT_TRUE(recovered.ok()) << recovered;
  }

  void Boot() {
    state = *StateStore::Open(dir_ + "/state.db", worker);
    LedgerOptions options;
    options.path = dir_ + "/ledger.db";
    options.boot_id = boot_id_;
    options.server = "test-1";
    options.clock_is_synchronised = [] { return true; };
    ledger = *Ledger::Open(options, loop, worker);
    if (in_group) {
      auto fake = std::make_unique<FakeCoordinator>(loop);
      group = fake.get();
      coordinator = std::move(fake);
    } else {
      coordinator = NewLocalCoordinator(loop, *ledger);
    }
    gate = std::make_unique<Gate>(Gate::Parts{&loop, ledger.get(), coordinator.get(), &events});
    components = std::make_unique<Components>(
        ComponentsParts{loop, host, worker, *state, [this](const ComponentNews& news) {
                          engine->AppendAgentEvent(17, v1::Information, news.message, 0, news.who);
                        }});
    at_start_ = true;
    OpenQueue();
    notifier = std::make_unique<QueueNotifier>(QueueNotifier::Parts{
        .loop = loop,
        .accept =
            [this](Submission submission, Dispatcher::Accepted done) {
              if (queue_answers) queue->Accept(std::move(submission), std::move(done));
            },
        .keep = [this](const std::string& key,
                       std::string bytes) { state->Put(key, std::move(bytes)); },
        .say = [](bool, const std::string& message) { ADD_FAILURE() << message; },
    });
    notifier->Restore(state->entries());
    engine = std::make_unique<Engine>(EngineParts{
        .loop = loop,
        .host = host,
        .services = services,
        .events = events,
        .ledger = *ledger,
        .gate = *gate,
        .coordinator = *coordinator,
        .group_pause = in_group ? &group_pause : nullptr,
        .state = *state,
        .components = components.get(),
        .random = random_,
        .boot_id = boot_id_,
        .new_probe = [this](const config::Probe& config) -> absl::StatusOr<std::unique_ptr<Probe>> {
          const std::string& target =
              config.has_http() ? config.http().url() : config.systemd_unit().unit();
          return std::make_unique<ScriptedProbe>(loop, &answers_[target], &looks_take);
        },
        .new_action =
            [this](const config::Responder& config) {
              return NewAction(
                  config, ActionEnvironment{
                              .loop = loop,
                              .host = host,
                              .services = services,
                              .server = "test-1",
                              .components = components.get(),
                              .state_dir = dir_,
                              .files = &worker,
                              .tell = [this](Notice notice) { engine->Tell(std::move(notice)); },
                          });
            },
        .version = "test",
        .checks = {.probe = nullptr, .monitor = CheckMonitor, .responder = CheckResponder},
        .notifier = notifier.get(),
        .defer =
            [this](const v1::RunActionRequest& request, const std::string& resource,
                   std::function<void(absl::StatusOr<std::string>)> done) {
              absl::StatusOr<Submission> submission = DeferredSubmission(request, resource);
              if (!submission.ok()) return done(submission.status());
              queue->Accept(*std::move(submission), std::move(done));
            },
    });
    actions->SetEngine(engine.get());
  }

  std::string dir_;
  std::string boot_id_ = "boot-1";
  bool at_start_ = true;  // What is in progress in the ledger is an earlier life's.
  FakeDeliverer others_{loop};
  FakeAcceptors acceptors_;
  std::map<std::string, Observation> answers_;  // Its entries never move.
  uint64_t seed_ = 1;
  RandomSource random_ = [this] {
    return seed_ = seed_ * 6364136223846793005u + 1442695040888963407u;
  };
};

}  // namespace salve

#endif  // SALVE_AGENT_SIMULATED_WORLD_H_
