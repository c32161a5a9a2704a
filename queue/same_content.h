// Compares a database file with its copy: what is in it, not where.
#ifndef SALVE_QUEUE_SAME_CONTENT_H_
#define SALVE_QUEUE_SAME_CONTENT_H_

#include <string>

#include "absl/status/status.h"

namespace salve {

// OK: both have the same schema and numbers of the header, and each table and index the same
// records, byte by byte, in the same order. Both are clean, and nobody changes them meanwhile.
// Errors: kDataLoss: they differ, or one is damaged; kNotFound, kPermissionDenied, kUnavailable.
absl::Status SameContent(const std::string& file, const std::string& copy);

}  // namespace salve

#endif  // SALVE_QUEUE_SAME_CONTENT_H_
