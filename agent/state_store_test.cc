#include "agent/state_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

namespace salve {
namespace {

class StateStoreTest : public testing::Test {
 protected:
  StateStoreTest() : path_(std::string(getenv("TEST_TMPDIR")) + "/state.db") {
    for (const auto& entry : std::filesystem::directory_iterator(getenv("TEST_TMPDIR"))) {
      if (entry.path().filename().string().starts_with("state.db")) {
        std::filesystem::remove(entry.path());
      }
    }
  }
  std::unique_ptr<StateStore> Open() { return *StateStore::Open(path_, worker_); }
  const std::string path_;
  InlineWorker worker_;
};

TEST_F(StateStoreTest, WhatWasPutIsThereAfterReopening) {
  Open()->Put("monitor/a", std::string("\0x", 2));
  EXPECT_EQ(Open()->Get("monitor/a"), std::string("\0x", 2));
}

TEST_F(StateStoreTest, AnEmptyValueRemovesTheKey) {
  Open()->Put("k", "v");
  Open()->Put("k", "");
  EXPECT_TRUE(Open()->entries().empty());
}

TEST_F(StateStoreTest, PutNowIsOnDiskWhenItReturns) {
  auto store = Open();
  ASSERT_TRUE(store->PutNow("next_record_id", "10001").ok());
  store.reset();
  EXPECT_EQ(Open()->Get("next_record_id"), "10001");
}

// Runs its tasks when the test says so.
class LaterWorker final : public Worker {
 public:
  void Post(Task task) override { tasks_.push_back(std::move(task)); }
  void Run() {
    for (Task& task : std::exchange(tasks_, {})) task();
  }

 private:
  std::vector<Task> tasks_;
};

TEST_F(StateStoreTest, SyncAnswersWhenAllThatWasPutIsOnDisk) {
  LaterWorker later;
  auto store = *StateStore::Open(path_, later);
  store->Put("guards", "paused");
  absl::Status answer = absl::UnknownError("no answer");
  store->Sync([&](absl::Status status) { answer = std::move(status); });
  EXPECT_EQ(answer.code(), absl::StatusCode::kUnknown);
  later.Run();
  EXPECT_TRUE(answer.ok()) << answer;
  store.reset();
  EXPECT_EQ(Open()->Get("guards"), "paused");
}

TEST_F(StateStoreTest, ADamagedFileIsSetAsideAndSaid) {
  std::ofstream(path_) << std::string(8192, 'x');
  auto store = Open();
  EXPECT_NE(store->damage().find("set aside"), std::string::npos);
  store->Put("k", "v");
  store.reset();
  EXPECT_EQ(Open()->Get("k"), "v");
  int aside = 0;
  for (const auto& entry : std::filesystem::directory_iterator(getenv("TEST_TMPDIR"))) {
    aside += entry.path().filename().string().starts_with("state.db.damaged-");
  }
  EXPECT_GE(aside, 1);
}

TEST_F(StateStoreTest, AFolderThatIsNotThereIsAnError) {
  EXPECT_FALSE(StateStore::Open("/nonexistent/state.db", worker_).ok());
}

}  // namespace
}  // namespace salve
