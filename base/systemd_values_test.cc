#include "base/systemd_values.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

// Writes an a{sv} and reads it back, without anybody at the other end.
class MergePropertiesTest : public testing::Test {
 protected:
  MergePropertiesTest() {
    int fds[2];
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
    sd_bus_new(&bus_);
    sd_bus_set_fd(bus_, fds[0], fds[0]);
    sd_bus_start(bus_);
    other_end_ = fds[1];
    sd_bus_message_new_signal(bus_, &message_, "/p", "i.i", "m");
  }
  ~MergePropertiesTest() override {
    sd_bus_message_unref(message_);
    sd_bus_close(bus_);
    sd_bus_unref(bus_);
    close(other_end_);
  }
  void Begin() { sd_bus_message_open_container(message_, 'a', "{sv}"); }
  template <typename... Args>
  void Append(const char* name, const char* type, Args... args) {
    ASSERT_GE(sd_bus_message_append(message_, "{sv}", name, type, args...), 0);
  }
  absl::Status Merge(UnitState& unit) {
    sd_bus_message_close_container(message_);
    EXPECT_GE(sd_bus_message_seal(message_, 1, 0), 0);
    EXPECT_GE(sd_bus_message_rewind(message_, 1), 0);
    return MergeProperties(message_, unit);
  }

  sd_bus* bus_ = nullptr;
  sd_bus_message* message_ = nullptr;
  int other_end_ = -1;
};

TEST_F(MergePropertiesTest, TakesWhatItKnowsAndLeavesTheRest) {
  Begin();
  Append("ActiveState", "s", "failed");
  Append("CPUWeight", "t", uint64_t{3});
  Append("Job", "(uo)", 12, "/org/freedesktop/systemd1/job/12");
  Append("ExecStart", "a(sasb)", 1, "/bin/x", 2, "x", "-y", 0);
  Append("NRestarts", "u", 2);
  UnitState unit = {.id = "a.service", .active_state = "active", .result = "signal"};
  ASSERT_TRUE(Merge(unit).ok());
  const UnitState expected = {.id = "a.service",
                              .active_state = "failed",
                              .result = "signal",
                              .job_id = 12,
                              .n_restarts = 2};
  EXPECT_EQ(unit, expected);
}

TEST_F(MergePropertiesTest, TakesTheLargestTimeAsInfinite) {
  Begin();
  Append("TimeoutStartUSec", "t", uint64_t{90'000'000});
  Append("TimeoutStopUSec", "t", UINT64_MAX);
  UnitState unit;
  ASSERT_TRUE(Merge(unit).ok());
  EXPECT_EQ(unit.timeout_start, absl::Seconds(90));
  EXPECT_EQ(unit.timeout_stop, absl::InfiniteDuration());
}

TEST_F(MergePropertiesTest, WritesTheInvocationInHex) {
  Begin();
  Append("InvocationID", "ay", 3, 0x01, 0xab, 0xff);
  UnitState unit;
  ASSERT_TRUE(Merge(unit).ok());
  EXPECT_EQ(unit.invocation_id, "01abff");
}

TEST_F(MergePropertiesTest, TakesNothingOfWhatHasAnotherType) {
  Begin();
  Append("SubState", "s", "dead");
  Append("MainPID", "s", "77");
  UnitState unit;
  EXPECT_EQ(Merge(unit).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(unit, UnitState());
}

TEST_F(MergePropertiesTest, TakesNothingOfAnotherMessage) {
  sd_bus_message_append(message_, "s", "text");
  UnitState unit;
  EXPECT_EQ(Merge(unit).code(), absl::StatusCode::kUnavailable);
}

TEST(JobIdOfPathTest, IsTheLastNumber) {
  EXPECT_EQ(JobIdOfPath("/org/freedesktop/systemd1/job/4294967295"), 4294967295);
  EXPECT_EQ(JobIdOfPath("/org/freedesktop/systemd1/job/4294967296"), 0);
  EXPECT_EQ(JobIdOfPath("/org/freedesktop/systemd1/job/x"), 0);
  EXPECT_EQ(JobIdOfPath("12"), 0);
  EXPECT_EQ(JobIdOfPath(""), 0);
}

TEST(StatusFromBusErrorTest, MapsEachError) {
  const std::pair<const char*, absl::StatusCode> kCases[] = {
      {"org.freedesktop.systemd1.NoSuchUnit", absl::StatusCode::kNotFound},
      {"org.freedesktop.systemd1.NoSuchJob", absl::StatusCode::kNotFound},
      {"org.freedesktop.DBus.Error.InvalidArgs", absl::StatusCode::kNotFound},
      {"org.freedesktop.systemd1.UnitMasked", absl::StatusCode::kFailedPrecondition},
      {"org.freedesktop.systemd1.TransactionIsDestructive", absl::StatusCode::kFailedPrecondition},
      {"org.freedesktop.systemd1.ShuttingDown", absl::StatusCode::kFailedPrecondition},
      {"org.freedesktop.systemd1.AlreadySubscribed", absl::StatusCode::kAlreadyExists},
      {"org.freedesktop.systemd1.SomethingNew", absl::StatusCode::kUnavailable},
      {"org.freedesktop.DBus.Error.AccessDenied", absl::StatusCode::kPermissionDenied},
      {"org.freedesktop.DBus.Error.NoReply", absl::StatusCode::kUnavailable},
  };
  for (const auto& [name, code] : kCases) {
    const absl::Status status = StatusFromBusError(name, "text");
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.message(), absl::StrCat(name, ": text"));
  }
}

}  // namespace
}  // namespace salve
