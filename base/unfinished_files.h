// What WriteFileAtomically (base/host.h) leaves when it is killed in the middle: a small file
// beside the one that it writes.
#ifndef SALVE_BASE_UNFINISHED_FILES_H_
#define SALVE_BASE_UNFINISHED_FILES_H_

#include <string>

namespace salve {

// Removes those of `path`, which are named PATH.new-XXXXXX. Requires: nobody is writing `path` now.
void RemoveUnfinished(const std::string& path);

}  // namespace salve

#endif  // SALVE_BASE_UNFINISHED_FILES_H_
