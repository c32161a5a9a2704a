// What php-fpm tells of itself without being run: by the titles of its processes, and in its
// configuration. Pure.
#ifndef SALVE_RESPONDERS_ACTIONS_FPM_CONFIG_H_
#define SALVE_RESPONDERS_ACTIONS_FPM_CONFIG_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace salve {

// The title of a worker of that pool: "php-fpm: pool www".
std::string FpmWorkerTitle(absl::string_view pool);
// The configuration file in the title of a master, "php-fpm: master process (/etc/…)"; empty when
// there is none, or no full path.
std::string FpmConfigFile(absl::string_view master_title);

// The value of process_control_timeout in php-fpm.conf: how long a reload lets requests end. Zero,
// as php-fpm has it, when it is not there or no time. Files that it includes are not read.
absl::Duration FpmProcessControlTimeout(absl::string_view ini);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_FPM_CONFIG_H_
