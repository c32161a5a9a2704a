#include "queue/database.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/host.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr size_t kPiece = 1 << 20;
constexpr char kLockFile[] = "/salved.lock";

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void Add(absl::string_view bytes) {
    EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  }
  std::string Hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    EVP_DigestFinal_ex(context_.get(), digest, &length);
    return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), length));
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

// Gives `take` the bytes piece by piece.
absl::Status ReadPieces(int file, const std::string& path,
                        absl::FunctionRef<absl::Status(absl::string_view)> take) {
  std::vector<char> piece(kPiece);
  for (;;) {
    const ssize_t n = read(file, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path);
    if (n == 0) return absl::OkStatus();
    RETURN_IF_ERROR(take(absl::string_view(piece.data(), n)));
  }
}

absl::Status WriteAll(int file, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = write(file, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path);
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status LockNow(int file, bool shared, const std::string& path, absl::string_view holder) {
  if (flock(file, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return absl::OkStatus();
  if (errno != EWOULDBLOCK) return ErrnoStatus(errno, path);
  return absl::FailedPreconditionError(absl::StrCat(path, " is locked: ", holder));
}

}  // namespace

std::string DatabaseFileOf(const std::string& folder_or_file) {
  struct stat status;
  const bool is_folder =
      stat(folder_or_file.c_str(), &status) == 0 ? S_ISDIR(status.st_mode) : false;
  return is_folder ? absl::StrCat(folder_or_file, "/", kQueueDatabase) : folder_or_file;
}

std::string FolderOf(const std::string& file) {
  const size_t slash = file.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : file.substr(0, slash);
}

bool FileExists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

absl::StatusOr<FolderLock> FolderLock::Take(const std::string& folder, For purpose) {
  const bool shared = purpose == For::kLook;
  FolderLock lock;
  lock.folder_ = UniqueFd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.folder_.is_open()) return ErrnoStatus(errno, folder);
  RETURN_IF_ERROR(
      LockNow(lock.folder_.get(), shared, folder, "another salvectl works on this folder"));
  // Read-only will do for flock, and works on a disk that is mounted so.
  const std::string path = folder + kLockFile;
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT && purpose != For::kState) return lock;
  if (file < 0 && errno == ENOENT) file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return ErrnoStatus(errno, path);
  lock.file_ = UniqueFd(file);
  RETURN_IF_ERROR(LockNow(file, shared, path, "salved runs with this folder; stop it first"));
  return lock;
}

absl::StatusOr<FileFacts> HashFile(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return ErrnoStatus(errno, path);
  FileFacts facts;
  Sha256 hash;
  RETURN_IF_ERROR(ReadPieces(file.get(), path, [&](absl::string_view piece) {
    hash.Add(piece);
    facts.bytes += static_cast<int64_t>(piece.size());
    return absl::OkStatus();
  }));
  facts.sha256 = hash.Hex();
  return facts;
}

absl::StatusOr<FileFacts> CopyFile(const std::string& from, const std::string& to) {
  UniqueFd in(open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!in.is_open()) return ErrnoStatus(errno, from);
  UniqueFd out(open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!out.is_open() && errno == EEXIST) return absl::AlreadyExistsError(to + " is there already");
  if (!out.is_open()) return ErrnoStatus(errno, to);
  FileFacts facts;
  Sha256 hash;
  RETURN_IF_ERROR(ReadPieces(in.get(), from, [&](absl::string_view piece) {
    hash.Add(piece);
    facts.bytes += static_cast<int64_t>(piece.size());
    return WriteAll(out.get(), piece, to);
  }));
  if (fsync(out.get()) != 0) return ErrnoStatus(errno, to);
  facts.sha256 = hash.Hex();
  return facts;
}

absl::Status SyncFile(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open() || fsync(file.get()) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& folder) {
  UniqueFd file(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open() || fsync(file.get()) != 0) return ErrnoStatus(errno, folder);
  return absl::OkStatus();
}

absl::Status RenameFile(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat(from, " to ", to));
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, path);
}

void MakeLike(const std::string& path, const std::string& like) {
  struct stat status;
  if (stat(like.c_str(), &status) != 0) return;
  // Who may not give files away made `path` as the user that it would belong to.
  if (chown(path.c_str(), status.st_uid, status.st_gid) != 0) return;
  if (!S_ISDIR(status.st_mode)) chmod(path.c_str(), status.st_mode & 07777);
}

absl::StatusOr<int64_t> FreeBytes(const std::string& folder) {
  struct statvfs status;
  if (statvfs(folder.c_str(), &status) != 0) return ErrnoStatus(errno, folder);
  return static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_frsize);
}

}  // namespace salve
