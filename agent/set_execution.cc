#include "agent/set_execution.h"

#include <utility>

#include "agent/engine.h"
#include "base/status_macros.h"
#include "queue/crash_set.h"
#include "queue/hold.h"

namespace salve {

SetExecution::SetExecution(Parts parts, SetRunOptions options)
    : parts_(std::move(parts)), options_(std::move(options)) {}

SetExecution::~SetExecution() = default;

absl::StatusOr<std::unique_ptr<SetExecution>> SetExecution::Open(Parts parts, SetRunOptions options,
                                                                 const AgentDefinition& agent) {
  std::unique_ptr<SetExecution> made(new SetExecution(std::move(parts), std::move(options)));
  ASSIGN_OR_RETURN(made->set_, CrashSet::Open(made->options_.dir));
  ASSIGN_OR_RETURN(made->resumes_, BeginSetRun(made->parts_.state_dir));
  EventLoop& loop = made->parts_.loop;
  StoreOptions store;
  store.path = made->parts_.state_dir + "/queue.db";
  store.server = agent.server;
  store.group = agent.group;
  store.now = loop.clock().WallNow();
  absl::StatusOr<std::unique_ptr<MessageStore>> opened = MessageStore::Open(store);
  if (!opened.ok()) {
    // Nothing was done. One that is left dirty by that is this run's, and no crash of the agent.
    const bool is_dirty = MessageStore::WasLeftDirty(store.path).value_or(true);
    if (!made->resumes_ && !is_dirty) EndSetRun(made->parts_.state_dir).IgnoreError();
    return opened.status();
  }
  made->store_ = *std::move(opened);
  made->peers_ = NewPeerClient(loop, made->parts_.resolver);
  made->letters_ = std::make_unique<LetterDeliverer>(loop, made->parts_.transport);
  made->forwards_ = std::make_unique<ForwardDeliverer>(loop, *made->peers_, agent.server);
  made->actions_ = std::make_unique<DeferredActions>(loop, made->parts_.ledger);
  made->letters_->Configure(agent);
  made->forwards_->Configure(agent);
  if (const absl::Status filled = made->FillSets(); !filled.ok()) {
    made->Close().IgnoreError();
    return filled;
  }
  return made;
}

absl::Status SetExecution::FillSets() {
  while (true) {
    ASSIGN_OR_RETURN(const HoldStep step, ReleaseHeld(*store_, parts_.loop.clock().WallNow()));
    if (step.leaving.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(store_->Apply(step.changes).status());
  }
}

void SetExecution::Start(Engine& engine, std::function<void(absl::StatusOr<bool>)> done) {
  actions_->SetEngine(&engine);
  run_ = std::make_unique<SetRun>(
      SetRun::Parts{
          .loop = parts_.loop,
          .store = *store_,
          .ledger = parts_.ledger,
          .events = parts_.events,
          .letters = *letters_,
          .forwards = *forwards_,
          .actions = *actions_,
          .configuration = engine.configuration(),
          .close_attempt =
              [this](const std::string& id, absl::AnyInvocable<void(absl::Status)> closed) {
                parts_.gate.Finish(id,
                                   {AttemptResult::kCrashed, "AgentCrashed",
                                    "the agent ended before the action did", "salvectl recover"},
                                   std::move(closed));
              },
          .boot_id = parts_.boot_id},
      std::move(set_), options_, resumes_);
  if (stopping_) run_->Stop();
  run_->Start([this, done = std::move(done)](absl::Status status) {
    if (!status.ok()) return done(status);
    done(run_->outcome().all_done());
  });
}

void SetExecution::Stop() {
  stopping_ = true;
  if (run_ != nullptr) run_->Stop();
}

absl::Status SetExecution::Close() {
  run_.reset();
  actions_->SetEngine(nullptr);
  RETURN_IF_ERROR(store_->Close());
  return EndSetRun(parts_.state_dir);
}

}  // namespace salve
