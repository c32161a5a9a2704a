#include "queue/failing_disk.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

#include "base/check.h"

namespace salve {
namespace {

// Globals because a call of the C library's has no object to keep them in. Tests only.
std::atomic<bool> in_use{false};
std::atomic<int> error_now{0};  // 0: the disk is well.
std::atomic<int64_t> steps_left{0};
std::atomic<int64_t> failures_left{0};
std::atomic<bool> failed{false};

enum Needs { kRoom, kNothing };

bool Fails(Needs needs) {
  const int error = error_now;
  if (error == 0 || (error == ENOSPC && needs == kNothing)) return false;
  if (steps_left.fetch_sub(1) > 0 || failures_left.fetch_sub(1) <= 0) return false;
  failed = true;
  errno = error;
  return true;
}

bool FailsAt(int file, Needs needs) { return file > STDERR_FILENO && Fails(needs); }

// Of a write: the sectors of its first half are there. No disk writes a part of one.
ssize_t Half(int file, const void* bytes, size_t count, int64_t at) {
  constexpr size_t kSectorBytes = 512;
  const int error = errno;
  const size_t half = count / 2 / kSectorBytes * kSectorBytes;
  if (at < 0) {
    syscall(SYS_write, file, bytes, half);
  } else {
    syscall(SYS_pwrite64, file, bytes, half, at);
  }
  errno = error;
  return -1;
}

int FailingOpen(int folder, const char* path, int flags, mode_t mode) {
  if ((flags & O_CREAT) != 0 && Fails(kRoom)) return -1;
  return static_cast<int>(syscall(SYS_openat, folder, path, flags, mode));
}

}  // namespace

FailingDisk::FailingDisk() { CHECK(!in_use.exchange(true)); }

FailingDisk::~FailingDisk() {
  Heal();
  in_use = false;
}

void FailingDisk::FailAfter(int64_t steps, int error, int64_t count) {
  steps_left = steps;
  failures_left = count;
  failed = false;
  error_now = error;
}

void FailingDisk::Heal() { error_now = 0; }
bool FailingDisk::has_failed() const { return failed; }

// In the place of the C library's functions. By the names that the linker sees: in the headers some
// are macros or inline.
extern "C" {

ssize_t FailingWrite(int file, const void* bytes, size_t count) __asm__("write");
ssize_t FailingWrite(int file, const void* bytes, size_t count) {
  if (FailsAt(file, kRoom)) return Half(file, bytes, count, -1);
  return syscall(SYS_write, file, bytes, count);
}

ssize_t FailingPwrite(int file, const void* bytes, size_t count, off_t at) __asm__("pwrite");
ssize_t FailingPwrite(int file, const void* bytes, size_t count, off_t at) {
  if (FailsAt(file, kRoom)) return Half(file, bytes, count, at);
  return syscall(SYS_pwrite64, file, bytes, count, at);
}

ssize_t FailingPwrite64(int file, const void* bytes, size_t count, off_t at) __asm__("pwrite64");
ssize_t FailingPwrite64(int file, const void* bytes, size_t count, off_t at) {
  return FailingPwrite(file, bytes, count, at);
}

ssize_t FailingCopy(int in, off_t* from, int out, off_t* to, size_t count,
                    unsigned flags) __asm__("copy_file_range");
ssize_t FailingCopy(int in, off_t* from, int out, off_t* to, size_t count, unsigned flags) {
  if (FailsAt(out, kRoom)) return -1;
  return syscall(SYS_copy_file_range, in, from, out, to, count, flags);
}

int FailingSync(int file) __asm__("fsync");
int FailingSync(int file) {
  if (FailsAt(file, kNothing)) return -1;
  return static_cast<int>(syscall(SYS_fsync, file));
}

int FailingDataSync(int file) __asm__("fdatasync");
int FailingDataSync(int file) {
  if (FailsAt(file, kNothing)) return -1;
  return static_cast<int>(syscall(SYS_fdatasync, file));
}

int FailingTruncate(int file, off_t size) __asm__("ftruncate");
int FailingTruncate(int file, off_t size) {
  if (FailsAt(file, kNothing)) return -1;
  return static_cast<int>(syscall(SYS_ftruncate, file, size));
}

int FailingTruncate64(int file, off_t size) __asm__("ftruncate64");
int FailingTruncate64(int file, off_t size) { return FailingTruncate(file, size); }

int FailingChangeMode(int file, mode_t mode) __asm__("fchmod");
int FailingChangeMode(int file, mode_t mode) {
  if (FailsAt(file, kNothing)) return -1;
  return static_cast<int>(syscall(SYS_fchmod, file, mode));
}

int FailingOpenFile(const char* path, int flags, ...) __asm__("open");
int FailingOpenFile(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return FailingOpen(AT_FDCWD, path, flags, mode);
}

int FailingOpenFile64(const char* path, int flags, ...) __asm__("open64");
int FailingOpenFile64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return FailingOpen(AT_FDCWD, path, flags, mode);
}

int FailingMakeTemporary(char* name, int flags) __asm__("mkostemp");
int FailingMakeTemporary(char* name, int flags) {
  return Fails(kRoom) ? -1 : mkostemps(name, 0, flags);
}

int FailingMakeFolder(const char* path, mode_t mode) __asm__("mkdir");
int FailingMakeFolder(const char* path, mode_t mode) {
  return Fails(kRoom) ? -1 : static_cast<int>(syscall(SYS_mkdir, path, mode));
}

int FailingRename(const char* from, const char* to) __asm__("rename");
int FailingRename(const char* from, const char* to) {
  return Fails(kRoom) ? -1 : static_cast<int>(syscall(SYS_rename, from, to));
}

int FailingLink(const char* from, const char* to) __asm__("link");
int FailingLink(const char* from, const char* to) {
  return Fails(kRoom) ? -1 : static_cast<int>(syscall(SYS_link, from, to));
}

int FailingUnlink(const char* path) __asm__("unlink");
int FailingUnlink(const char* path) {
  return Fails(kNothing) ? -1 : static_cast<int>(syscall(SYS_unlink, path));
}

int FailingUnlinkAt(int folder, const char* path, int flags) __asm__("unlinkat");
int FailingUnlinkAt(int folder, const char* path, int flags) {
  return Fails(kNothing) ? -1 : static_cast<int>(syscall(SYS_unlinkat, folder, path, flags));
}

int FailingRemove(const char* path) __asm__("remove");
int FailingRemove(const char* path) {
  if (Fails(kNothing)) return -1;
  if (syscall(SYS_unlink, path) == 0) return 0;
  return errno == EISDIR ? static_cast<int>(syscall(SYS_rmdir, path)) : -1;
}

}  // extern "C"

}  // namespace salve
