// How long and how much of each channel the store keeps.
#ifndef SALVE_CHANNELS_RETENTION_H_
#define SALVE_CHANNELS_RETENTION_H_

#include <cstdint>
#include <map>

#include "absl/time/time.h"
#include "api/events.pb.h"

namespace salve {

struct ChannelRetention {
  absl::Duration age;  // Older events go.
  uint64_t bytes;      // Beyond it the oldest go. Counts the stored events, not the file.
  friend bool operator==(const ChannelRetention&, const ChannelRetention&) = default;
};

using RetentionTable = std::map<v1::Channel, ChannelRetention>;  // One entry each channel.

// 7 days and 64 MiB of ProbeResult, 90 days and 256 MiB of each other channel.
RetentionTable DefaultRetention();

// Whether the newest event of each item of this channel stays whatever its age: definitions
// and ThrottlingConfig. They count against the channel's bytes, and go by them only when
// nothing else of the channel is left.
bool KeepsNewestOfItem(v1::Channel channel);

}  // namespace salve

#endif  // SALVE_CHANNELS_RETENTION_H_
