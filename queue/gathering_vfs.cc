#include "queue/gathering_vfs.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <string>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/unique_fd.h"

namespace salve {
namespace {

constexpr size_t kPiece = 256 << 10;

// A file whose end is still in memory.
class GatheredFile {
 public:
  explicit GatheredFile(int file) : file_(file) { end_.reserve(kPiece); }

  sqlite3_int64 size() const { return written_ + static_cast<sqlite3_int64>(end_.size()); }

  int Write(absl::string_view bytes, sqlite3_int64 at) {
    // A hole before it is filled: SQLite writes some pages later than those behind them.
    while (at > size()) {
      end_.resize(std::min(kPiece, end_.size() + static_cast<size_t>(at - size())));
      if (const int rc = FlushIfFull(); rc != SQLITE_OK) return rc;
    }
    if (at < written_) {
      int rc = Flush();
      if (rc == SQLITE_OK) rc = WriteThrough(bytes, at);
      written_ = std::max(written_, at + static_cast<sqlite3_int64>(bytes.size()));
      return rc;
    }
    const auto offset = static_cast<size_t>(at - written_);
    end_.replace(offset, bytes.size(), bytes.data(), bytes.size());
    return FlushIfFull();
  }

  int Read(char* to, size_t count, sqlite3_int64 at) {
    if (const int rc = Flush(); rc != SQLITE_OK) return rc;
    while (count > 0) {
      const ssize_t n = pread(file_.get(), to, count, at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return SQLITE_IOERR_READ;
      if (n == 0) break;
      to += n;
      at += n;
      count -= n;
    }
    memset(to, 0, count);
    return count == 0 ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
  }

  int Truncate(sqlite3_int64 size) {
    if (const int rc = Flush(); rc != SQLITE_OK) return rc;
    if (ftruncate(file_.get(), size) != 0) return SQLITE_IOERR_TRUNCATE;
    written_ = size;
    return SQLITE_OK;
  }

  int Flush() {
    const int rc = WriteThrough(end_, written_);
    if (rc != SQLITE_OK) return rc;
    written_ = size();
    end_.clear();
    return SQLITE_OK;
  }

 private:
  int FlushIfFull() { return end_.size() < kPiece ? SQLITE_OK : Flush(); }
  int WriteThrough(absl::string_view bytes, sqlite3_int64 at) {
    while (!bytes.empty()) {
      const ssize_t n = pwrite(file_.get(), bytes.data(), bytes.size(), at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : SQLITE_IOERR_WRITE;
      bytes.remove_prefix(n);
      at += n;
    }
    return SQLITE_OK;
  }

  const UniqueFd file_;
  sqlite3_int64 written_ = 0;  // Handed to the system: all before this.
  std::string end_;
};

// What SQLite makes room for.
struct OpenFile {
  sqlite3_file base;
  alignas(GatheredFile) char file[sizeof(GatheredFile)];
};

GatheredFile& FileOf(sqlite3_file* opened) {
  return *std::launder(reinterpret_cast<GatheredFile*>(reinterpret_cast<OpenFile*>(opened)->file));
}

int DoNothing(sqlite3_file*, int) { return SQLITE_OK; }

constexpr sqlite3_io_methods kMethods = {
    .iVersion = 1,
    .xClose =
        [](sqlite3_file* file) {
          FileOf(file).~GatheredFile();
          return SQLITE_OK;
        },
    .xRead = [](sqlite3_file* file, void* to, int count,
                sqlite3_int64 at) { return FileOf(file).Read(static_cast<char*>(to), count, at); },
    .xWrite =
        [](sqlite3_file* file, const void* from, int count, sqlite3_int64 at) {
          const absl::string_view bytes(static_cast<const char*>(from), count);
          return FileOf(file).Write(bytes, at);
        },
    .xTruncate = [](sqlite3_file* file, sqlite3_int64 size) { return FileOf(file).Truncate(size); },
    .xSync = DoNothing,
    .xFileSize =
        [](sqlite3_file* file, sqlite3_int64* size) {
          *size = FileOf(file).size();
          return SQLITE_OK;
        },
    .xLock = DoNothing,
    .xUnlock = DoNothing,
    .xCheckReservedLock =
        [](sqlite3_file*, int* locked) {
          *locked = 0;
          return SQLITE_OK;
        },
    .xFileControl =
        [](sqlite3_file* file, int operation, void*) {
          // Comes at the end of a transaction, whether synced or not.
          return operation == SQLITE_FCNTL_SYNC ? FileOf(file).Flush() : SQLITE_NOTFOUND;
        },
    .xSectorSize = [](sqlite3_file*) { return 0; },
    .xDeviceCharacteristics = [](sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; },
};

sqlite3_vfs* System(sqlite3_vfs* vfs) { return static_cast<sqlite3_vfs*>(vfs->pAppData); }

int Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* opened, int flags, int* flags_out) {
  // The journal, which stays empty.
  if ((flags & SQLITE_OPEN_MAIN_DB) == 0) {
    return System(vfs)->xOpen(System(vfs), path, opened, flags, flags_out);
  }
  opened->pMethods = nullptr;
  const int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return SQLITE_CANTOPEN;
  new (reinterpret_cast<OpenFile*>(opened)->file) GatheredFile(file);
  opened->pMethods = &kMethods;
  if (flags_out != nullptr) *flags_out = flags;
  return SQLITE_OK;
}

}  // namespace

GatheringVfs::GatheringVfs() : vfs_(*sqlite3_vfs_find(nullptr)) {
  vfs_.pAppData = sqlite3_vfs_find(nullptr);
  vfs_.pNext = nullptr;
  vfs_.zName = kName;
  vfs_.szOsFile = std::max<int>(vfs_.szOsFile, sizeof(OpenFile));
  vfs_.xOpen = Open;
  CHECK(sqlite3_vfs_register(&vfs_, /*makeDflt=*/0) == SQLITE_OK);
}

GatheringVfs::~GatheringVfs() { sqlite3_vfs_unregister(&vfs_); }

}  // namespace salve
