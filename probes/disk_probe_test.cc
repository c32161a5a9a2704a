#include "probes/disk_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/fake_host.h"
#include "base/mutex.h"
#include "base/uv_loop.h"

namespace salve {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr uint64_t kMiB = 1 << 20;

FileSystemRoom Room(uint64_t free_of_1000, uint64_t free_inodes_of_1000 = 500) {
  return {.total_bytes = 1000 * kMiB,
          .used_bytes = (1000 - free_of_1000) * kMiB,
          .free_bytes = free_of_1000 * kMiB,
          .total_inodes = 1000,
          .free_inodes = free_inodes_of_1000};
}

// What file systems there are, and what each answers. Asked from other threads; set before.
struct FakeKernel {
  std::map<std::string, absl::StatusOr<FileSystemRoom>> rooms;
  std::string hanging;  // The path that hangs until Open.
  Mutex mu;
  CondVar opened;
  bool is_open ABSL_GUARDED_BY(mu) = false;

  absl::StatusOr<FileSystemRoom> Ask(const std::string& path) {
    if (path == hanging) {
      MutexLock lock(&mu);
      while (!is_open) opened.Wait(&mu);
    }
    const auto it = rooms.find(path);
    if (it == rooms.end()) return absl::NotFoundError(path + ": No such file or directory");
    return it->second;
  }
  void Open() {
    MutexLock lock(&mu);
    is_open = true;
    opened.SignalAll();
  }
};

class DiskProbeTest : public ::testing::Test {
 protected:
  DiskProbeTest() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/self");
    SetTable(
        "1 0 8:1 / / ro - ext4 /dev/sda1 rw\n"
        "2 1 8:2 / /var rw - xfs /dev/sda2 rw\n"
        "3 1 0:9 / /nfs rw - nfs4 server:/x rw\n"
        "4 1 7:1 / /snap rw - squashfs /dev/loop1 ro\n");
    kernel_->rooms.emplace("/", Room(500));
    kernel_->rooms.emplace("/var", Room(300));
    kernel_->rooms.emplace("/nfs", Room(800));
    kernel_->rooms.emplace("/snap", Room(0));
  }
  ~DiskProbeTest() override { kernel_->Open(); }

  void SetTable(const std::string& text) { std::ofstream(root_ + "/self/mountinfo") << text; }
  std::unique_ptr<Probe> Make() {
    auto probe =
        NewDiskProbe(config_, host_, blocking_,
                     [kernel = kernel_](const std::string& path) { return kernel->Ask(path); });
    EXPECT_TRUE(probe.ok()) << probe.status();
    return *std::move(probe);
  }
  Observation Look(Probe& probe, absl::Duration timeout = absl::Seconds(20)) {
    std::optional<Observation> seen;
    loop_.Post([&] {
      probe.Start(loop_.Now() + timeout, [&](Observation o) {
        seen = std::move(o);
        loop_.Stop();
      });
    });
    loop_.Run();
    return seen.value_or(Observation{});
  }
  Observation Look() {
    const std::unique_ptr<Probe> probe = Make();
    return Look(*probe);
  }
  static std::optional<double> Value(const Observation& seen, const std::string& name) {
    for (const ProbeValue& value : seen.values) {
      if (value.name == name) return value.number;
    }
    return std::nullopt;
  }

  const std::string root_ = absl::StrCat(
      ::testing::TempDir(), "/", ::testing::UnitTest::GetInstance()->current_test_info()->name());
  UvLoop loop_;
  FakeHost host_{loop_, root_};
  BlockingCalls blocking_{loop_};
  const std::shared_ptr<FakeKernel> kernel_ = std::make_shared<FakeKernel>();
  config::DiskProbe config_;
};

TEST_F(DiskProbeTest, LooksAtTheLocalFileSystemsAndTellsTheLeast) {
  kernel_->rooms["/"]->free_inodes = 100;
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_EQ(Value(seen, "free_percent"), 30);
  EXPECT_EQ(Value(seen, "free_bytes"), 300.0 * kMiB);
  EXPECT_EQ(Value(seen, "free_inodes_percent"), 10);
  EXPECT_EQ(Value(seen, "total_bytes"), std::nullopt);
  EXPECT_THAT(seen.attributes,
              ::testing::ElementsAre(Pair("mount", "/var"), Pair("device", "/dev/sda2"),
                                     Pair("fs_type", "xfs")));
}

TEST_F(DiskProbeTest, FailsBelowTheShareAndNotAtIt) {
  config_.set_min_free_percent(30);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  kernel_->rooms["/var"] = Room(299);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "/var has 29.9 % (299 MiB) free, expected 30 %");
}

TEST_F(DiskProbeTest, TheDefaultsAreFivePercent) {
  kernel_->rooms["/var"] = Room(49, 49);
  EXPECT_EQ(Look().error,
            "/var has 4.9 % (49 MiB) free, expected 5 %; "
            "/var has 4.9 % (49) of its inodes free, expected 5 %");
  config_.set_min_free_percent(0);
  config_.set_min_free_inodes_percent(0);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(DiskProbeTest, FailsBelowTheBytesAndNotAtThem) {
  config_.set_min_free_bytes(300 * kMiB);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  config_.set_min_free_bytes(300 * kMiB + 1);
  EXPECT_EQ(Look().error, "/var has 300 MiB free, expected 300 MiB");
}

TEST_F(DiskProbeTest, AFileSystemWithoutInodesHasNoneToRunOutOf) {
  for (auto& [path, room] : kernel_->rooms) room->total_inodes = room->free_inodes = 0;
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded);
  EXPECT_EQ(Value(seen, "free_inodes_percent"), std::nullopt);
}

TEST_F(DiskProbeTest, NamesFirstTheOneWithTheLeastRoom) {
  kernel_->rooms["/"] = Room(20);
  kernel_->rooms["/var"] = Room(10);
  EXPECT_THAT(Look().error, StartsWith("/var has 1 % (10 MiB) free, expected 5 %; / has 2 %"));
}

TEST_F(DiskProbeTest, FailsWhenTheFileSystemItselfIsReadOnly) {
  SetTable("1 0 8:1 / / ro - ext4 /dev/sda1 ro,errors=remount-ro\n");
  EXPECT_EQ(Look().error, "/: the file system /dev/sda1 is read-only");
  config_.set_read_only_ok(true);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(DiskProbeTest, DoesNotJudgeWhatIsReadOnlyByNature) {
  config_.add_path("/snap");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_EQ(Value(seen, "free_percent"), 0);
}

TEST_F(DiskProbeTest, LooksAtTheFileSystemBelowAPath) {
  config_.add_path("/var/lib/db");
  kernel_->rooms.emplace("/var/lib/db", Room(10));
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "/var/lib/db has 1 % (10 MiB) free, expected 5 %");
  EXPECT_EQ(Value(seen, "total_bytes"), 1000.0 * kMiB);
  EXPECT_THAT(seen.attributes, ::testing::Contains(Pair("mount", "/var")));
  kernel_->rooms["/var/lib/db"]->mount_id = 3;  // By a link, say.
  EXPECT_THAT(Look().attributes, ::testing::Contains(Pair("mount", "/nfs")));
}

TEST_F(DiskProbeTest, NamesWhatHangsAndLooksAtTheOthers) {
  kernel_->hanging = "/nfs";
  for (const char* path : {"/nfs", "/var"}) config_.add_path(path);
  const auto probe = Make();
  Observation seen = Look(*probe, absl::Milliseconds(20));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_THAT(seen.error, StartsWith("statvfs of /nfs: hangs since 0."));
  EXPECT_EQ(Value(seen, "free_percent"), 30);
  seen = Look(*probe);  // With 20 s of time: it does not wait for them.
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_THAT(seen.error, StartsWith("statvfs of /nfs: the call before hangs since"));
}

TEST_F(DiskProbeTest, ADeadFileSystemFailsAndAMissingPathIsRejected) {
  config_.add_path("/var");
  kernel_->rooms["/var"] = absl::UnavailableError("/var: Input/output error");
  Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "/var: Input/output error");
  kernel_->rooms.erase("/var");
  seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "/var: No such file or directory");
  EXPECT_TRUE(seen.values.empty());
}

TEST_F(DiskProbeTest, OfThoseThatNobodyNamedSomeMayBeGone) {
  kernel_->rooms.erase("/var");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  kernel_->rooms.insert_or_assign("/", absl::PermissionDeniedError("/: Permission denied"));
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
}

TEST_F(DiskProbeTest, AFileSystemWithoutASizeIsRejectedAndNotTheLeast) {
  for (const char* path : {"/proc", "/var"}) config_.add_path(path);
  kernel_->rooms.emplace("/proc", FileSystemRoom());
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "/proc: the file system there has no size");
  EXPECT_EQ(Value(seen, "free_percent"), 30);
}

TEST_F(DiskProbeTest, WithoutATableOrAFileSystemItIsRejected) {
  SetTable("2 1 0:5 / /proc rw - proc proc rw\n");
  EXPECT_THAT(Look().error, HasSubstr("no file system of a local block device"));
  std::filesystem::remove_all(root_);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_THAT(seen.error, HasSubstr("mountinfo: No such file"));
}

TEST_F(DiskProbeTest, IsSilentWhenItEndsDuringALook) {
  kernel_->hanging = "/";
  auto probe = Make();
  probe->Start(loop_.Now() + absl::Milliseconds(10), [](Observation) { ADD_FAILURE(); });
  probe.reset();
  loop_.CallAfter(absl::Milliseconds(30), [this] { loop_.Stop(); });
  loop_.Run();
}

TEST_F(DiskProbeTest, ChecksItsFields) {
  config_.add_path("/");
  config_.add_path("var");
  EXPECT_EQ(CheckDiskProbe(config_).message(), "disk.path[1]: 'var' is no full path");
  config_.clear_path();
  for (int i = 0; i < 64; ++i) config_.add_path("/");
  EXPECT_TRUE(CheckDiskProbe(config_).ok());
  config_.add_path("/");
  EXPECT_EQ(CheckDiskProbe(config_).message(), "disk.path: 65 are more than 64");
  config_.clear_path();
  config_.set_min_free_percent(100);
  EXPECT_TRUE(CheckDiskProbe(config_).ok());
  config_.set_min_free_percent(100.5);
  EXPECT_EQ(CheckDiskProbe(config_).message(), "disk.min_free_percent: 100.5 is not in [0, 100]");
  config_.set_min_free_percent(5);
  config_.set_min_free_inodes_percent(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(CheckDiskProbe(config_).code(), absl::StatusCode::kInvalidArgument);
}

TEST(AskKernelForRoomTest, AsksTheKernel) {
  const auto room = AskKernelForRoom(::testing::TempDir());
  ASSERT_TRUE(room.ok()) << room.status();
  EXPECT_GT(room->total_bytes, 0);
  EXPECT_GE(room->total_bytes, room->used_bytes);
  EXPECT_EQ(AskKernelForRoom("/no/such/path").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace salve
