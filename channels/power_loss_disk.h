// PowerLossDisk: a disk that loses power, for tests of what SQLite keeps on it. While it lives it
// stands before SQLite's own way to files (a VFS) and notes what was written and not yet synced.
// Of that any part may be left after a power loss: all, nothing, or single sectors, of each write
// by itself, so that a later write can be there without an earlier one. One at a time, one thread.
#ifndef SALVE_CHANNELS_POWER_LOSS_DISK_H_
#define SALVE_CHANNELS_POWER_LOSS_DISK_H_

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace salve {

class PowerLossDisk {
 public:
  PowerLossDisk();
  ~PowerLossDisk();
  PowerLossDisk(const PowerLossDisk&) = delete;
  PowerLossDisk& operator=(const PowerLossDisk&) = delete;

  // The power goes at the `steps`-th write, truncation, sync or deletion from now on (0: before
  // the first): `gone` is called, and what comes after it is not seen by Restore. SQLite is told
  // nothing: what it is answered from then on is for nobody.
  void LosePowerAfter(int64_t steps, std::function<void()> gone);
  bool is_off() const { return is_off_; }

  // Puts into `folder`, in place of what is there, what the disk may hold after the loss. Files
  // that SQLite never opened stay. Then the power is on again. Requires: nothing is open.
  void Restore(const std::string& folder, uint64_t seed);

 private:
  struct File;
  struct Change {
    size_t at = 0;
    std::string bytes;
    bool is_truncation = false;  // To `at`.
  };
  struct Content {
    std::string synced;
    std::string now;
    std::vector<Change> changes;  // Since the last sync.
    bool is_deleted = false;      // The folder was not synced since: it may come back.
  };

  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out);
  static int Delete(sqlite3_vfs* vfs, const char* name, int sync_folder);
  static int Write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 at);
  static int Truncate(sqlite3_file* file, sqlite3_int64 size);
  static int Sync(sqlite3_file* file, int flags);
  static const sqlite3_io_methods& Methods();

  void Step();
  std::string AfterLoss(const Content& content);

  sqlite3_vfs* const real_;
  sqlite3_vfs vfs_;
  std::map<std::string, Content> files_;
  int64_t steps_left_ = -1;
  std::function<void()> gone_;
  bool is_off_ = false;
  std::mt19937_64 random_;
};

}  // namespace salve

#endif  // SALVE_CHANNELS_POWER_LOSS_DISK_H_
