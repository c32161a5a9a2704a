#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace salve {

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "<2>%s:%d: CHECK failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace salve
