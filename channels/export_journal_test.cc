#include "channels/export_journal.h"

#include <gtest/gtest.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <string>

#include "base/unique_fd.h"
#include "channels/test_events.h"

namespace salve {
namespace {

// What journald is: a datagram socket at a path.
class FakeJournal {
 public:
  explicit FakeJournal(const std::string& path)
      : socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  std::string Receive() {
    char bytes[65536];
    const ssize_t n = recv(socket_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    return n < 0 ? "nothing" : std::string(bytes, n);
  }

 private:
  UniqueFd socket_;
};

class ExportJournalTest : public testing::Test {
 protected:
  // Short: the path of a socket has 107 bytes at most.
  std::string NewFolder() {
    char name[] = "/tmp/journal.XXXXXX";
    return mkdtemp(name);
  }
  const std::string folder_ = NewFolder();
  const std::string path_ = folder_ + "/socket";
  void TearDown() override { std::filesystem::remove_all(folder_); }
};

TEST_F(ExportJournalTest, SendsNativeFields) {
  FakeJournal journal(path_);
  auto target = NewJournalExport(path_);
  v1::Event event = AgentEvent("salved started");
  event.set_record_id(12);
  event.set_server("web-1");
  event.set_incident_id("i1");
  event.set_health_set("Web");
  event.set_name("Ping");
  ASSERT_TRUE(target->Write(event).ok());
  EXPECT_EQ(journal.Receive(),
            "MESSAGE=salved started\nPRIORITY=6\nSYSLOG_IDENTIFIER=salved\nSALVE_CHANNEL=Agent\n"
            "SALVE_EVENT_ID=3\nSALVE_RECORD_ID=12\nSALVE_LEVEL=Information\nSALVE_SERVER=web-1\n"
            "SALVE_INCIDENT=i1\nSALVE_HEALTH_SET=Web\nSALVE_NAME=Ping\n");
}

TEST_F(ExportJournalTest, LeavesOutWhatIsEmpty) {
  FakeJournal journal(path_);
  ASSERT_TRUE(NewJournalExport(path_)->Write(AgentEvent("m")).ok());
  const std::string datagram = journal.Receive();
  EXPECT_EQ(datagram.find("SALVE_INCIDENT"), std::string::npos);
  EXPECT_EQ(datagram.find("SALVE_NAME"), std::string::npos);
}

TEST_F(ExportJournalTest, TheLevelIsThePriority) {
  FakeJournal journal(path_);
  auto target = NewJournalExport(path_);
  v1::Event event = AgentEvent("m");
  event.set_level(v1::Warning);
  ASSERT_TRUE(target->Write(event).ok());
  EXPECT_NE(journal.Receive().find("PRIORITY=4\n"), std::string::npos);
  event.set_level(v1::Error);
  ASSERT_TRUE(target->Write(event).ok());
  EXPECT_NE(journal.Receive().find("PRIORITY=3\n"), std::string::npos);
}

TEST_F(ExportJournalTest, AValueWithLineBreaksCannotForgeFields) {
  FakeJournal journal(path_);
  v1::Event event = AgentEvent("m");
  event.set_name("a\nPRIORITY=0");
  ASSERT_TRUE(NewJournalExport(path_)->Write(event).ok());
  EXPECT_NE(
      journal.Receive().find(std::string("SALVE_NAME\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n", 32)),
      std::string::npos);
}

TEST_F(ExportJournalTest, AJournalThatIsNotThereIsAnErrorUntilItIs) {
  auto target = NewJournalExport(path_);
  EXPECT_EQ(target->Write(AgentEvent("m")).code(), absl::StatusCode::kUnavailable);
  FakeJournal journal(path_);
  EXPECT_TRUE(target->Write(AgentEvent("m")).ok());
}

TEST_F(ExportJournalTest, AJournalThatHangsIsNotWaitedFor) {
  FakeJournal journal(path_);
  auto target = NewJournalExport(path_);
  absl::Status status;
  for (int i = 0; i < 100'000 && status.ok(); ++i) status = target->Write(AgentEvent("m"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace salve
