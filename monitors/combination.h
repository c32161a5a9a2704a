// CombinationGraph: which monitors are combined by which, and what the inputs of a combination say
// together. It asks for their states and remembers of each how far it was counted, so that a
// combination is fresh only by a bad look that it was not shown before. One thread.
#ifndef SALVE_MONITORS_COMBINATION_H_
#define SALVE_MONITORS_COMBINATION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "config/definition.h"
#include "monitors/monitor.h"

namespace salve {

class CombinationGraph {
 public:
  // An input, as it is now. One that is not there is as good as a disabled one.
  struct Input {
    MonitorStatus status{.state = config::DISABLED};
    uint64_t record_id = 0;  // Of its last transition; 0: not known.
  };
  using Ask = std::function<Input(const std::string& full_name)>;

  // Takes up the combinations of a configuration in place of those that were; what was counted
  // stays. Requires: the configuration was checked, so that there are no circles.
  void Take(const std::vector<HealthSetDefinition>& sets);

  // All, each after those that it combines.
  const std::vector<std::string>& all() const { return order_; }
  // Those over this monitor, directly or not, in that order.
  std::vector<std::string> Over(const std::string& monitor) const;
  // What this one combines, full names; empty of any other monitor.
  const std::vector<std::string>& InputsOf(const std::string& monitor) const;

  // A look of this combination at its inputs. An input that is UNAVAILABLE, UNINITIALIZED, DISABLED
  // or REPAIRING says nothing: could not look is not sick.
  InputsLook Look(const std::string& combination, const Ask& ask);

 private:
  struct Node {
    bool all = false;  // all_of; else any_of.
    std::vector<std::string> inputs;
    std::map<std::string, uint64_t> counted;  // Bad looks, by input.
  };

  std::map<std::string, Node> nodes_;                     // By full name.
  std::map<std::string, std::vector<std::string>> over_;  // Direct, by input.
  std::vector<std::string> order_;
};

}  // namespace salve

#endif  // SALVE_MONITORS_COMBINATION_H_
