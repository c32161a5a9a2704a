// How long the link waits between its tries; the rest is in sd_bus_service_manager_test.
#include "base/systemd_link.h"

#include <vector>

#include "absl/time/time.h"
#include "base/simulated_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;

class Notes final : public SystemdLink::User {
 public:
  explicit Notes(SimulatedLoop& loop) : loop_(loop), start_(loop.Now()) {}
  void Up(BusLink&) override { ADD_FAILURE() << "there is no bus"; }
  void Down() override { failures_.push_back(loop_.Now() - start_); }
  const std::vector<absl::Duration>& failures() const { return failures_; }

 private:
  SimulatedLoop& loop_;
  const Instant start_;
  std::vector<absl::Duration> failures_;
};

TEST(SystemdLinkTest, WaitsTwiceAsLongAfterEachFailureUpToFiveSeconds) {
  SimulatedLoop loop;
  Notes notes(loop);
  SystemdLink link(loop, {{"unix:path=/no/such/bus", true}, {"unix:path=/nor/this", false}},
                   {&notes});
  EXPECT_FALSE(link.is_down());
  loop.RunFor(absl::Seconds(17));
  EXPECT_TRUE(link.is_down());
  EXPECT_EQ(link.bus(), nullptr);
  EXPECT_THAT(
      notes.failures(),
      ElementsAre(absl::ZeroDuration(), absl::Milliseconds(100), absl::Milliseconds(300),
                  absl::Milliseconds(700), absl::Milliseconds(1500), absl::Milliseconds(3100),
                  absl::Milliseconds(6300), absl::Milliseconds(11300), absl::Milliseconds(16300)));
}

}  // namespace
}  // namespace salve
