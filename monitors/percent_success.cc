#include "monitors/percent_success.h"

#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "monitors/field_check.h"

namespace salve {
namespace {

// Looks that are kept at most; of a window with more, the newest count.
constexpr size_t kLooksMax = 100'000;

class PercentSuccessRule final : public Rule {
 public:
  PercentSuccessRule(double minimum, absl::Duration window, size_t min_samples)
      : minimum_(minimum), window_(window), min_samples_(min_samples) {}

  void Observe(Instant now, const Observation& observation) override {
    while (!looks_.empty() &&
           (now - looks_.front().first >= window_ || looks_.size() >= kLooksMax)) {
      successes_ -= looks_.front().second;
      looks_.pop_front();
    }
    const bool success = observation.outcome == Outcome::kSucceeded;
    looks_.emplace_back(now, success);
    successes_ += success;
  }
  bool Holds() const override { return looks_.size() >= min_samples_ && Percent() < minimum_; }
  size_t BadLooks() const override { return looks_.size() - successes_; }
  void Forget() override {
    looks_.clear();
    successes_ = 0;
  }
  std::string Evidence() const override {
    return absl::StrFormat("%.1f %% of %d looks within %s succeeded (minimum %g %%)", Percent(),
                           looks_.size(), absl::FormatDuration(window_), minimum_);
  }

 private:
  double Percent() const {
    return looks_.empty()
               ? 100
               : 100.0 * static_cast<double>(successes_) / static_cast<double>(looks_.size());
  }

  const double minimum_;
  const absl::Duration window_;
  const size_t min_samples_;
  std::deque<std::pair<Instant, bool>> looks_;
  size_t successes_ = 0;
};

}  // namespace

absl::Status CheckPercentSuccess(const config::PercentSuccess& config) {
  if (!(config.minimum() >= 0 && config.minimum() <= 100)) {
    return absl::InvalidArgumentError(absl::StrCat("percent_success.minimum: ", config.minimum(),
                                                   " is not above 0 and at most 100"));
  }
  if (absl::Status s = CheckCount("percent_success.min_samples", config.min_samples(), 10'000);
      !s.ok()) {
    return s;
  }
  return ParseWindow("percent_success.window", config.window()).status();
}

std::unique_ptr<Rule> NewPercentSuccess(const config::PercentSuccess& config) {
  return std::make_unique<PercentSuccessRule>(
      config.minimum() == 0 ? 90 : config.minimum(),
      *ParseWindow("percent_success.window", config.window()),
      config.min_samples() == 0 ? 5 : config.min_samples());
}

}  // namespace salve
