#include "channels/power_loss_disk.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <utility>

#include "base/check.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSectorBytes = 512;

std::string ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Overwrite(std::string& content, size_t at, const char* bytes, size_t count) {
  if (content.size() < at + count) content.resize(at + count, '\0');
  content.replace(at, count, bytes, count);
}

}  // namespace

// Lies in memory of SQLite's; the real one's follows it.
struct PowerLossDisk::File {
  sqlite3_file base;
  PowerLossDisk* disk;
  const std::string* path;  // A key of files_, which never moves.

  static File& Of(sqlite3_file* file) { return *reinterpret_cast<File*>(file); }
  static sqlite3_file* Real(sqlite3_file* file) {
    return reinterpret_cast<sqlite3_file*>(reinterpret_cast<File*>(file) + 1);
  }
};

PowerLossDisk::PowerLossDisk() : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
  vfs_.zName = "power-loss";
  vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
  vfs_.pNext = nullptr;
  vfs_.pAppData = this;
  vfs_.xOpen = Open;
  vfs_.xDelete = Delete;
  CHECK(sqlite3_vfs_register(&vfs_, /*makeDflt=*/1) == SQLITE_OK);
}

PowerLossDisk::~PowerLossDisk() {
  sqlite3_vfs_unregister(&vfs_);
  sqlite3_vfs_register(real_, /*makeDflt=*/1);
}

void PowerLossDisk::LosePowerAfter(int64_t steps, std::function<void()> gone) {
  steps_left_ = steps;
  gone_ = std::move(gone);
}

void PowerLossDisk::Step() {
  if (steps_left_ < 0 || is_off_) return;
  if (steps_left_-- > 0) return;
  is_off_ = true;
  gone_();
}

int PowerLossDisk::Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags,
                        int* out) {
  auto* disk = static_cast<PowerLossDisk*>(vfs->pAppData);
  if (name == nullptr) return disk->real_->xOpen(disk->real_, name, file, flags, out);
  new (file) File();
  const int code = disk->real_->xOpen(disk->real_, name, File::Real(file), flags, out);
  if (code != SQLITE_OK) return code;
  if (!disk->is_off_) {
    Content& content = disk->files_[name];
    // What others wrote meanwhile (a log that is grown) they have synced.
    std::string now = ReadWhole(name);
    if (content.is_deleted || content.now != now) content = {.synced = now, .now = now};
  }
  const auto found = disk->files_.try_emplace(name).first;
  File& opened = File::Of(file);
  opened.disk = disk;
  opened.path = &found->first;
  opened.base.pMethods = &Methods();
  return SQLITE_OK;
}

int PowerLossDisk::Delete(sqlite3_vfs* vfs, const char* name, int sync_folder) {
  auto* disk = static_cast<PowerLossDisk*>(vfs->pAppData);
  disk->Step();
  const auto found = disk->files_.find(name);
  if (!disk->is_off_ && found != disk->files_.end()) {
    found->second.is_deleted = true;
    if (sync_folder != 0) disk->files_.erase(found);
  }
  return disk->real_->xDelete(disk->real_, name, sync_folder);
}

int PowerLossDisk::Write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 at) {
  const File& own = File::Of(file);
  own.disk->Step();
  if (!own.disk->is_off_) {
    Content& content = own.disk->files_[*own.path];
    const auto* text = static_cast<const char*>(bytes);
    Overwrite(content.now, at, text, count);
    content.changes.push_back(
        {.at = static_cast<size_t>(at), .bytes = std::string(text, static_cast<size_t>(count))});
  }
  sqlite3_file* real = File::Real(file);
  return real->pMethods->xWrite(real, bytes, count, at);
}

int PowerLossDisk::Truncate(sqlite3_file* file, sqlite3_int64 size) {
  const File& own = File::Of(file);
  own.disk->Step();
  if (!own.disk->is_off_) {
    Content& content = own.disk->files_[*own.path];
    content.now.resize(size);
    content.changes.push_back({.at = static_cast<size_t>(size), .is_truncation = true});
  }
  sqlite3_file* real = File::Real(file);
  return real->pMethods->xTruncate(real, size);
}

// The real file needs no sync: its power stays on, and a test may have thousands of them.
int PowerLossDisk::Sync(sqlite3_file* file, int) {
  const File& own = File::Of(file);
  own.disk->Step();
  if (!own.disk->is_off_) {
    Content& content = own.disk->files_[*own.path];
    content.synced = content.now;
    content.changes.clear();
  }
  return SQLITE_OK;
}

const sqlite3_io_methods& PowerLossDisk::Methods() {
  static const sqlite3_io_methods kMethods = {
      .iVersion = 2,  // Without xFetch: nothing is read or written past us.
      .xClose = [](sqlite3_file* f) { return File::Real(f)->pMethods->xClose(File::Real(f)); },
      .xRead =
          [](sqlite3_file* f, void* bytes, int count, sqlite3_int64 at) {
            return File::Real(f)->pMethods->xRead(File::Real(f), bytes, count, at);
          },
      .xWrite = Write,
      .xTruncate = Truncate,
      .xSync = Sync,
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

std::string PowerLossDisk::AfterLoss(const Content& content) {
  std::string left = content.synced;
  for (const Change& change : content.changes) {
    enum { kLost, kWhole, kTorn, kSizeOnly };
    const int fate = static_cast<int>(random_() % 4);
    if (fate == kLost) continue;
    if (change.is_truncation) {
      left.resize(change.at);
      continue;
    }
    if (fate == kWhole) Overwrite(left, change.at, change.bytes.data(), change.bytes.size());
    if (fate == kSizeOnly) left.resize(std::max(left.size(), change.at + change.bytes.size()));
    if (fate != kTorn) continue;
    for (size_t from = 0; from < change.bytes.size(); from += kSectorBytes) {
      if (random_() % 2 == 0) continue;
      const size_t count = std::min(kSectorBytes, change.bytes.size() - from);
      Overwrite(left, change.at + from, change.bytes.data() + from, count);
    }
  }
  return left;
}

void PowerLossDisk::Restore(const std::string& folder, uint64_t seed) {
  random_.seed(seed);
  const fs::path here = fs::canonical(folder);  // As SQLite names its files.
  for (const auto& [path, content] : files_) {
    if (fs::path(path).parent_path() != here) continue;
    fs::remove(path);
    fs::remove(path + "-shm");  // Shared memory by nature.
    if (content.is_deleted && random_() % 2 == 0) continue;
    std::ofstream(path, std::ios::binary) << AfterLoss(content);
  }
  files_.clear();
  steps_left_ = -1;
  is_off_ = false;
}

}  // namespace salve
