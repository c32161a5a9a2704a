#include "monitors/consecutive_failures.h"

#include "absl/strings/str_cat.h"
#include "monitors/field_check.h"

namespace salve {
namespace {

class ConsecutiveFailuresRule final : public Rule {
 public:
  explicit ConsecutiveFailuresRule(uint32_t threshold) : threshold_(threshold) {}

  void Observe(Instant, const Observation& observation) override {
    if (observation.outcome == Outcome::kSucceeded) {
      failures_ = 0;
    } else if (failures_ < UINT32_MAX) {
      ++failures_;
    }
  }
  bool Holds() const override { return failures_ >= threshold_; }
  size_t BadLooks() const override { return failures_; }
  void Forget() override { failures_ = 0; }
  std::string Evidence() const override {
    return absl::StrCat(failures_, failures_ == 1 ? " failure" : " failures",
                        " in a row (threshold ", threshold_, ")");
  }

 private:
  const uint32_t threshold_;
  uint32_t failures_ = 0;
};

}  // namespace

absl::Status CheckConsecutiveFailures(const config::ConsecutiveFailures& config) {
  return CheckCount("consecutive_failures.threshold", config.threshold(), 1000);
}

std::unique_ptr<Rule> NewConsecutiveFailures(const config::ConsecutiveFailures& config) {
  return std::make_unique<ConsecutiveFailuresRule>(config.threshold() == 0 ? 3
                                                                           : config.threshold());
}

}  // namespace salve
