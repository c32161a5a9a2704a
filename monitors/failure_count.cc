#include "monitors/failure_count.h"

#include <deque>

#include "absl/strings/str_cat.h"
#include "monitors/field_check.h"

namespace salve {
namespace {

class FailureCountRule final : public Rule {
 public:
  FailureCountRule(size_t threshold, absl::Duration window)
      : threshold_(threshold), window_(window) {}

  void Observe(Instant now, const Observation& observation) override {
    while (!failures_.empty() && now - failures_.front() >= window_) failures_.pop_front();
    if (observation.outcome == Outcome::kSucceeded) return;
    failures_.push_back(now);
    if (failures_.size() > threshold_) failures_.pop_front();  // More say nothing more.
  }
  bool Holds() const override { return failures_.size() >= threshold_; }
  size_t BadLooks() const override { return failures_.size(); }
  void Forget() override { failures_.clear(); }
  std::string Evidence() const override {
    return absl::StrCat(failures_.size(), failures_.size() == 1 ? " failure" : " failures",
                        " within ", absl::FormatDuration(window_), " (threshold ", threshold_, ")");
  }

 private:
  const size_t threshold_;
  const absl::Duration window_;
  std::deque<Instant> failures_;  // The newest, at most `threshold_`.
};

}  // namespace

absl::Status CheckFailureCount(const config::FailureCount& config) {
  if (absl::Status s = CheckCount("failure_count.threshold", config.threshold(), 10'000); !s.ok()) {
    return s;
  }
  return ParseWindow("failure_count.window", config.window()).status();
}

std::unique_ptr<Rule> NewFailureCount(const config::FailureCount& config) {
  return std::make_unique<FailureCountRule>(config.threshold() == 0 ? 3 : config.threshold(),
                                            *ParseWindow("failure_count.window", config.window()));
}

}  // namespace salve
