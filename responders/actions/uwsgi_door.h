// The two doors by which a running uWSGI is told to reload. No call blocks, none follows a symbolic
// link or opens anything but what is meant.
#ifndef SALVE_RESPONDERS_ACTIONS_UWSGI_DOOR_H_
#define SALVE_RESPONDERS_ACTIONS_UWSGI_DOOR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace salve {

// Writes into a FIFO that somebody reads.
// Errors: kNotFound: it is not there; kFailedPrecondition: it is no FIFO; kUnavailable: nobody
// reads it, or it is full; kPermissionDenied.
absl::Status WriteToFifo(const std::string& path, absl::string_view text);

// Sets the time of a regular file to now. Errors: kNotFound, kFailedPrecondition: it is no regular
// file; kPermissionDenied.
absl::Status TouchFile(const std::string& path);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_UWSGI_DOOR_H_
