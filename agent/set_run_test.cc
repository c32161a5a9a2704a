#include "agent/set_run.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "config/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/fake_deliverer.h"
#include "throttling/ledger_fixture.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Kind = DeliveryResult::Kind;

// "QUEUE MID" of each attempt.
std::vector<std::string> Tried(const FakeDeliverer& deliverer) {
  std::vector<std::string> tried;
  for (const FakeDeliverer::Attempt& attempt : deliverer.attempts) {
    tried.push_back(absl::StrCat(attempt.queue, " ", attempt.messages.at(0).mid()));
  }
  return tried;
}

using Stored = std::vector<StoredMessage>;

class KeptEvents final : public EventLog {
 public:
  uint64_t Append(v1::Event event) override {
    events.push_back(std::move(event));
    return events.size();
  }
  std::vector<v1::Event> events;
};

// A server whose agent died with a queue, under HOLD unless it is said.
class SetRunTest : public LedgerTest {
 protected:
  SetRunTest() {
    Open();
    config::Destination& ops = *configuration_.agent.config.add_destination();
    ops.set_name("ops");
    ops.mutable_webhook()->set_url("http://127.0.0.1/");
    config::Destination& hub = *configuration_.agent.config.add_destination();
    hub.set_name("hub");
    hub.mutable_forward()->set_address("hub:1");
    configuration_.agent.server = "web1";
  }

  absl::Time Now() { return loop_->clock().WallNow(); }
  std::string QueuePath() { return folder_ + "/queue.db"; }

  queue::Message NewMessage(const std::string& mid, queue::Type type = queue::AF,
                            const std::string& to = "ops") {
    queue::Message message;
    message.set_mid(mid);
    message.set_origin_server("web1");
    message.set_origin_mid(mid);
    message.set_type(type);
    message.set_created_ns(absl::ToUnixNanos(Now()));
    message.set_expires_ns(absl::ToUnixNanos(Now() + absl::Hours(48)));
    if (type == queue::UP) {
      message.mutable_deferred()->set_action("RestartService");
      message.mutable_deferred()->set_resource(to == "ops" ? "nginx.service" : to);
      message.mutable_deferred()->set_requester("ada");
    } else {
      message.set_destination(to);
    }
    return message;
  }
  static std::string QueueOf(const queue::Message& message) {
    return message.type() == queue::UP ? "local/" + message.deferred().resource()
                                       : "remote/" + message.destination();
  }
  std::unique_ptr<MessageStore> OpenStore() {
    auto store = MessageStore::Open({.path = QueuePath(), .server = "web1", .now = Now()});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  // A run that had put "f" back into its queue ends with its process, after it had done `last`.
  void DieInTheRunOfALetter(Changes::Update last) {
    const auto resumes = BeginSetRun(folder_);
    auto store = OpenStore();
    Changes changes;
    changes.now = Now();
    changes.puts.push_back({NewMessage("f"), "remote/ops"});
    const auto put = store->Apply(changes);
    ASSERT_TRUE(put.ok()) << put.status();
    last.sequence = put->front();
    Changes then;
    then.now = Now();
    then.updates.push_back(std::move(last));
    ASSERT_TRUE(store->Apply(then).ok());
  }

  // The agent had accepted these and dies; those of `in_flight` under way.
  void Crash(const std::vector<queue::Message>& messages,
             const std::vector<std::string>& in_flight = {}) {
    auto store = OpenStore();
    Changes changes;
    changes.now = Now();
    for (const queue::Message& message : messages) {
      changes.puts.push_back({message, QueueOf(message)});
    }
    ASSERT_TRUE(store->Apply(changes).ok());
    Changes then;
    then.now = Now();
    for (const std::string& mid : in_flight) {
      then.updates.push_back({.sequence = store->Find(mid)->sequence, .delivering = true});
    }
    ASSERT_TRUE(store->Apply(then).ok());
  }
  // A person's last steps before that.
  void Change(Changes::Update update, const std::string& mid) {
    auto store = OpenStore();
    update.sequence = store->Find(mid)->sequence;
    Changes changes;
    changes.now = Now();
    changes.updates.push_back(std::move(update));
    ASSERT_TRUE(store->Apply(changes).ok());
  }
  void Suspend(const std::string& mid) { Change({.suspended = true}, mid); }
  void SuspendQueue(const std::string& queue, bool suspended = true) {
    auto store = OpenStore();
    Changes changes;
    changes.now = Now();
    changes.suspend_queues.emplace_back(queue, suspended);
    ASSERT_TRUE(store->Apply(changes).ok());
    if (suspended) return;
    ASSERT_TRUE(store->Close().ok());
  }
  void MakeUnreachable(const std::string& mid) {
    queue::Message message = NewMessage(mid);
    message.set_unreachable_reason("no-destination:ops");
    Change({.message = message, .queue = "unreachable"}, mid);
  }
  // Its next start: makes the set, and under HOLD takes all that is on its way out of the queue.
  void NextStart(config::Queue::Recovery recovery = config::Queue::HOLD) {
    const auto finding = SecureCrash({.state_dir = folder_,
                                      .server = "web1",
                                      .boot_id = boot_id_,
                                      .recovery = recovery,
                                      .now = Now()},
                                     ledger_->Unfinished());
    ASSERT_TRUE(finding.ok()) << finding.status();
    set_dir_ = absl::StrCat(folder_, "/crash/", finding->set);
    auto store = OpenStore();
    if (recovery == config::Queue::HOLD) {
      Changes changes;
      changes.now = Now();
      for (const StoredMessage& stored : store->List("", 100).value_or(Stored())) {
        if (stored.queue == "unreachable") continue;
        changes.updates.push_back({.sequence = stored.sequence, .delivering = false});
        changes.ends.push_back({.sequence = stored.sequence,
                                .final = Final::kHeldInSet,
                                .reason = finding->set,
                                .until = Now() + absl::Hours(49)});
      }
      ASSERT_TRUE(store->Apply(changes).ok());
    }
    ASSERT_TRUE(store->Close().ok());
  }

  // One `salved --recover-set`.
  SetRun::Outcome Run(SetRunOptions options) {
    if (options.dir.empty()) options.dir = set_dir_;
    const auto resumes = BeginSetRun(folder_);
    EXPECT_TRUE(resumes.ok()) << resumes.status();
    auto set = CrashSet::Open(options.dir);
    EXPECT_TRUE(set.ok()) << set.status();
    auto store = OpenStore();
    absl::Status ended = absl::UnknownError("not ended");
    SetRun run({.loop = *loop_,
                .store = *store,
                .ledger = *ledger_,
                .events = events_,
                .letters = letters_,
                .forwards = forwards_,
                .actions = actions_,
                .configuration = configuration_,
                .close_attempt =
                    [this](const std::string& id, absl::AnyInvocable<void(absl::Status)> done) {
                      ledger_->Finish(id, AttemptResult::kCrashed, std::move(done));
                    },
                .proc = folder_ + "/proc",
                .boot_id = boot_id_},
               *std::move(set), options, resumes.value_or(false));
    if (stops_at_once_) run.Stop();
    run.Start([&ended](absl::Status status) { ended = status; });
    loop_->RunFor(absl::Minutes(1));
    EXPECT_TRUE(ended.ok()) << ended;
    EXPECT_TRUE(store->Close().ok());
    EXPECT_TRUE(EndSetRun(folder_).ok());
    return run.outcome();
  }
  SetRun::Outcome Execute(std::vector<queue::Type> types = {}) {
    return Run({.execute = true, .types = std::move(types)});
  }
  SetRun::Outcome Recover() { return Run({.recover = true}); }

  // "STATE ID" of each entry.
  std::vector<std::string> States(std::string dir = "") {
    std::vector<std::string> lines;
    auto set = CrashSet::Open(dir.empty() ? set_dir_ : dir);
    EXPECT_TRUE(set.ok()) << set.status();
    EXPECT_TRUE((*set)
                    ->ForEach([&lines](const CrashEntry& entry) {
                      lines.push_back(absl::StrCat(EntryStateName(entry.state), " ", entry.id));
                      return true;
                    })
                    .ok());
    return lines;
  }
  std::string DetailOf(const std::string& mid) {
    return (*CrashSet::Open(set_dir_))->FindMessage(mid)->detail;
  }
  // A `salved --recover-set` that dies at a point.
  void DieAt(const char* point, const SetRunOptions& options) {
    const pid_t child = fork();
    if (child == 0) {
      setenv("SALVE_FAULT", point, 1);
      Run(options);
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  }
  // "QUEUE MID" of what is in the live queue.
  std::vector<std::string> Live() {
    std::vector<std::string> lines;
    auto store = OpenStore();
    for (const StoredMessage& stored : store->List("", 100).value_or(Stored())) {
      lines.push_back(absl::StrCat(stored.queue, stored.delivering ? " delivering" : "",
                                   stored.suspended ? " suspended " : " ", stored.message.mid()));
    }
    EXPECT_TRUE(store->Close().ok());
    return lines;
  }
  std::string EndOf(const std::string& mid) {
    auto store = OpenStore();
    const auto ended = store->FindEnded(mid);
    EXPECT_TRUE(store->Close().ok());
    return ended.ok() && ended->has_value() ? std::string(FinalName((*ended)->final)) : "none";
  }
  std::string CopyOfSet() {
    const std::string copy = folder_ + "/copy";
    fs::copy(set_dir_, copy, fs::copy_options::recursive);
    return copy;
  }
  std::string BeginDeferred(const std::string& mid) {
    const Attempt attempt =
        ledger_->NewAttempt(RecoveryAction::kRestartService, "nginx.service",
                            absl::StrCat("deferred:", mid, ":ada"), absl::Minutes(2));
    EXPECT_TRUE(
        LedgerTest::Run([&](LedgerDone done) { ledger_->Begin(attempt, std::move(done)); }).ok());
    return attempt.id;
  }

  Configuration configuration_;
  KeptEvents events_;
  FakeDeliverer letters_{*loop_}, forwards_{*loop_}, actions_{*loop_};
  std::string set_dir_;
  bool stops_at_once_ = false;
};

TEST_F(SetRunTest, ABugOneThatAnAcceptorMayHaveWasDeliveredWithoutAsking) {
  queue::Message uncertain = NewMessage("f");
  uncertain.set_handed_to("web2");
  Crash({uncertain, NewMessage("g")});
  NextStart();
  const SetRun::Outcome first = Execute();
  EXPECT_EQ(first.executed, 1);
  EXPECT_EQ(first.not_executed, 1);
  EXPECT_THAT(Tried(letters_), ElementsAre("remote/ops g"));
  {
    auto store = OpenStore();
    EXPECT_EQ(store->Find("f")->queue, "remote/ops");
    EXPECT_EQ(store->Find("f")->message.handed_to(), "web2") << "so that salved asks it";
    ASSERT_TRUE(store->Close().ok());
  }
  EXPECT_EQ(Execute().not_executed, 1) << "it stays salved's";
  EXPECT_EQ(letters_.attempts.size(), 1u);
}

TEST_F(SetRunTest, ABugWhatAPersonHadSuspendedWasExecuted) {
  Crash({NewMessage("f"), NewMessage("g"), NewMessage("u", queue::UP)});
  Suspend("f");
  Suspend("u");
  NextStart();
  const SetRun::Outcome outcome = Execute();
  EXPECT_EQ(outcome.executed, 1);
  EXPECT_EQ(outcome.not_executed, 2);
  EXPECT_THAT(Tried(letters_), ElementsAre("remote/ops g"));
  EXPECT_THAT(Tried(actions_), IsEmpty());
  EXPECT_THAT(States(), ElementsAre("ACT-NOEXE f", "ACT-EXEC g", "ACT-NOEXE u"));
  EXPECT_THAT(DetailOf("f"), HasSubstr("a person had suspended it"));
  EXPECT_THAT(DetailOf("f"), HasSubstr("'salvectl queue message resume f'"));
  EXPECT_THAT(Live(),
              UnorderedElementsAre("remote/ops suspended f", "local/nginx.service suspended u"));
}

TEST_F(SetRunTest, WhatAPersonHadSuspendedStaysSoAtASecondCall) {
  Crash({NewMessage("f")});
  Suspend("f");
  NextStart();
  ASSERT_NO_FATAL_FAILURE(DieAt("queue.set.put", {.execute = true}));
  for (int call = 0; call < 2; ++call) {
    EXPECT_EQ(Execute().not_executed, 1);
    EXPECT_THAT(DetailOf("f"), HasSubstr("'salvectl queue message resume f'"));
    EXPECT_THAT(Live(), ElementsAre("remote/ops suspended f"));
  }
  EXPECT_THAT(Tried(letters_), IsEmpty());
}

TEST_F(SetRunTest, WhatAPersonHadSuspendedExpiresAsEver) {
  Crash({NewMessage("f")});
  Suspend("f");
  NextStart();
  Pass(absl::Hours(48));
  EXPECT_EQ(Execute().failed, 1);
  EXPECT_THAT(Live(), ElementsAre("dead f"));
}

TEST_F(SetRunTest, ABugWhatWaitedInASuspendedQueueWasExecuted) {
  Crash({NewMessage("f"), NewMessage("u", queue::UP)});
  SuspendQueue("local/nginx.service");
  NextStart();
  for (int call = 0; call < 2; ++call) {
    EXPECT_EQ(Execute().not_executed, 1);
    EXPECT_THAT(DetailOf("u"), HasSubstr("'salvectl queue resume local/nginx.service'"));
  }
  EXPECT_THAT(Tried(letters_), ElementsAre("remote/ops f"));
  EXPECT_THAT(Tried(actions_), IsEmpty());
  EXPECT_THAT(Live(), ElementsAre("local/nginx.service u")) << "goes on with its queue";
}

TEST_F(SetRunTest, WhatWaitedInAQueueThatWasResumedSinceIsExecuted) {
  Crash({NewMessage("f")});
  SuspendQueue("remote/ops");
  NextStart();
  SuspendQueue("remote/ops", false);
  EXPECT_EQ(Execute().executed, 1);
}

TEST_F(SetRunTest, WhatWaitedForASuspendedAcceptorIsNotDeliveredFromHere) {
  Crash({NewMessage("f")});
  Change({.queue = "relay/web2"}, "f");
  SuspendQueue("relay/web2");
  NextStart();
  EXPECT_EQ(Execute().not_executed, 1);
  EXPECT_THAT(Live(), ElementsAre("remote/ops suspended f"));
}

TEST_F(SetRunTest, ADatabaseThatNeverHadItDoesNotLetItGo) {
  Crash({NewMessage("f")});
  SuspendQueue("remote/ops");
  NextStart();
  for (const char* suffix : {"", "-wal", "-shm", ".mark"}) fs::remove(QueuePath() + suffix);
  EXPECT_EQ(Execute().not_executed, 1);
  EXPECT_THAT(Live(), ElementsAre("remote/ops suspended f"));
}

TEST_F(SetRunTest, ABugOneThatWasSuspendedWhileInFlightCameBackUnsuspended) {
  Crash({NewMessage("f"), NewMessage("g")}, {"f", "g"});
  Suspend("f");
  NextStart();
  EXPECT_EQ(Recover().recovered, 2);
  EXPECT_THAT(Live(), UnorderedElementsAre("remote/ops suspended f", "remote/ops g"));
  EXPECT_THAT(DetailOf("f"), HasSubstr("'salvectl queue message resume f'"));
}

TEST_F(SetRunTest, ABugOneThatIsUnreachableLeftTheQueueAfterARunThatWasKilled) {
  Crash({NewMessage("f", queue::AF, "gone"), NewMessage("g")});
  MakeUnreachable("f");
  NextStart();
  EXPECT_TRUE(BeginSetRun(folder_).ok());
  Execute();
  EXPECT_THAT(Live(), ElementsAre("unreachable f"));
  EXPECT_EQ(EndOf("f"), "none");
}

TEST_F(SetRunTest, ABugOneThatBecameUnreachableWasTakenForThatOfAKilledRun) {
  Crash({NewMessage("f")});
  NextStart();
  queue::Message message = NewMessage("f");
  message.set_unreachable_reason("no-destination:ops");
  DieInTheRunOfALetter({.message = message, .queue = "unreachable"});
  EXPECT_EQ(Execute().not_executed, 1);
  EXPECT_THAT(DetailOf("f"), HasSubstr("left to salved: it is in its queue unreachable"));
  EXPECT_THAT(Live(), ElementsAre("unreachable f"));
}

TEST_F(SetRunTest, ExecutesEachOnceInTheOrderOfTypes) {
  Crash({NewMessage("u", queue::UP), NewMessage("f"), NewMessage("h", queue::AF, "hub"),
         NewMessage("r", queue::AR)});
  NextStart();
  const SetRun::Outcome outcome = Execute();
  EXPECT_EQ(outcome.executed, 4);
  EXPECT_TRUE(outcome.all_done());
  EXPECT_THAT(Tried(letters_), ElementsAre("remote/ops r", "remote/ops f"));
  EXPECT_THAT(Tried(forwards_), ElementsAre("remote/hub h"));
  EXPECT_THAT(Tried(actions_), ElementsAre("local/nginx.service u"));
  EXPECT_THAT(States(), ElementsAre("ACT-EXEC u", "ACT-EXEC f", "ACT-EXEC h", "ACT-EXEC r"));
  EXPECT_THAT(Live(), IsEmpty());
  EXPECT_EQ(EndOf("u"), "done");
  EXPECT_THAT(events_.events.back().queue().message(), HasSubstr("4 executed"));
}

TEST_F(SetRunTest, ExecutesOnlyTheTypeThatIsAskedFor) {
  Crash({NewMessage("u", queue::UP), NewMessage("f")});
  NextStart();
  Execute({queue::UP});
  EXPECT_THAT(States(), ElementsAre("ACT-EXEC u", "ACT-NOEXE f"));
}

TEST_F(SetRunTest, ABugOneThatWasStoppedSaidThatAllWasDone) {
  Crash({NewMessage("f"), NewMessage("g"), NewMessage("u", queue::UP)}, {"u"});
  NextStart();
  stops_at_once_ = true;
  const SetRun::Outcome outcome = Run({.execute = true, .recover = true});
  EXPECT_FALSE(outcome.all_done());
  EXPECT_EQ(outcome.not_executed, 2);
  EXPECT_EQ(outcome.not_recovered, 1);
  EXPECT_THAT(Tried(letters_), IsEmpty());
  EXPECT_THAT(States(), ElementsAre("ACT-NOEXE f", "ACT-NOEXE g", "ERR-NOREC u"));
}

TEST_F(SetRunTest, ASecondCallGoesOnWhereTheFirstEnded) {
  Crash({NewMessage("f"), NewMessage("u", queue::UP)});
  NextStart();
  Execute({queue::AF});
  Execute();
  EXPECT_THAT(Tried(letters_), ElementsAre("remote/ops f"));
  EXPECT_THAT(Tried(actions_), ElementsAre("local/nginx.service u"));
}

TEST_F(SetRunTest, ASetCopiedTwiceHasEachEffectOnce) {
  Crash({NewMessage("f"), NewMessage("u", queue::UP)});
  NextStart();
  const std::string copy = CopyOfSet();
  Execute();
  Run({.dir = copy, .execute = true});
  EXPECT_EQ(letters_.attempts.size(), 1u);
  EXPECT_EQ(actions_.attempts.size(), 1u);
  EXPECT_THAT(States(copy), ElementsAre("ACT-EXEC f", "ACT-EXEC u"));
}

TEST_F(SetRunTest, WhatTheThrottleRefusesStaysAndMayBeTriedAgain) {
  Crash({NewMessage("u", queue::UP)});
  NextStart();
  actions_.Answer("local/nginx.service", Kind::kWait, "LocalMinimumMinutes");
  const SetRun::Outcome outcome = Execute();
  EXPECT_EQ(outcome.not_executed, 1);
  EXPECT_FALSE(outcome.all_done());
  EXPECT_THAT(States(), ElementsAre("ACT-NOEXE u"));
  EXPECT_EQ(DetailOf("u"), "LocalMinimumMinutes");
  EXPECT_THAT(Live(), IsEmpty());
  EXPECT_EQ(EndOf("u"), "held-in-set");
  actions_.Answer("local/nginx.service", Kind::kDelivered, "");
  EXPECT_TRUE(Execute().all_done());
  EXPECT_EQ(EndOf("u"), "done");
}

TEST_F(SetRunTest, AnActionThatFailedIsFinal) {
  Crash({NewMessage("u", queue::UP)});
  NextStart();
  actions_.Answer("local/nginx.service", Kind::kFailed, "not active");
  EXPECT_EQ(Execute().failed, 1);
  EXPECT_THAT(States(), ElementsAre("ACT-ERROR u"));
  EXPECT_EQ(EndOf("u"), "failed");
  Execute();
  EXPECT_EQ(actions_.attempts.size(), 1u);
}

TEST_F(SetRunTest, ALetterThatIsRefusedIsDead) {
  Crash({NewMessage("f")});
  NextStart();
  letters_.Answer("remote/ops", Kind::kRefused, "550 no such user");
  Execute();
  EXPECT_THAT(States(), ElementsAre("ACT-ERROR f"));
  EXPECT_THAT(DetailOf("f"), HasSubstr("550 no such user"));
  EXPECT_THAT(Live(), ElementsAre("dead f"));
  EXPECT_EQ(events_.events.front().event_id(), 40012);
}

TEST_F(SetRunTest, ALetterThatIsNotReachedStays) {
  Crash({NewMessage("f")});
  NextStart();
  letters_.Answer("remote/ops", Kind::kNotReached, "connection refused");
  Execute();
  EXPECT_THAT(States(), ElementsAre("ACT-NOEXE f"));
  EXPECT_THAT(Live(), IsEmpty());
}

TEST_F(SetRunTest, ATriggerThatIsGoneIsNotExecuted) {
  queue::Message up = NewMessage("u", queue::UP);
  up.mutable_deferred()->clear_action();
  up.mutable_deferred()->set_responder("Web/Gone");
  Crash({NewMessage("f", queue::AF, "gone"), up});
  NextStart();
  Execute();
  EXPECT_THAT(States(), ElementsAre("ACT-NOEXE f", "ACT-NOEXE u"));
  EXPECT_THAT(DetailOf("f"), HasSubstr("Trigger(gone) not found"));
  EXPECT_THAT(DetailOf("u"), HasSubstr("Trigger(Web/Gone) not found"));
  EXPECT_THAT(Tried(actions_), IsEmpty());
  EXPECT_EQ(EndOf("u"), "held-in-set");
}

TEST_F(SetRunTest, AnActionOfAnotherServerDoesNotRunHere) {
  queue::Message up = NewMessage("u", queue::UP);
  up.set_origin_server("web2");
  Crash({up});
  NextStart();
  Execute();
  EXPECT_THAT(Tried(actions_), IsEmpty());
  EXPECT_EQ(DetailOf("u"), "host-bound:web2");
}

TEST_F(SetRunTest, WhatHasExpiredMeanwhileIsDead) {
  Crash({NewMessage("f")});
  NextStart();
  Pass(absl::Hours(48));
  Execute();
  EXPECT_THAT(Tried(letters_), IsEmpty());
  EXPECT_THAT(States(), ElementsAre("ACT-ERROR f"));
  EXPECT_THAT(Live(), ElementsAre("dead f"));
}

TEST_F(SetRunTest, JustBeforeItExpiresItIsExecuted) {
  Crash({NewMessage("f")});
  NextStart();
  Pass(absl::Hours(48) - absl::Seconds(1));
  Execute();
  EXPECT_THAT(States(), ElementsAre("ACT-EXEC f"));
}

TEST_F(SetRunTest, UnderRevalidateTheAgentGoesOnWithIt) {
  Crash({NewMessage("f")});
  NextStart(config::Queue::REVALIDATE);
  Execute();
  EXPECT_THAT(Tried(letters_), IsEmpty());
  EXPECT_THAT(States(), ElementsAre("ACT-NOEXE f"));
  EXPECT_THAT(DetailOf("f"), HasSubstr("left to salved"));
  EXPECT_THAT(Live(), ElementsAre("remote/ops f"));
}

TEST_F(SetRunTest, ARunThatIsKilledInADeliveryGoesOn) {
  Crash({NewMessage("f"), NewMessage("g")});
  NextStart();
  DieInTheRunOfALetter({.delivering = true});
  EXPECT_TRUE(Execute().all_done());
  EXPECT_THAT(Tried(letters_), ElementsAre("remote/ops f", "remote/ops g"));
  EXPECT_THAT(States(), ElementsAre("ACT-EXEC f", "ACT-EXEC g"));
  EXPECT_THAT(Live(), IsEmpty());
}

TEST_F(SetRunTest, ABugALetterThatWasDeadWhenARunWasKilledEndedEveryLaterRun) {
  Crash({NewMessage("f"), NewMessage("g")});
  NextStart();
  queue::Message message = NewMessage("f");
  message.mutable_dead()->set_dmid("WEB1-1");
  message.mutable_dead()->set_former_queue("remote/ops");
  message.mutable_dead()->set_reason("550 no such user");
  DieInTheRunOfALetter({.message = message, .queue = "dead"});
  EXPECT_EQ(Execute().failed, 1);
  EXPECT_THAT(States(), ElementsAre("ACT-ERROR f", "ACT-EXEC g"));
  EXPECT_THAT(DetailOf("f"), HasSubstr("550 no such user"));
  EXPECT_THAT(Live(), ElementsAre("dead f"));
}

TEST_F(SetRunTest, AnActionWhoseRunWasKilledInItDoesNotRunAgain) {
  Crash({NewMessage("u", queue::UP)});
  NextStart();
  {
    const auto resumes = BeginSetRun(folder_);
    auto store = OpenStore();
    Changes changes;
    changes.now = Now();
    changes.puts.push_back({NewMessage("u", queue::UP), "local/nginx.service"});
    ASSERT_TRUE(store->Apply(changes).ok());
    const std::string id = BeginDeferred("u");
    EXPECT_TRUE(LedgerTest::Run([&](LedgerDone done) {
                  ledger_->SetEffect(id, "job=7", std::move(done));
                }).ok());
  }
  EXPECT_EQ(Execute().failed, 1);
  EXPECT_THAT(Tried(actions_), IsEmpty());
  EXPECT_THAT(States(), ElementsAre("ACT-ERROR u"));
  EXPECT_EQ(EndOf("u"), "failed");
  EXPECT_THAT(ledger_->Unfinished(), IsEmpty());
}

TEST_F(SetRunTest, AnActionThatTheLedgerKnowsAsDoneDoesNotRunAgain) {
  Crash({NewMessage("u", queue::UP)});
  NextStart();
  const std::string id = BeginDeferred("u");
  ASSERT_TRUE(Finish(id).ok());
  EXPECT_EQ(Execute().executed, 1);
  EXPECT_THAT(Tried(actions_), IsEmpty());
  EXPECT_EQ(EndOf("u"), "done");
}

TEST_F(SetRunTest, RecoverClosesAResponderLeftWorking) {
  const std::string id = Begin();
  Crash({});
  NextStart();
  EXPECT_EQ(Recover().recovered, 1);
  EXPECT_THAT(States(), ElementsAre("ERR-RECOV " + id));
  EXPECT_EQ(ledger_->Find(id)->result, AttemptResult::kCrashed);
  EXPECT_THAT(ledger_->Unfinished(), IsEmpty());
}

TEST_F(SetRunTest, RecoverLeavesOneThatStillRuns) {
  const std::string id = Begin();
  EXPECT_TRUE(LedgerTest::Run([&](LedgerDone done) {
                ledger_->SetEffect(id, "pid=12 start=345", std::move(done));
              }).ok());
  Crash({});
  NextStart();
  fs::create_directories(folder_ + "/proc/12");
  std::ofstream(folder_ + "/proc/12/stat") << "12 (sh) S 1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 345 0";
  EXPECT_EQ(Recover().not_recovered, 1);
  EXPECT_THAT(States(), ElementsAre("ERR-NOREC " + id));
  EXPECT_EQ(ledger_->Find(id)->state, AttemptState::kInProgress);
  fs::remove_all(folder_ + "/proc/12");
  EXPECT_EQ(Recover().recovered, 1);
}

TEST_F(SetRunTest, ALetterThatWasInFlightWaitsAgain) {
  Crash({NewMessage("f"), NewMessage("g")}, {"f"});
  NextStart();
  EXPECT_EQ(Recover().recovered, 1);
  EXPECT_THAT(States(), ElementsAre("ERR-RECOV f", "ACT-NOEXE g"));
  EXPECT_THAT(Live(), ElementsAre("remote/ops f"));
  EXPECT_THAT(Tried(letters_), IsEmpty());
}

TEST_F(SetRunTest, AnActionThatWasInFlightDoesNotRunAgain) {
  const std::string id = BeginDeferred("u");
  Crash({NewMessage("u", queue::UP)}, {"u"});
  NextStart();
  EXPECT_EQ(Recover().recovered, 2);
  EXPECT_THAT(States(), ElementsAre("ERR-RECOV " + id, "ERR-RECOV u"));
  EXPECT_EQ(EndOf("u"), "failed");
  EXPECT_THAT(Live(), IsEmpty());
}

TEST_F(SetRunTest, WhatKilledTheAgentTwiceIsPoison) {
  queue::Message message = NewMessage("f");
  message.set_crash_count(1);
  Crash({message}, {"f"});
  NextStart();
  Recover();
  EXPECT_THAT(Live(), ElementsAre("poison suspended f"));
}

TEST_F(SetRunTest, ABugWhatKilledTheAgentTwiceWasDeliveredWhenItsRunWasKilled) {
  queue::Message message = NewMessage("f");
  message.set_crash_count(1);
  Crash({message}, {"f"});
  NextStart();
  ASSERT_NO_FATAL_FAILURE(DieAt("queue.set.put", {.recover = true}));
  EXPECT_THAT(Live(), ElementsAre("remote/ops suspended f")) << "or salved delivers it";
  EXPECT_EQ(Recover().recovered, 1);
  EXPECT_THAT(Live(), ElementsAre("poison suspended f"));
  EXPECT_THAT(DetailOf("f"), HasSubstr("it is in poison"));
  EXPECT_EQ(events_.events.front().queue().former_queue(), "remote/ops");
}

TEST_F(SetRunTest, ASetCopiedTwiceIsRecoveredOnce) {
  Crash({NewMessage("f")}, {"f"});
  NextStart();
  const std::string copy = CopyOfSet();
  Recover();
  Run({.dir = copy, .recover = true});
  EXPECT_THAT(States(copy), ElementsAre("ERR-RECOV f"));
  EXPECT_THAT(Live(), ElementsAre("remote/ops f"));
}

TEST_F(SetRunTest, ExecuteDoesNotTouchWhatWasInFlight) {
  const std::string id = Begin();
  Crash({NewMessage("f")}, {"f"});
  NextStart();
  Execute();
  EXPECT_THAT(States(), ElementsAre("ERR-NOREC " + id, "ERR-NOREC f"));
}

// Dies at a point of the run; the next one goes on. Effects that a letter may have then: one that
// was on its way is told again, its receiver knows it by its id.
struct Death {
  const char* point;
  int effects;
};
class KilledSetRunTest : public SetRunTest, public testing::WithParamInterface<Death> {};

TEST_P(KilledSetRunTest, TheNextRunGoesOn) {
  Crash({NewMessage("f"), NewMessage("g")});
  NextStart();
  letters_.decide = [this](const FakeDeliverer::Attempt& attempt) {
    std::ofstream(folder_ + "/effects", std::ios::app) << attempt.messages.at(0).mid();
    return DeliveryResult{Kind::kDelivered, "taken"};
  };
  ASSERT_NO_FATAL_FAILURE(DieAt(GetParam().point, {.execute = true}));
  Execute();
  EXPECT_THAT(States(), ElementsAre("ACT-EXEC f", "ACT-EXEC g"));
  EXPECT_EQ(EndOf("f"), "done");
  EXPECT_THAT(Live(), IsEmpty());
  EXPECT_EQ(fs::file_size(folder_ + "/effects"), static_cast<size_t>(GetParam().effects) + 1);
}

INSTANTIATE_TEST_SUITE_P(AtEachPoint, KilledSetRunTest,
                         testing::Values(Death{"queue.set.put", 1},
                                         Death{"queue.set.delivering", 1},
                                         Death{"queue.set.delivered", 2},
                                         Death{"queue.set.ended", 1}, Death{"queue.set.state", 1}),
                         [](const auto& info) {
                           std::string name = info.param.point;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace salve
