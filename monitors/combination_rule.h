// The rule of all_of and any_of: holds as the last look at the inputs said. What they say together
// is for combination.h.
#ifndef SALVE_MONITORS_COMBINATION_RULE_H_
#define SALVE_MONITORS_COMBINATION_RULE_H_

#include <memory>

#include "monitors/rule.h"

namespace salve {

std::unique_ptr<Rule> NewCombinationRule();

}  // namespace salve

#endif  // SALVE_MONITORS_COMBINATION_RULE_H_
