// The dispatcher on a disk that fails: nothing that was accepted is lost, and what was delivered is
// not delivered again because its end could not be written.
#include <cerrno>
#include <filesystem>
#include <functional>

#include "gmock/gmock.h"
#include "queue/dispatcher_fixture.h"
#include "queue/failing_disk.h"
#include "queue/parcel.h"

namespace salve {
namespace {

class DiskTest : public ::testing::Test {
 protected:
  void SetUp() override { server_.Boot(); }

  FailingDisk disk_;
  SimulatedLoop loop_;
  QueueServer server_{loop_};
};

class DiskAcceptTest : public DiskTest, public ::testing::WithParamInterface<int> {};

TEST_P(DiskAcceptTest, WhatCannotBeKeptIsNotAcceptedAndLaterItIs) {
  disk_.FailAfter(0, GetParam());
  std::string why;
  // On a full disk own messages have the reserve first.
  for (int i = 0; i < 100'000 && why.empty(); ++i) {
    why = std::string(server_.Accept(QueueServer::LetterTo("nobody", "a")).status().message());
    if (GetParam() == EIO) break;
  }
  EXPECT_NE(why, "");
  EXPECT_NE(server_.dispatcher->trouble(), "");
  EXPECT_FALSE(server_.events.Of(40017).empty());
  disk_.Heal();
  loop_.RunFor(absl::Minutes(2));
  const std::string mid = server_.Send("ops", "b");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
  EXPECT_EQ(server_.dispatcher->trouble(), "");
}

TEST_F(DiskTest, AnEndThatCannotBeKeptIsKeptLaterAndNotDeliveredTwice) {
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kDelivered, "", absl::Seconds(10));
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(5));
  disk_.FailAfter(0, EIO);
  loop_.RunFor(absl::Minutes(1));
  EXPECT_TRUE(server_.EndsOf(mid).empty());
  disk_.Heal();
  loop_.RunFor(absl::Seconds(20));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
  EXPECT_EQ(server_.letters.taken[mid], 1);
  EXPECT_EQ(server_.EndsOf(mid), std::vector<int>{40002});
}

TEST_F(DiskTest, NothingIsDeliveredThatCannotBeMarkedInFlight) {
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kFailedOn, "451");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  disk_.FailAfter(0, EIO);
  loop_.RunFor(absl::Minutes(3));
  EXPECT_EQ(server_.letters.attempts.size(), 1u);
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kDelivered);
  disk_.Heal();
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
}

TEST_F(DiskTest, StopEndsAtItsDeadlineThoughTheEndCannotBeKept) {
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kDelivered, "", absl::Seconds(5));
  const std::string mid = server_.Send("ops", "a");
  disk_.FailAfter(0, EIO);
  bool stopped = false;
  server_.dispatcher->Stop(loop_.Now() + absl::Seconds(30), [&] { stopped = true; });
  loop_.RunFor(absl::Seconds(29));
  EXPECT_FALSE(stopped);
  loop_.RunFor(absl::Seconds(2));
  EXPECT_TRUE(stopped);
  server_.Crash();
  disk_.Heal();
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kDelivered);
  server_.Boot();
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
}

TEST_F(DiskTest, ABugWhatHadKilledTheAgentTwiceRanOnceMoreAfterAStartThatFailed) {
  bool has_failed = true;
  int whole = 0;
  for (int64_t step = 0; has_failed; ++step) {
    SCOPED_TRACE(step);
    SimulatedLoop loop;
    QueueServer server(loop);
    server.actions.Answer("local/nginx", DeliveryResult::Kind::kDelivered, "", absl::Hours(1));
    server.Boot();
    const std::string bad = server.Defer("nginx", "Restart");
    const std::string same = server.Defer("nginx", "Restart");
    server.attempts[bad] = {.crashed = true};
    server.crashes = 2;
    server.Crash();
    disk_.FailAfter(step, EIO);
    server.Open().IgnoreError();
    has_failed = disk_.has_failed();
    server.Crash();
    disk_.Heal();
    const absl::Status opened = server.Open();
    ASSERT_TRUE(opened.ok()) << opened;
    server.Reload();
    ++whole;
    EXPECT_EQ(server.Where(bad), "poison suspended");
    ASSERT_EQ(server.Where(same), "poison suspended");
  }
  EXPECT_GT(whole, 20);
}

INSTANTIATE_TEST_SUITE_P(Codes, DiskAcceptTest, ::testing::Values(EIO, ENOSPC));

// How the disk fails from a write on.
enum class Failing { kOnce, kHalfAMinute, kUntilACrash };

// Each operation with each of its writes failing. Whatever it answered then is true, and what was
// accepted ends once, in one place.
class EachWriteTest : public ::testing::Test {
 protected:
  using Step = std::function<void(QueueServer&)>;
  using Kind = DeliveryResult::Kind;

  // `prepare` on a disk that is well, `work` with the next write failing, each time a later one,
  // until there is none; `check` when the disk has been well for a while.
  void FailEachWrite(const Step& prepare, const Step& work, const Step& check) {
    for (const int error : {ENOSPC, EIO}) {
      for (const Failing how : {Failing::kOnce, Failing::kHalfAMinute, Failing::kUntilACrash}) {
        has_failed_ = true;
        for (int64_t step = 0; has_failed_; ++step) {
          SCOPED_TRACE(absl::StrCat("error ", error, ", ", static_cast<int>(how), ", at ", step));
          FailOneWrite(error, how, step, prepare, work, check);
          if (HasFailure()) return;
          runs_ += has_failed_;
        }
      }
    }
    EXPECT_GT(runs_, 30);  // Several pages and the mark, and with EIO a sync.
  }

  void FailOneWrite(int error, Failing how, int64_t step, const Step& prepare, const Step& work,
                    const Step& check) {
    SimulatedLoop loop;
    QueueServer server(loop);
    // As the ledger would: what was begun is known, and how it ended.
    server.actions.decide = [&server](const FakeDeliverer::Attempt& attempt) {
      server.attempts[attempt.messages[0].mid()] = {.result = "Succeeded"};
      return DeliveryResult{.kind = Kind::kDelivered, .detail = ""};
    };
    server.Boot();
    prepare(server);
    std::filesystem::remove(server.dir + "/queue.db-reserve");
    crashed_ = how == Failing::kUntilACrash;
    disk_.FailAfter(step, error, how == Failing::kOnce ? 1 : INT64_MAX);
    work(server);
    loop.RunFor(absl::Seconds(30));
    has_failed_ = disk_.has_failed();
    if (crashed_) server.Crash();
    disk_.Heal();
    if (crashed_) server.Boot();
    loop.RunFor(absl::Minutes(3));
    check(server);
    // All goes on, and no trouble is told of any more.
    const std::string next = server.Send("hook", "next");
    loop.RunFor(absl::Minutes(1));
    EXPECT_THAT(server.Where(next), testing::EndsWith(" done"));
    EXPECT_EQ(server.dispatcher->trouble(), "");
    ASSERT_TRUE(server.StopAndClose().ok());
  }

  // It was done, its end told once, and done once, but for a letter that a crash met.
  void ExpectDone(QueueServer& server, const FakeDeliverer& by, const std::string& mid) {
    EXPECT_THAT(server.Where(mid), testing::EndsWith(" done"));
    if (!crashed_) {
      EXPECT_EQ(server.EndsOf(mid), std::vector<int>{40002});
    }
    const auto taken = by.taken.find(mid);
    ASSERT_NE(taken, by.taken.end());
    EXPECT_GE(taken->second, 1);
    const bool may_be_twice = crashed_ && &by != &server.actions;
    EXPECT_LE(taken->second, may_be_twice ? 2 : 1);
  }
  // REMOTELY, with one acceptor.
  static void HandOver(QueueServer& server) {
    server.agent.config.mutable_queue()->set_queue_processing(config::Queue::REMOTELY);
    server.acceptors.Set({{"b", "b:7443"}});
    server.Reload();
  }
  static queue::Message MessageOf(const std::string& server, absl::Time now) {
    queue::Message message;
    message.set_mid(server + "-1-1");
    message.set_origin_server(server);
    message.set_origin_mid(message.mid());
    message.set_type(queue::AF);
    message.set_created_ns(absl::ToUnixNanos(now));
    message.set_expires_ns(absl::ToUnixNanos(now + absl::Hours(1)));
    message.set_destination("ops");
    message.set_subject("of " + server);
    message.mutable_letter()->set_message("down");
    return message;
  }
  static std::string OnlyMid(QueueServer& server, const FakeDeliverer& by) {
    EXPECT_LE(by.taken.size(), 1u);
    return by.taken.empty() ? "" : by.taken.begin()->first;
  }

  FailingDisk disk_;
  bool has_failed_ = false;
  bool crashed_ = false;
  int runs_ = 0;
};

TEST_F(EachWriteTest, WhatIsAcceptedIsDeliveredWhatIsRefusedIsNotThere) {
  absl::StatusOr<std::string> accepted;
  FailEachWrite(
      [](QueueServer&) {},
      [&](QueueServer& server) { accepted = server.Accept(QueueServer::LetterTo("ops", "a")); },
      [&](QueueServer& server) {
        if (accepted.ok()) return ExpectDone(server, server.letters, *accepted);
        // A crash may leave what could not be answered: never more than one.
        if (!crashed_) {
          EXPECT_EQ(server.letters.taken.size(), 0u);
        }
        if (crashed_) OnlyMid(server, server.letters);
      });
}

TEST_F(EachWriteTest, ALetterThatIsMarkedInFlightIsDeliveredOnce) {
  std::string mid;
  FailEachWrite(
      [&](QueueServer& server) {
        ASSERT_TRUE(server.Control(v1::ControlQueueRequest::SUSPEND, "remote/ops").ok());
        mid = server.Send("ops", "a");
      },
      [&](QueueServer& server) {
        server.Control(v1::ControlQueueRequest::RESUME, "remote/ops").IgnoreError();
      },
      [&](QueueServer& server) {
        server.Control(v1::ControlQueueRequest::RESUME, "remote/ops").IgnoreError();
        server.loop.RunFor(absl::Minutes(1));
        ExpectDone(server, server.letters, mid);
      });
}

TEST_F(EachWriteTest, ADeliveryIsAcknowledgedOnce) {
  std::string mid;
  FailEachWrite(
      [&](QueueServer& server) {
        server.letters.Answer("remote/ops", Kind::kDelivered, "", absl::Seconds(2));
        mid = server.Send("ops", "a");
      },
      [](QueueServer&) {}, [&](QueueServer& server) { ExpectDone(server, server.letters, mid); });
}

// The second begins when the first ends.
TEST_F(EachWriteTest, ADeferredActionRunsOnce) {
  std::string first, second;
  FailEachWrite(
      [&](QueueServer& server) {
        server.actions.Answer("local/nginx", Kind::kDelivered, "", absl::Seconds(2));
        first = server.Defer("nginx", "Restart");
        second = server.Defer("nginx", "Reload");
      },
      [](QueueServer&) {},
      [&](QueueServer& server) {
        ExpectDone(server, server.actions, first);
        ExpectDone(server, server.actions, second);
      });
}

TEST_F(EachWriteTest, ADeadMessageIsReregisteredOnceOrStaysDead) {
  std::string mid;
  v1::ReregisterRequest request;
  const auto reregister = [&](QueueServer& server) {
    return server.Ask(&Dispatcher::Reregister, request);
  };
  absl::StatusOr<v1::ReregisterResponse> answer;
  FailEachWrite(
      [&](QueueServer& server) {
        server.letters.Answer("remote/ops", Kind::kRefused, "550 no");
        mid = server.Send("ops", "a");
        server.loop.RunFor(absl::Seconds(1));
        server.letters.Answer("remote/ops", Kind::kDelivered);
        request.set_dmid(server.Show(mid).dmid());
        request.set_unchecked(true);
      },
      [&](QueueServer& server) { answer = reregister(server); },
      [&](QueueServer& server) {
        const std::string where = server.Where(mid);
        if (answer.ok() || (crashed_ && where == "dead reregistered")) {
          EXPECT_EQ(where, "dead reregistered");
          EXPECT_FALSE(reregister(server).ok());
          return ExpectDone(server, server.letters, OnlyMid(server, server.letters));
        }
        EXPECT_EQ(where, "dead waiting");
        EXPECT_EQ(server.letters.taken.size(), 0u);
        answer = reregister(server);
        ASSERT_TRUE(answer.ok()) << answer.status();
        server.loop.RunFor(absl::Seconds(1));
        EXPECT_EQ(server.Where(answer->mid()), "remote/ops done");
      });
}

// This server takes one of another. Unanswered, that one keeps it and sends it again.
TEST_F(EachWriteTest, WhatIsTransferredHereIsTakenOnce) {
  v1::TransferRequest request;
  request.set_purpose(v1::TransferRequest::RELAY);
  request.set_sender("a");
  absl::StatusOr<v1::TransferResponse> answer;
  FailEachWrite(
      [&](QueueServer& server) {
        server.agent.config.mutable_queue()->set_queue_processing(
            config::Queue::LOCALLY_FOR_OTHERS);
        server.Reload();
        request.set_parcel(*MakeParcel(MessageOf("a", server.WallNow())));
      },
      [&](QueueServer& server) { answer = server.Ask(&Dispatcher::Transfer, request); },
      [&](QueueServer& server) {
        const bool was_taken = answer.ok() && answer->answer() == v1::TransferResponse::ACCEPTED;
        if (was_taken) ExpectDone(server, server.letters, answer->mid());
        if (!was_taken && !crashed_) {
          EXPECT_EQ(server.letters.taken.size(), 0u);
        }
        const auto again = server.Ask(&Dispatcher::Transfer, request);
        ASSERT_TRUE(again.ok()) << again.status();
        if (was_taken) {
          EXPECT_EQ(again->answer(), v1::TransferResponse::DUPLICATE);
        }
        server.loop.RunFor(absl::Seconds(1));
        ExpectDone(server, server.letters, OnlyMid(server, server.letters));
      });
}

// This server hands over to another, which answers while the disk fails.
TEST_F(EachWriteTest, ATransferIsAcknowledgedOnce) {
  std::string mid;
  FailEachWrite(
      [&](QueueServer& server) {
        HandOver(server);
        server.relays.Answer("relay/b", Kind::kDelivered, "", absl::Seconds(2));
        mid = server.Send("ops", "a");
      },
      [](QueueServer&) {},
      [&](QueueServer& server) {
        EXPECT_EQ(server.Where(mid), "relay/b done");
        EXPECT_EQ(server.letters.taken.size(), 0u);
        ExpectDone(server, server.relays, mid);
      });
}

TEST_F(EachWriteTest, ATransferThatFailedComesBackOnce) {
  std::string mid;
  FailEachWrite(
      [&](QueueServer& server) {
        HandOver(server);
        server.relays.Answer("relay/b", Kind::kNotReached, "reset", absl::Seconds(2));
        mid = server.Send("ops", "a");
      },
      [](QueueServer&) {},
      [&](QueueServer& server) {
        EXPECT_EQ(server.Where(mid), "remote/ops done");
        ExpectDone(server, server.letters, mid);
      });
}

}  // namespace
}  // namespace salve
