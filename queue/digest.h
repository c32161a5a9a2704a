// Digests: several letters to one place as one, when more come than a person can read.
#ifndef SALVE_QUEUE_DIGEST_H_
#define SALVE_QUEUE_DIGEST_H_

#include <cstddef>
#include <string>
#include <vector>

#include "queue/message.pb.h"

namespace salve {

inline constexpr size_t kDigestMessagesMax = 300;
inline constexpr size_t kDigestBytesMax = 64 * 1024;  // Of its lines.

// One line of a digest, with its end; at most 400 bytes and the end.
std::string DigestLine(const queue::Message& message);

// The same for the same messages: a receiver drops the second one by it. "digest-" and 16 hex
// digits.
std::string DigestId(const std::vector<std::string>& mids);

}  // namespace salve

#endif  // SALVE_QUEUE_DIGEST_H_
