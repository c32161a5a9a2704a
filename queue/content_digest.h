// The content of a database file as a number, to compare it with a copy's.
#ifndef SALVE_QUEUE_CONTENT_DIGEST_H_
#define SALVE_QUEUE_CONTENT_DIGEST_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "channels/sqlite.h"

namespace salve {

// Of all rows of a table, in the order of its key. Means something within one process only.
// Errors of both: those of SqliteConnection.
absl::StatusOr<uint64_t> TableDigest(SqliteConnection& database, const std::string& table);
// Of the schema, the numbers of the header, and all tables but one.
absl::StatusOr<uint64_t> RestDigest(SqliteConnection& database, const std::string& but_table);

}  // namespace salve

#endif  // SALVE_QUEUE_CONTENT_DIGEST_H_
