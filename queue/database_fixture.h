// DatabaseTest: state folders and packs with messages in them, and calls that are killed at a
// fault point. AdopterTest: and a second server.
#ifndef SALVE_QUEUE_DATABASE_FIXTURE_H_
#define SALVE_QUEUE_DATABASE_FIXTURE_H_

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "config/definition.h"
#include "queue/database.h"
#include "queue/message_store.h"

namespace salve {

class DatabaseTest : public testing::Test {
 protected:
  DatabaseTest() : root_(MakeFolder()) { std::filesystem::create_directories(state()); }
  ~DatabaseTest() override { std::filesystem::remove_all(root_); }

  std::string state() const { return root_ + "/state"; }  // Of web1.
  std::string other_state() const { return root_ + "/other"; }
  std::string pack() const { return root_ + "/pack"; }
  static std::string FileIn(const std::string& folder) { return folder + "/queue.db"; }

  std::unique_ptr<MessageStore> Open(const std::string& folder, const std::string& server = "web1",
                                     const std::string& role = "salved") {
    std::filesystem::create_directories(folder);
    auto store = MessageStore::Open(
        {.path = FileIn(folder), .server = server, .group = "web", .role = role, .now = now_});
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  static void Close(std::unique_ptr<MessageStore> store) {
    const absl::Status status = store->Close();
    EXPECT_TRUE(status.ok()) << status;
  }

  queue::Message NewMessage(MessageStore& store, queue::Type type, const std::string& server) {
    queue::Message message;
    message.set_mid(store.NewMid(now_));
    message.set_origin_server(server);
    message.set_origin_mid(message.mid());
    message.set_type(type);
    message.set_created_ns(absl::ToUnixNanos(now_));
    message.set_expires_ns(absl::ToUnixNanos(now_ + absl::Hours(24)));
    if (type == queue::UP) {
      message.mutable_deferred()->set_action("RestartService");
      message.mutable_deferred()->set_resource("nginx.service");
      message.mutable_deferred()->set_requester("ada");
    } else {
      message.set_destination("ops");
      message.mutable_letter()->set_message("down");
    }
    message.set_subject("subject");
    return message;
  }

  // Its sequence.
  int64_t Put(MessageStore& store, queue::Message message, const std::string& queue,
              bool suspended = false) {
    Changes changes;
    changes.now = now_;
    changes.puts.push_back({std::move(message), queue, suspended, now_});
    const auto sequences = store.Apply(changes);
    EXPECT_TRUE(sequences.ok()) << sequences.status();
    return sequences.ok() ? sequences->front() : 0;
  }
  void Apply(MessageStore& store, Changes changes) {
    changes.now = now_;
    const auto applied = store.Apply(changes);
    EXPECT_TRUE(applied.ok()) << applied.status();
  }
  void PutLetters(MessageStore& store, int count, const std::string& server = "web1") {
    for (int i = 0; i < count; ++i) Put(store, NewMessage(store, queue::AF, server), "remote/ops");
  }
  void End(MessageStore& store, int64_t sequence, Final final = Final::kDone) {
    Changes changes;
    changes.ends.push_back({sequence, final, "delivered", now_ + absl::Hours(48)});
    Apply(store, std::move(changes));
  }

  // Queue to number of messages; those without any are left out.
  static std::map<std::string, int64_t> Counts(const MessageStore& store) {
    std::map<std::string, int64_t> counts;
    for (const QueueRow& row : store.Queues()) {
      if (row.messages > 0) counts[row.name] = row.messages;
    }
    return counts;
  }

  // Runs `call` in a process of its own that dies at the fault point; whether it did.
  static bool DiesAt(const std::string& fault, const std::function<void()>& call) {
    const pid_t child = fork();
    if (child == 0) {
      setenv("SALVE_FAULT", fault.c_str(), 1);
      call();
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

  // All files of a folder, with their content.
  static std::map<std::string, std::string> Snapshot(const std::string& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::string& content = files[entry.path().filename().string()];
      content.resize(entry.file_size());
      std::ifstream(entry.path(), std::ios::binary)
          .read(content.data(), static_cast<std::streamsize>(content.size()));
    }
    return files;
  }
  static void Restore(const std::string& folder, const std::map<std::string, std::string>& files) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    for (const auto& [name, content] : files) std::ofstream(folder + "/" + name) << content;
  }
  static void Flip(const std::string& path, int64_t offset) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(offset);
    const char byte = static_cast<char>(file.get() ^ 0x20);
    file.seekp(offset);
    file.put(byte);
  }

  static std::string MakeFolder() {
    // In memory where there is such a place: thousands of syncs take their time on a disk.
    const bool has_memory = access("/dev/shm", W_OK) == 0;
    std::string folder = (has_memory ? "/dev/shm" : testing::TempDir()) + "/database-XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    return folder;
  }

  const std::string root_;
  absl::Time now_ = absl::FromUnixSeconds(1795255200);
};

// With web2, which may adopt a pack of web1.
class AdopterTest : public DatabaseTest {
 protected:
  AdopterTest() {
    agent_.server = "web2";
    agent_.group = "web";
    AddDestination("ops");
    std::filesystem::create_directories(other_state());
  }

  void AddDestination(const std::string& name, const std::string& forward_to = "") {
    config::Destination& destination = *agent_.config.add_destination();
    destination.set_name(name);
    if (forward_to.empty()) {
      destination.mutable_webhook();
    } else {
      destination.mutable_forward()->set_address(forward_to);
    }
  }

  AgentDefinition agent_;
};

}  // namespace salve

#endif  // SALVE_QUEUE_DATABASE_FIXTURE_H_
