// The version of this build, of the agent and of the command line alike.
#ifndef SALVE_BASE_VERSION_H_
#define SALVE_BASE_VERSION_H_

namespace salve {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace salve

#endif  // SALVE_BASE_VERSION_H_
