// The files of a configuration folder.
#ifndef SALVE_CONFIG_SOURCE_H_
#define SALVE_CONFIG_SOURCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "config/definition.h"

namespace salve {

// Reads DIR/salve.textproto, if it is there, and DIR/conf.d/*.textproto in the order of their
// names; hidden files, editors' leftovers and other extensions are passed over.
// Errors, each naming the file: kNotFound: no DIR; kPermissionDenied; kInvalidArgument: what
//   is no file; kResourceExhausted: a file of more than 4 MiB, more than 10,000 files or 64 MiB of
//   them.
absl::StatusOr<ConfigurationSource> ReadConfigurationSource(const std::string& dir);

// DIR/throttle.xml; "" when it is not there.
std::string ThrottlePolicyFileIn(const std::string& dir);

}  // namespace salve

#endif  // SALVE_CONFIG_SOURCE_H_
