// RestartServiceTest: a RestartService of nginx.service with a fake systemd, for its tests.
#ifndef SALVE_RESPONDERS_ACTIONS_RESTART_SERVICE_FIXTURE_H_
#define SALVE_RESPONDERS_ACTIONS_RESTART_SERVICE_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fake_host.h"
#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"
#include "gtest/gtest.h"
#include "responders/actions/restart_service.h"

namespace salve {

inline constexpr char kUnit[] = "nginx.service";
inline constexpr absl::Duration kTick = absl::Nanoseconds(1);

class RestartServiceTest : public ::testing::Test {
 protected:
  RestartServiceTest() { services_.SetUnit(kUnit, services_.Unit(kUnit)); }

  void Make(bool heal_clean_stop = false) {
    config::RestartService config;
    config.set_service("nginx");
    config.set_heal_clean_stop(heal_clean_stop);
    action_ = NewRestartService(config, {loop_, host_, services_});
    action_->Watch([this] { ++changes_; });
    loop_.RunPending();
  }
  // Changes the unit's state, and lets it be seen.
  void Set(const std::string& active, const std::string& sub, const std::string& result,
           uint32_t job = 0) {
    UnitState state = services_.Unit(kUnit);
    state.active_state = active;
    state.sub_state = sub;
    state.result = result;
    state.job_id = job;
    Set(state);
  }
  void Set(const UnitState& state) {
    services_.SetUnit(kUnit, state);
    loop_.RunPending();
  }
  void SetRestart(const std::string& restart) {
    UnitState state = services_.Unit(kUnit);
    state.restart = restart;
    Set(state);
  }
  void Run() {
    result_.reset();
    action_->Run(
        loop_.Now() + absl::Minutes(2),
        [this](std::string effect, absl::AnyInvocable<void(absl::Status)> then) {
          effects_.push_back(effect);
          then(absl::OkStatus());
        },
        [this](ActionResult result) {
          EXPECT_FALSE(result_.has_value()) << "done twice";
          result_ = std::move(result);
        });
    loop_.RunPending();
  }
  // Ends the newest job, and lets its end be seen.
  void End(const std::string& result, const std::string& unit_result = "success") {
    services_.EndJob(services_.restarts().back().job_id, result, unit_result);
    loop_.RunPending();
  }

  SimulatedLoop loop_;
  FakeHost host_{loop_};
  FakeServiceManager services_{loop_};
  int changes_ = 0;
  std::unique_ptr<Action> action_;
  std::vector<std::string> effects_;
  std::optional<ActionResult> result_;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_RESTART_SERVICE_FIXTURE_H_
