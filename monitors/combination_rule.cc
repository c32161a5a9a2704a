#include "monitors/combination_rule.h"

namespace salve {
namespace {

class CombinationRule final : public Rule {
 public:
  void Observe(Instant, const Observation& observation) override {
    holds_ = observation.outcome != Outcome::kSucceeded;
  }
  bool Holds() const override { return holds_; }
  size_t BadLooks() const override { return holds_ ? 1 : 0; }
  void Forget() override { holds_ = false; }
  std::string Evidence() const override { return holds_ ? "the inputs alert" : "they do not"; }

 private:
  bool holds_ = false;
};

}  // namespace

std::unique_ptr<Rule> NewCombinationRule() { return std::make_unique<CombinationRule>(); }

}  // namespace salve
