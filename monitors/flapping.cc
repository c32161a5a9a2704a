#include "monitors/flapping.h"

#include <deque>
#include <optional>

#include "absl/strings/str_cat.h"
#include "monitors/field_check.h"

namespace salve {
namespace {

constexpr uint32_t kChangesDefault = 6;

class FlappingRule final : public Rule {
 public:
  FlappingRule(size_t threshold, absl::Duration window) : threshold_(threshold), window_(window) {}

  void Observe(Instant now, const Observation& observation) override {
    while (!changes_.empty() && now - changes_.front().at >= window_) changes_.pop_front();
    const bool good = observation.outcome == Outcome::kSucceeded;
    if (was_good_.has_value() && *was_good_ != good) changes_.push_back({now, bad_looks_});
    if (changes_.size() > threshold_) changes_.pop_front();  // More say nothing more.
    if (!good) ++bad_looks_;
    was_good_ = good;
  }
  bool Holds() const override { return changes_.size() >= threshold_; }
  size_t BadLooks() const override {
    return changes_.empty() ? 0 : bad_looks_ - changes_.front().bad_looks_before;
  }
  void Forget() override {
    changes_.clear();
    was_good_.reset();
  }
  std::string Evidence() const override {
    return absl::StrCat(changes_.size(), changes_.size() == 1 ? " change" : " changes",
                        " between good and bad within ", absl::FormatDuration(window_),
                        " (threshold ", threshold_, ")");
  }

 private:
  struct Change {
    Instant at;
    size_t bad_looks_before;
  };

  const size_t threshold_;
  const absl::Duration window_;
  std::deque<Change> changes_;  // The newest, at most `threshold_`.
  std::optional<bool> was_good_;
  size_t bad_looks_ = 0;
};

}  // namespace

absl::Status CheckFlapping(const config::Flapping& config) {
  if (config.changes() == 1 || config.changes() > 10'000) {
    return absl::InvalidArgumentError(
        absl::StrCat("flapping.changes: ", config.changes(), " is not in [2, 10000]"));
  }
  return ParseWindow("flapping.window", config.window()).status();
}

std::unique_ptr<Rule> NewFlapping(const config::Flapping& config) {
  return std::make_unique<FlappingRule>(config.changes() == 0 ? kChangesDefault : config.changes(),
                                        *ParseWindow("flapping.window", config.window()));
}

}  // namespace salve
