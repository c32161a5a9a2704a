// What a combination is made of: the monitors it names, and the checks that need all sets.
#ifndef SALVE_CONFIG_COMBINATION_H_
#define SALVE_CONFIG_COMBINATION_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "config/config.pb.h"
#include "config/definition.h"
#include "config/errors.h"
#include "config/text_file.h"

namespace salve {

// Of an all_of or any_of monitor what it combines; null of any other.
const config::Combination* CombinationOf(const config::Monitor& monitor);

// The full names of the monitors that it combines: NAME is of its own set, and in a for_each of
// the same target; SET/NAME is any. Empty when it is no combination.
std::vector<std::string> InputsOf(const MonitorDefinition& monitor);

// Checks the combinations of a server, when all its sets have been read.
class CombinationChecker {
 public:
  // Notes a combination; `written` is the item of a for_each that it is an instance of.
  void Note(const MonitorDefinition& monitor, const void* written, const Place& place);

  // Of that set the monitors, as written, have targets that come and go: a combination may name one
  // that is not there now.
  void NoteChangingTargets(const std::string& health_set, const std::vector<std::string>& monitors);

  // Adds a fault of each that names a monitor that is not there, and of one in each circle, where
  // a combination is made of itself, over whatever others. Of a written item one instance is told.
  void Check(const std::vector<HealthSetDefinition>& sets, ErrorList& errors) const;

 private:
  struct Noted {
    std::string name;
    std::string field;                // "all_of"
    std::vector<std::string> inputs;  // Full names.
    const void* written;
    Place place;
  };
  // Those that are in a circle, or over one.
  std::vector<bool> Unresolved(const absl::flat_hash_map<std::string, size_t>& index) const;
  void AddFault(const Noted& noted, const std::string& path, const std::string& why,
                ErrorList& errors) const;

  bool MayCome(const std::string& input) const;

  std::vector<Noted> noted_;
  absl::flat_hash_set<std::string> changing_;  // "SET/MONITOR/"
};

}  // namespace salve

#endif  // SALVE_CONFIG_COMBINATION_H_
