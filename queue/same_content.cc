#include "queue/same_content.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "channels/sqlite.h"
#include "queue/btree_cells.h"

namespace salve {
namespace {

// A file's bytes.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Map(const std::string& path) {
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status;
    if (!file.is_open() || fstat(file.get(), &status) != 0) return ErrnoStatus(errno, path);
    const auto size = static_cast<size_t>(status.st_size);
    if (size == 0) return absl::DataLossError(path + " is empty");
    void* bytes = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
    if (bytes == MAP_FAILED) return ErrnoStatus(errno, path);
    MappedFile mapped({static_cast<const char*>(bytes), size});
    // A sector that can't be read is an error here, and SIGBUS when it is first looked at later.
    // Older kernels (before 5.14) know no such call.
    if (madvise(bytes, size, MADV_POPULATE_READ) != 0 && errno != EINVAL) {
      return ErrnoStatus(errno == EFAULT ? EIO : errno, path);
    }
    return mapped;
  }
  ~MappedFile() {
    if (!bytes_.empty()) munmap(const_cast<char*>(bytes_.data()), bytes_.size());
  }
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&&) = delete;

  absl::string_view bytes() const { return bytes_; }

 private:
  explicit MappedFile(absl::string_view bytes) : bytes_(bytes) {}
  absl::string_view bytes_;
};

// A table or an index.
struct Tree {
  std::string definition;  // What the schema says of it, but not where it is.
  std::string name;
  int64_t root = 0;  // 0: it has no pages.
};

absl::StatusOr<std::vector<Tree>> TreesOf(const std::string& file) {
  ASSIGN_OR_RETURN(const std::unique_ptr<SqliteConnection> database,
                   SqliteConnection::Open(file, SqliteConnection::Mode::kAsItStands));
  ASSIGN_OR_RETURN(SqliteStatement row,
                   database->Prepare("SELECT rootpage, name, type, tbl_name, sql "
                                     "FROM sqlite_master ORDER BY name, type"));
  std::vector<Tree> trees;
  for (;;) {
    ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return trees;
    Tree tree = {.name = std::string(row.Bytes(1)), .root = row.Integer(0)};
    for (int i = 1; i < 5; ++i) absl::StrAppend(&tree.definition, row.Bytes(i), "\n");
    trees.push_back(std::move(tree));
  }
}

bool SameTree(const DatabasePages& pages, int64_t root, const DatabasePages& other_pages,
              int64_t other_root) {
  if (root == 0 || other_root == 0) return root == other_root;
  BtreeCells cells(pages, root);
  BtreeCells others(other_pages, other_root);
  for (;;) {
    const std::optional<BtreeCell> cell = cells.Next();
    const std::optional<BtreeCell> other = others.Next();
    if (!cell || !other) return !cell && !other && !cells.broken() && !others.broken();
    if (!SameRecord(pages, *cell, other_pages, *other)) return false;
  }
}

}  // namespace

absl::Status SameContent(const std::string& file, const std::string& copy) {
  const auto differs = [&](absl::string_view where) {
    return absl::DataLossError(absl::StrCat(copy, " has not the content of ", file, ": ", where));
  };
  ASSIGN_OR_RETURN(const MappedFile mapped, MappedFile::Map(file));
  ASSIGN_OR_RETURN(const MappedFile mapped_copy, MappedFile::Map(copy));
  ASSIGN_OR_RETURN(const DatabasePages pages, DatabasePages::Of(mapped.bytes()));
  ASSIGN_OR_RETURN(const DatabasePages pages_of_copy, DatabasePages::Of(mapped_copy.bytes()));
  if (pages.header() != pages_of_copy.header()) return differs("the header");
  ASSIGN_OR_RETURN(const std::vector<Tree> trees, TreesOf(file));
  ASSIGN_OR_RETURN(const std::vector<Tree> trees_of_copy, TreesOf(copy));
  if (trees.size() != trees_of_copy.size()) return differs("the schema");
  for (size_t i = 0; i < trees.size(); ++i) {
    if (trees[i].definition != trees_of_copy[i].definition) return differs("the schema");
    if (!SameTree(pages, trees[i].root, pages_of_copy, trees_of_copy[i].root)) {
      return differs(trees[i].name);
    }
  }
  return absl::OkStatus();
}

}  // namespace salve
