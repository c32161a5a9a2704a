// kill -9 of a process that writes events: what is lost, and that the file stays whole.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "channels/event_store.h"
#include "channels/store_fixture.h"

namespace salve {
namespace {

class EventStoreCrashTest : public StoreFixture {
 protected:
  // Runs `body` in a child that writes into a pipe, reads one byte from it when the body is ready
  // and kills the child then.
  template <typename Body>
  void KillAfter(Body body) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      body([&] { (void)!write(ready[1], "r", 1); });
      for (;;) pause();
    }
    close(ready[1]);
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1) << "the child ended by itself";
    close(ready[0]);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
};

TEST_F(EventStoreCrashTest, WhatWasFlushedSurvives) {
  KillAfter([&](auto ready) {
    auto store = Open(Options());
    for (int i = 0; i < 100; ++i) store->Append(ActionEvent(500));
    if (Flush(*store).ok()) ready();
    store.release();
  });
  auto store = Open(Options());
  EXPECT_FALSE(store->open_report().damaged);
  EXPECT_EQ(OfChannel(*store, v1::RecoveryActionResults).size(), 100u);
  EXPECT_GT(store->Append(ProbeEvent()), 100u);
}

TEST_F(EventStoreCrashTest, LosesNoMoreThanTheLastHundredMilliseconds) {
  // The child appends for ever and says the id of each event that is 100 ms old; the pipe's
  // content outlives it.
  int ids[2];
  ASSERT_EQ(pipe(ids), 0);
  const pid_t child = fork();
  if (child == 0) {
    EventStoreOptions options = Options();
    options.write_delay = EventStoreOptions().write_delay;
    auto store = Open(std::move(options));
    for (;;) {
      const uint64_t id = store->Append(ProbeEvent());
      const Instant appended = clock_.Now();
      // Others follow all the time, as on a busy server.
      while (clock_.Now() - appended < absl::Milliseconds(100)) {
        store->Append(ProbeEvent());
        usleep(500);
      }
      (void)!write(ids[1], &id, sizeof(id));
    }
  }
  close(ids[1]);
  uint64_t id = 0;
  for (int i = 0; i < 5; ++i) ASSERT_EQ(read(ids[0], &id, sizeof(id)), ssize_t{sizeof(id)});
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  while (read(ids[0], &id, sizeof(id)) == ssize_t{sizeof(id)}) {
  }
  close(ids[0]);
  auto store = Open(Options());
  EXPECT_GE(Query(*store).back().record_id(), id);
}

TEST_F(EventStoreCrashTest, IdsAreNotUsedAgainAfterManyCrashes) {
  // What the engine does: the high-water mark is on disk when the call returns.
  uint64_t high_water = 1;
  for (int round = 0; round < 5; ++round) {
    int mark[2];
    ASSERT_EQ(pipe(mark), 0);
    uint64_t first = 0;
    KillAfter([&](auto ready) {
      EventStoreOptions options = Options();
      options.next_record_id = high_water;
      options.reserve_record_ids = [&](uint64_t id) { (void)!write(mark[1], &id, sizeof(id)); };
      auto store = Open(std::move(options));
      first = store->Append(ProbeEvent());
      (void)!write(mark[1], &first, sizeof(first));
      ready();
      store.release();
    });
    uint64_t reserved = 0;
    ASSERT_EQ(read(mark[0], &reserved, sizeof(reserved)), ssize_t{sizeof(reserved)});
    ASSERT_EQ(read(mark[0], &first, sizeof(first)), ssize_t{sizeof(first)});
    EXPECT_GE(first, high_water);
    EXPECT_LT(first, reserved);
    high_water = reserved;
    close(mark[0]);
    close(mark[1]);
  }
}

}  // namespace
}  // namespace salve
