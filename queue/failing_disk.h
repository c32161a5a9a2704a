// FailingDisk: a disk on which one change of a file fails, and all that follow, until it is well
// again. It stands before the C library's calls, so that it meets whoever makes them: the store,
// SQLite, the tools, std::filesystem. For tests; one at a time.
#ifndef SALVE_QUEUE_FAILING_DISK_H_
#define SALVE_QUEUE_FAILING_DISK_H_

#include <cstdint>

namespace salve {

class FailingDisk {
 public:
  FailingDisk();
  ~FailingDisk();
  FailingDisk(const FailingDisk&) = delete;
  FailingDisk& operator=(const FailingDisk&) = delete;

  // The `steps`-th call from now on (0: the next) fails, and `count` in all. With ENOSPC only those
  // fail that need room: writes, new files and names. With EIO also syncs, truncations and
  // removals. Of a write that fails the sectors of a half are on the disk. Standard output and
  // error never fail.
  void FailAfter(int64_t steps, int error, int64_t count = INT64_MAX);
  void Heal();
  bool has_failed() const;
};

}  // namespace salve

#endif  // SALVE_QUEUE_FAILING_DISK_H_
