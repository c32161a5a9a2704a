// What a server's key below …/acceptors/ holds in etcd (docs/GROUP.md). Pure.
#ifndef SALVE_QUEUE_ACCEPTOR_RECORD_H_
#define SALVE_QUEUE_ACCEPTOR_RECORD_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "queue/acceptors.h"

namespace salve {

inline constexpr size_t kAcceptorRecordBytesMax = 4096;

// {"address":"HOST:PORT"}. Requires: `address` is one for ParseHostPort.
std::string AcceptorRecord(absl::string_view address);

// Fields that are not known are passed over: a newer agent may say more. Errors: kDataLoss: no such
// JSON, or too long; kInvalidArgument: no valid name of a server, or no address. Both name the key.
absl::StatusOr<Acceptor> ParseAcceptorRecord(absl::string_view key, absl::string_view value);

}  // namespace salve

#endif  // SALVE_QUEUE_ACCEPTOR_RECORD_H_
