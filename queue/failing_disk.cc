#include "queue/failing_disk.h"

#include <new>

#include "base/check.h"

namespace salve {

// Lies in memory of SQLite's; the real one's follows it.
struct FailingDisk::File {
  sqlite3_file base;
  FailingDisk* disk;

  static File& Of(sqlite3_file* file) { return *reinterpret_cast<File*>(file); }
  static sqlite3_file* Real(sqlite3_file* file) {
    return reinterpret_cast<sqlite3_file*>(reinterpret_cast<File*>(file) + 1);
  }
};

FailingDisk::FailingDisk() : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
  vfs_.zName = "failing";
  vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
  vfs_.pNext = nullptr;
  vfs_.pAppData = this;
  vfs_.xOpen = Open;
  CHECK(sqlite3_vfs_register(&vfs_, /*makeDflt=*/1) == SQLITE_OK);
}

FailingDisk::~FailingDisk() {
  sqlite3_vfs_unregister(&vfs_);
  sqlite3_vfs_register(real_, /*makeDflt=*/1);
}

void FailingDisk::FailAfter(int64_t steps, int code, int64_t count) {
  steps_left_ = steps;
  code_ = code;
  failures_left_ = count;
  has_failed_ = false;
}

int FailingDisk::Step(int io_error, bool needs_room) {
  if (code_ == SQLITE_OK || (code_ == SQLITE_FULL && !needs_room)) return SQLITE_OK;
  if (steps_left_ > 0) {
    --steps_left_;
    return SQLITE_OK;
  }
  if (failures_left_ == 0) return SQLITE_OK;
  --failures_left_;
  has_failed_ = true;
  return code_ == SQLITE_IOERR ? io_error : code_;
}

int FailingDisk::Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
  auto* disk = static_cast<FailingDisk*>(vfs->pAppData);
  new (file) File();
  const int code = disk->real_->xOpen(disk->real_, name, File::Real(file), flags, out);
  if (code != SQLITE_OK) return code;
  File::Of(file).disk = disk;
  File::Of(file).base.pMethods = &Methods();
  return SQLITE_OK;
}

const sqlite3_io_methods& FailingDisk::Methods() {
  static const sqlite3_io_methods kMethods = {
      .iVersion = 2,  // Without xFetch: nothing is read or written past us.
      .xClose = [](sqlite3_file* f) { return File::Real(f)->pMethods->xClose(File::Real(f)); },
      .xRead =
          [](sqlite3_file* f, void* bytes, int count, sqlite3_int64 at) {
            return File::Real(f)->pMethods->xRead(File::Real(f), bytes, count, at);
          },
      .xWrite =
          [](sqlite3_file* f, const void* bytes, int count, sqlite3_int64 at) {
            const int code = File::Of(f).disk->Step(SQLITE_IOERR_WRITE, true);
            if (code != SQLITE_OK) return code;
            return File::Real(f)->pMethods->xWrite(File::Real(f), bytes, count, at);
          },
      .xTruncate =
          [](sqlite3_file* f, sqlite3_int64 size) {
            const int code = File::Of(f).disk->Step(SQLITE_IOERR_TRUNCATE, false);
            if (code != SQLITE_OK) return code;
            return File::Real(f)->pMethods->xTruncate(File::Real(f), size);
          },
      .xSync =
          [](sqlite3_file* f, int flags) {
            const int code = File::Of(f).disk->Step(SQLITE_IOERR_FSYNC, false);
            if (code != SQLITE_OK) return code;
            return File::Real(f)->pMethods->xSync(File::Real(f), flags);
          },
      .xFileSize =
          [](sqlite3_file* f, sqlite3_int64* size) {
            return File::Real(f)->pMethods->xFileSize(File::Real(f), size);
          },
      .xLock = [](sqlite3_file* f,
                  int lock) { return File::Real(f)->pMethods->xLock(File::Real(f), lock); },
      .xUnlock = [](sqlite3_file* f,
                    int lock) { return File::Real(f)->pMethods->xUnlock(File::Real(f), lock); },
      .xCheckReservedLock =
          [](sqlite3_file* f, int* out) {
            return File::Real(f)->pMethods->xCheckReservedLock(File::Real(f), out);
          },
      .xFileControl =
          [](sqlite3_file* f, int what, void* value) {
            return File::Real(f)->pMethods->xFileControl(File::Real(f), what, value);
          },
      .xSectorSize =
          [](sqlite3_file* f) { return File::Real(f)->pMethods->xSectorSize(File::Real(f)); },
      .xDeviceCharacteristics =
          [](sqlite3_file* f) {
            return File::Real(f)->pMethods->xDeviceCharacteristics(File::Real(f));
          },
      .xShmMap =
          [](sqlite3_file* f, int page, int bytes, int extend, void volatile** out) {
            return File::Real(f)->pMethods->xShmMap(File::Real(f), page, bytes, extend, out);
          },
      .xShmLock =
          [](sqlite3_file* f, int offset, int n, int flags) {
            return File::Real(f)->pMethods->xShmLock(File::Real(f), offset, n, flags);
          },
      .xShmBarrier = [](sqlite3_file* f) { File::Real(f)->pMethods->xShmBarrier(File::Real(f)); },
      .xShmUnmap =
          [](sqlite3_file* f, int remove) {
            return File::Real(f)->pMethods->xShmUnmap(File::Real(f), remove);
          },
  };
  return kMethods;
}

}  // namespace salve
