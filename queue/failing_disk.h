// FailingDisk: a disk on which one write, sync or truncation of SQLite's fails, and all that
// follow, until it is well again. For tests; one at a time, one thread.
#ifndef SALVE_QUEUE_FAILING_DISK_H_
#define SALVE_QUEUE_FAILING_DISK_H_

#include <sqlite3.h>

#include <cstdint>

namespace salve {

class FailingDisk {
 public:
  // How it fails: SQLITE_FULL (ENOSPC; syncs and truncations succeed) or SQLITE_IOERR (EIO).
  FailingDisk();
  ~FailingDisk();
  FailingDisk(const FailingDisk&) = delete;
  FailingDisk& operator=(const FailingDisk&) = delete;

  // The `steps`-th call from now on (0: the next) fails, and `count` in all.
  void FailAfter(int64_t steps, int code, int64_t count = INT64_MAX);
  void Heal() { code_ = SQLITE_OK; }
  bool has_failed() const { return has_failed_; }

 private:
  struct File;
  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out);
  static const sqlite3_io_methods& Methods();
  // The code of a call of this kind, counted.
  int Step(int io_error, bool needs_room);

  sqlite3_vfs* const real_;
  sqlite3_vfs vfs_;
  int code_ = SQLITE_OK;
  int64_t steps_left_ = 0;
  int64_t failures_left_ = 0;
  bool has_failed_ = false;
};

}  // namespace salve

#endif  // SALVE_QUEUE_FAILING_DISK_H_
