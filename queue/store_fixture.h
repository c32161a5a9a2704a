// What tests of the queue's store share: a folder of its own, messages, the files' bytes.
#ifndef SALVE_QUEUE_STORE_FIXTURE_H_
#define SALVE_QUEUE_STORE_FIXTURE_H_

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "queue/message_store.h"

namespace salve {

inline const absl::Time kStoreTestNow = absl::FromUnixSeconds(1'800'000'000);

inline std::string ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes;
  while (file) {
    char piece[16 * 1024];
    file.read(piece, sizeof(piece));
    bytes.append(piece, static_cast<size_t>(file.gcount()));
  }
  return bytes;
}
inline void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// The three files as a crash would leave them, to be put back as often as wanted.
struct StoreFiles {
  std::string database, log, mark;

  static StoreFiles Of(const std::string& path) {
    return {ReadBytes(path), ReadBytes(path + "-wal"), ReadBytes(path + ".mark")};
  }
  void Restore(const std::string& path) const {
    WriteBytes(path, database);
    WriteBytes(path + "-wal", log);
    WriteBytes(path + ".mark", mark);
  }
  friend bool operator==(const StoreFiles&, const StoreFiles&) = default;
};

inline queue::Message NewLetter(const std::string& mid, queue::Type type = queue::AF) {
  queue::Message message;
  message.set_mid(mid);
  message.set_origin_server("web1");
  message.set_origin_mid(mid);
  message.set_type(type);
  message.set_created_ns(absl::ToUnixNanos(kStoreTestNow));
  message.set_expires_ns(absl::ToUnixNanos(kStoreTestNow + absl::Hours(48)));
  message.set_destination("ops");
  message.set_subject("web1: Web is Unhealthy");
  message.mutable_letter()->set_message("The set Web is Unhealthy: HttpProbe failed 3 times.");
  return message;
}

inline queue::Message NewAction(const std::string& mid) {
  queue::Message message = NewLetter(mid, queue::UP);
  message.clear_destination();
  message.clear_letter();
  message.mutable_deferred()->set_action("RestartService");
  message.mutable_deferred()->set_resource("nginx.service");
  return message;
}

inline Changes PutOf(queue::Message message, const std::string& queue) {
  Changes changes;
  changes.now = kStoreTestNow;
  changes.puts.push_back({std::move(message), queue, queue == "poison", kStoreTestNow});
  return changes;
}
inline Changes UpdateOf(Changes::Update update) {
  Changes changes;
  changes.now = kStoreTestNow;
  changes.updates.push_back(std::move(update));
  return changes;
}
inline Changes EndOf(int64_t sequence, Final final, const std::string& reason = "") {
  Changes changes;
  changes.now = kStoreTestNow;
  changes.ends.push_back({sequence, final, reason, kStoreTestNow + absl::Hours(49)});
  return changes;
}

class StoreFixture : public testing::Test {
 protected:
  StoreFixture() : folder_(MakeFolder()), path_(folder_ + "/queue.db") {}
  ~StoreFixture() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  absl::Status Open(StoreOptions options = {}) {
    store_.reset();
    options.path = path_;
    if (options.server.empty()) options.server = "web1";
    options.now = kStoreTestNow;
    absl::StatusOr<std::unique_ptr<MessageStore>> store = MessageStore::Open(options);
    if (store.ok()) store_ = *std::move(store);
    return store.status();
  }
  // As a crash leaves it, and opened again.
  absl::Status Crash() { return Open(); }
  absl::Status Close() {
    const absl::Status status = store_->Close();
    store_.reset();
    return status;
  }

  int64_t Accept(queue::Message message, const std::string& queue = "remote/ops") {
    const auto sequences = store_->Apply(PutOf(std::move(message), queue));
    EXPECT_TRUE(sequences.ok()) << sequences.status();
    return sequences.ok() ? sequences->front() : 0;
  }
  absl::Status Refusal(const Changes& changes) { return store_->Apply(changes).status(); }
  void FillWith(int letters) {
    ASSERT_TRUE(Open().ok());
    for (int i = 0; i < letters; ++i) Accept(NewLetter(store_->NewMid(kStoreTestNow)));
  }
  std::vector<std::string> Mids(const std::string& queue) {
    std::vector<std::string> mids;
    const auto listed = store_->List(queue, 1'000'000);
    EXPECT_TRUE(listed.ok()) << listed.status();
    if (!listed.ok()) return mids;
    for (const StoredMessage& message : *listed) mids.push_back(message.message.mid());
    return mids;
  }

  const std::string folder_;
  const std::string path_;
  std::unique_ptr<MessageStore> store_;

 private:
  static std::string MakeFolder() {
    // In memory where there is such a place: thousands of syncs take their time on a disk.
    const bool has_memory = access("/dev/shm", W_OK) == 0;
    std::string folder = (has_memory ? "/dev/shm" : testing::TempDir()) + "/store-XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    return folder;
  }
};

}  // namespace salve

#endif  // SALVE_QUEUE_STORE_FIXTURE_H_
