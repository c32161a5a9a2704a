// ProcessActionTest: an action on processes, on a simulated clock. Its subclass makes `action_`.
#ifndef SALVE_RESPONDERS_ACTIONS_PROCESS_ACTION_FIXTURE_H_
#define SALVE_RESPONDERS_ACTIONS_PROCESS_ACTION_FIXTURE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"
#include "gtest/gtest.h"
#include "responders/action.h"
#include "responders/actions/processes_fixture.h"

namespace salve {

class ProcessActionTest : public ::testing::Test {
 protected:
  void Run(absl::Duration timeout = absl::Minutes(2)) {
    result_.reset();
    action_->Run(
        loop_.Now() + timeout,
        [this](std::string effect, absl::AnyInvocable<void(absl::Status)> then) {
          effect_ = std::move(effect);
          if (before_record_) before_record_();
          then(recorded_);
        },
        [this](ActionResult result) {
          EXPECT_FALSE(result_.has_value()) << "done twice";
          result_ = std::move(result);
        });
    loop_.RunPending();
  }
  const std::vector<FakeHost::Signalled>& Signals() { return processes_.host.signalled(); }

  SimulatedLoop loop_;
  FakeProcesses processes_{loop_};
  FakeServiceManager services_{loop_};
  std::unique_ptr<Action> action_;
  std::string effect_;                        // What Run recorded before it began …
  absl::Status recorded_ = absl::OkStatus();  // … and what became of the record.
  std::function<void()> before_record_;
  std::optional<ActionResult> result_;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_PROCESS_ACTION_FIXTURE_H_
