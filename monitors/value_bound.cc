#include "monitors/value_bound.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "monitors/field_check.h"

namespace salve {
namespace {

class ValueBoundRule final : public Rule {
 public:
  ValueBoundRule(const config::ValueBound& config, BoundSide side)
      : name_(config.value_name()),
        side_(side),
        threshold_(config.threshold()),
        clear_(config.has_clear() ? config.clear() : config.threshold()),
        samples_(config.samples() == 0 ? 1 : config.samples()) {}

  Sign Judge(const Observation& observation) const override {
    const ProbeValue* value = Find(observation);
    if (value == nullptr || std::isnan(value->number)) return Sign::kNothing;
    if (Beyond(value->number, threshold_)) return Sign::kBad;
    return Beyond(value->number, clear_) ? Sign::kNothing : Sign::kGood;
  }
  void Observe(Instant, const Observation& observation) override {
    const ProbeValue* value = Find(observation);
    if (value == nullptr || std::isnan(value->number)) return;
    last_ = value->number;
    if (Beyond(last_, threshold_)) {
      if (beyond_ < samples_) ++beyond_;
      if (beyond_ >= samples_) holds_ = true;
    } else {
      beyond_ = 0;
      if (!Beyond(last_, clear_)) holds_ = false;
    }
  }
  bool Holds() const override { return holds_; }
  size_t BadLooks() const override { return beyond_; }
  void Forget() override {
    beyond_ = 0;
    holds_ = false;
  }
  std::string Evidence() const override {
    return absl::StrFormat(
        "%s is %g; %s %g in %d looks in a row (needs %d)", name_.empty() ? "value" : name_, last_,
        side_ == BoundSide::kAbove ? "above" : "below", threshold_, beyond_, samples_);
  }

 private:
  const ProbeValue* Find(const Observation& observation) const {
    for (const ProbeValue& value : observation.values) {
      if (name_.empty() || value.name == name_) return &value;
    }
    return nullptr;
  }
  bool Beyond(double value, double bound) const {
    return side_ == BoundSide::kAbove ? value > bound : value < bound;
  }

  const std::string name_;
  const BoundSide side_;
  const double threshold_;
  const double clear_;
  const uint32_t samples_;
  uint32_t beyond_ = 0;
  bool holds_ = false;
  double last_ = 0;
};

}  // namespace

absl::Status CheckValueBound(const config::ValueBound& config, BoundSide side) {
  const absl::string_view field = side == BoundSide::kAbove ? "value_above" : "value_below";
  if (!std::isfinite(config.threshold())) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".threshold: must be a number"));
  }
  if (config.has_clear()) {
    if (!std::isfinite(config.clear())) {
      return absl::InvalidArgumentError(absl::StrCat(field, ".clear: must be a number"));
    }
    const bool good_side = side == BoundSide::kAbove ? config.clear() <= config.threshold()
                                                     : config.clear() >= config.threshold();
    if (!good_side) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s.clear: %g must not be %s the threshold %g", field, config.clear(),
                          side == BoundSide::kAbove ? "above" : "below", config.threshold()));
    }
  }
  return CheckCount(absl::StrCat(field, ".samples"), config.samples(), 1000);
}

std::unique_ptr<Rule> NewValueBound(const config::ValueBound& config, BoundSide side) {
  return std::make_unique<ValueBoundRule>(config, side);
}

}  // namespace salve
