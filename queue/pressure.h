// Pressure: whether the queue still has room for messages of other servers. Pure.
#ifndef SALVE_QUEUE_PRESSURE_H_
#define SALVE_QUEUE_PRESSURE_H_

#include <algorithm>
#include <cstdint>

#include "queue/message_store.h"
#include "queue/routing.h"

namespace salve {

enum class Pressure {
  kNone,
  kForeignWait,     // Beyond 80 % of a bound, or the disk is short.
  kForeignRefused,  // At the bound, or the disk is almost full: own ones live on the reserve.
};

struct PressureInput {
  int64_t messages = 0;  // In all queues but dead.
  int64_t bytes = 0;
  MessageStore::DiskRoom disk;
};

// The disk is short below 64 MiB, or a tenth of a small one; almost full below a quarter of that.
inline int64_t DiskRoomWanted(const MessageStore::DiskRoom& disk) {
  return std::min<int64_t>(64 << 20, disk.total / 10);
}

// `begins_percent`: of the bounds; lower for a pressure that lasts, so that it does not flutter.
inline Pressure PressureOf(const PressureInput& now, const QueueRules& rules,
                           int64_t begins_percent = 80) {
  const auto beyond = [&](int64_t percent) {
    // In parts of a hundred, as bytes_max * 100 may be beyond an int64.
    return now.messages * 100 > rules.messages_max * percent ||
           now.bytes / percent > rules.bytes_max / 100;
  };
  const int64_t wanted = DiskRoomWanted(now.disk);
  if (beyond(100) || now.disk.free < wanted / 4) return Pressure::kForeignRefused;
  const bool lasts = begins_percent < 80;
  if (beyond(begins_percent) || now.disk.free < (lasts ? wanted + wanted / 8 : wanted)) {
    return Pressure::kForeignWait;
  }
  return Pressure::kNone;
}

}  // namespace salve

#endif  // SALVE_QUEUE_PRESSURE_H_
