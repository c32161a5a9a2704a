// CHECK: a bug in our own code ends the process with file, line and a sentence on standard
// error. A bad world is never a CHECK; it is a Status.
#ifndef SALVE_BASE_CHECK_H_
#define SALVE_BASE_CHECK_H_

namespace salve {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace salve

#define CHECK(condition)                                    \
  do {                                                      \
    if (!(condition)) [[unlikely]]                          \
      ::salve::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#endif  // SALVE_BASE_CHECK_H_
