// SalvectlTest: runs command lines against a FakeAgent on a simulated clock, whose wall time is
// 2026-11-21 10:00:00 UTC.
#ifndef SALVE_CLI_SALVECTL_FIXTURE_H_
#define SALVE_CLI_SALVECTL_FIXTURE_H_

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/fake_agent.h"
#include "cli/salvectl.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace salve {

// A message from its text format. Times are easiest as seconds: 1795255200 is the fixture's now.
template <typename Message>
Message FromText(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

class SalvectlTest : public testing::Test {
 protected:
  struct Ended {
    int status;
    std::string out;
    std::string err;
  };

  SalvectlTest() {
    world_.user = "ada";
    world_.version = "1.2.3";
    world_.run_dir = agent_.dir();
    world_.wait = [this](absl::Duration duration) { clock_.Advance(duration); };
  }

  Ended Run(const std::vector<std::string>& args) {
    std::ostringstream out;
    std::ostringstream err;
    const int status = RunSalvectl(args, out, err, world_);
    return {status, out.str(), err.str()};
  }

  SimulatedClock clock_{absl::FromUnixSeconds(1795255200)};
  std::istringstream in_;
  FakeAgent agent_;
  Surroundings world_{clock_, in_};
};

}  // namespace salve

#endif  // SALVE_CLI_SALVECTL_FIXTURE_H_
