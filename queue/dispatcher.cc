#include "queue/dispatcher.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "queue/dispatcher_state.h"
#include "queue/hold.h"
#include "queue/pressure.h"
#include "queue/queue_events.h"

namespace salve {
namespace {

constexpr int64_t kPressureBeginsPercent = 80;
constexpr int64_t kPressureEndsPercent = 75;

}  // namespace

Dispatcher::State::State(Parts given) : parts(std::move(given)) {
  desk = std::make_unique<QueueDesk>(*parts.store, parts.loop.clock());
  // What is accepted before Configure is routed by it.
  AgentDefinition unconfigured;
  unconfigured.server = parts.server;
  rules = std::make_shared<const QueueRules>(RulesOf(unconfigured));
  desk->SetRules(rules);
  mode_setting = parts.store->Setting("mode");
  paused = !parts.store->Setting("paused").empty();
  routed_for = parts.store->Setting("routed_for");
  preparing = !parts.store->Setting("preparing").empty();
  picture = desk->Picture();
}

Dispatcher::State::~State() {
  for (const TimerId timer : {tick, expiry, stop_deadline}) parts.loop.CancelTimer(timer);
  for (const auto& [acceptor, one] : owing) parts.loop.CancelTimer(one.timer);
  for (auto& [name, stream] : streams) {
    parts.loop.CancelTimer(stream->timer);
    if (stream->deliverer != nullptr) stream->deliverer->Cancel(stream->delivery);
  }
}

Dispatcher::Dispatcher(Parts parts) : state_(std::make_shared<State>(std::move(parts))) {}
Dispatcher::~Dispatcher() = default;

absl::Status Dispatcher::Recover(config::Queue::Recovery recovery, const std::string& set) {
  State& state = *state_;
  state.desk->SetRules(state.rules);
  const bool dirty = state.parts.store->was_dirty();
  auto resumed =
      state.desk->Recover({recovery, set, state.parts.attempt_of, state.parts.crashes_of});
  state.Take(state.desk->TakeEvents(), state.desk->Picture());
  RETURN_IF_ERROR(resumed.status());
  state.resumed_digests = std::move(resumed->digests);
  state.resumed_singles = std::move(resumed->singles);
  if (dirty && recovery == config::Queue::HOLD && set.empty() && HasHeld(state.picture.rows)) {
    state.held = "after a crash the queue's messages are suspended, as no crash set could be made";
  }
  return absl::OkStatus();
}

void Dispatcher::Configure(const AgentDefinition& agent) {
  State& state = *state_;
  QueueRules rules = RulesOf(agent);
  state.configured_mode = rules.mode;
  state.rules = std::make_shared<const QueueRules>(std::move(rules));
  const bool is_first = !std::exchange(state.configured, true);
  if (is_first) {
    state.parts.acceptors.Watch([self = std::weak_ptr<State>(state_)] {
      if (const auto found = self.lock()) found->WatchAcceptors();
    });
  }
  state.MakeRules();
  // An adopted database has local messages of another server.
  const std::string& server = state.rules->server;
  const bool is_moved = is_first && state.routed_for != server;
  state.Reroute(is_moved, state.rules->mode == config::Queue::REMOTELY,
                [self = std::weak_ptr<State>(state_), is_moved, server](int64_t) {
                  const auto found = self.lock();
                  if (found == nullptr) return;
                  if (is_moved) {
                    found->Run(
                        [server](QueueDesk& desk) { return desk.Remember("routed_for", server); },
                        [](absl::Status) {});
                  }
                  found->PumpAll();
                });
  if (is_first) {
    state.Tick();
    state.ReadInbox();
    state.ReleaseHeld();
  }
  state.PumpAll();
}

void Dispatcher::State::MakeRules() {
  QueueRules made = *rules;
  made.mode = configured_mode;
  if (!mode_setting.empty()) config::Queue::Processing_Parse(mode_setting, &made.mode);
  made.acceptors.clear();
  for (const Acceptor& acceptor : parts.acceptors.List()) {
    const auto out = acceptors_out.find(acceptor.server);
    if (out != acceptors_out.end() && out->second > parts.loop.Now()) continue;
    made.acceptors.push_back(acceptor.server);
  }
  rules = std::make_shared<const QueueRules>(std::move(made));
  const bool offers = rules->mode == config::Queue::LOCALLY_FOR_OTHERS && !stopping;
  parts.acceptors.Offer(offers ? rules->accept_address : "");
}

void Dispatcher::State::WatchAcceptors() {
  if (!configured || stopping) return;
  MakeRules();
  Reroute(false, rules->mode == config::Queue::REMOTELY, [](int64_t) {});
}

void Dispatcher::State::Take(std::vector<v1::Event> events, QueuePicture taken) {
  for (v1::Event& event : events) parts.events.Append(std::move(event));
  if (!taken.trouble.empty() && taken.trouble != picture.trouble) {
    LogError(taken.trouble);
    parts.events.Append(QueueNews(40017, v1::Error, taken.trouble));
  }
  picture = std::move(taken);
  JudgePressure();
  TellOwed();
}

void Dispatcher::State::JudgePressure() {
  if (!configured) return;
  const int64_t messages = picture.messages();
  const bool was = !pressure.empty();
  const Pressure is = PressureOf({messages, picture.bytes, picture.disk}, *rules,
                                 was ? kPressureEndsPercent : kPressureBeginsPercent);
  if (is == Pressure::kNone) {
    if (was) {
      parts.events.Append(QueueNews(40015, v1::Information, "back pressure has ended"));
      pressure.clear();
    }
    return;
  }
  pressure = absl::StrCat(messages, " messages of at most ", rules->messages_max, ", ",
                          picture.bytes, " bytes of at most ", rules->bytes_max, ", ",
                          picture.disk.free >> 20, " MiB free on the disk",
                          is == Pressure::kForeignRefused
                              ? ": messages of others are refused, own ones use the reserve"
                              : ": messages of others wait");
  if (!was) parts.events.Append(QueueNews(40015, v1::Warning, pressure, "", messages));
}

bool Dispatcher::State::MayDeliver() const { return configured && !paused && !stopping; }

std::string Dispatcher::State::WhyNotAccepting() const {
  if (paused) return "the queue service is paused: salvectl queue resume-service ends it";
  if (preparing) return "the queue is being prepared for another database: nothing is accepted";
  return "";
}

void Dispatcher::State::CheckStopped() {
  if (!stopping || stopped || active > 0 || tasks > 0 || accept_posted) return;
  if (reading_inbox && stop_deadline != TimerId::kNone) return;
  stopped = true;
  parts.loop.CancelTimer(std::exchange(stop_deadline, TimerId::kNone));
  if (on_stopped) parts.loop.Post(std::move(on_stopped));
}

void Dispatcher::Stop(Instant deadline, absl::AnyInvocable<void()> done) {
  State& state = *state_;
  CHECK(!state.stopping);
  state.stopping = true;
  state.on_stopped = std::move(done);
  state.parts.acceptors.Offer("");
  for (TimerId* timer : {&state.tick, &state.expiry}) {
    state.parts.loop.CancelTimer(std::exchange(*timer, TimerId::kNone));
  }
  // What is not at its end by then is tried again in the next life, and does not count. Of a
  // deferred action the next life asks the ledger.
  state.stop_deadline = state.parts.loop.CallAt(deadline, [self = state_.get()] {
    self->stop_deadline = TimerId::kNone;
    for (auto& [name, stream] : self->streams) {
      if (stream->deliverer == nullptr && !stream->unsettled) continue;
      if (stream->deliverer != nullptr) {
        std::exchange(stream->deliverer, nullptr)->Cancel(stream->delivery);
      }
      // What can't be kept stays in flight; so does what can't be taken back.
      if (std::exchange(stream->unsettled, false) || QueueKindOf(name) == QueueKind::kLocal) {
        self->parts.loop.CancelTimer(std::exchange(stream->timer, TimerId::kNone));
        self->Free(*stream);
        continue;
      }
      QueueDesk::Settlement settlement{.queue = name, .sequences = stream->sequences};
      settlement.result.kind = DeliveryResult::Kind::kNotReached;
      settlement.interrupted = true;
      self->Settle(name, std::move(settlement));
    }
    self->CheckStopped();
  });
  state.parts.loop.Post([self = std::weak_ptr<State>(state_)] {
    if (const auto found = self.lock()) found->CheckStopped();
  });
}

absl::Status Dispatcher::Close(std::unique_ptr<Dispatcher> dispatcher) {
  State& state = *dispatcher->state_;
  // With a task that has not come back, there are events that were never appended. What can't be
  // marked is told again: no reason to leave the file dirty.
  if (state.tasks == 0 && state.AreEventsOnDisk()) state.desk->MarkAllTold().IgnoreError();
  const std::unique_ptr<MessageStore> store = std::move(dispatcher->state_->parts.store);
  dispatcher.reset();
  return store->Close();
}

int64_t Dispatcher::waiting() const {
  const QueuePicture& picture = state_->picture;
  return picture.messages() - picture.MessagesIn("inbox");
}

int64_t Dispatcher::poisoned() const { return state_->picture.MessagesIn("poison"); }

std::string Dispatcher::trouble() const { return absl::StrJoin(state_->Troubles(), "; "); }

}  // namespace salve
