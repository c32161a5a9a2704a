// Checks of the kinds, made by the stages that own them: what the loader hands each item to.
#ifndef SALVE_CONFIG_KIND_CHECKS_H_
#define SALVE_CONFIG_KIND_CHECKS_H_

#include <functional>

#include "absl/status/status.h"
#include "config/config.pb.h"

namespace salve {

// Each returns OK, or kInvalidArgument with the message "field.path: what is wrong"; the path is
// relative to the item (`tcp.port`, `http.expected_status[1]`), and the loader adds file, line and
// column of that field. An empty function allows everything.
struct KindChecks {
  std::function<absl::Status(const config::Probe&)> probe;
  std::function<absl::Status(const config::Monitor&)> monitor;
  std::function<absl::Status(const config::Responder&)> responder;
};

}  // namespace salve

#endif  // SALVE_CONFIG_KIND_CHECKS_H_
