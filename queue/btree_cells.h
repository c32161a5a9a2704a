// Reads the b-trees of a SQLite file from its bytes, in its documented format and not by SQLite: so
// that what SQLite wrote is compared by something else, and fast. Decodes no record. For a file
// that nobody changes meanwhile; what it holds may be anything.
#ifndef SALVE_QUEUE_BTREE_CELLS_H_
#define SALVE_QUEUE_BTREE_CELLS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace salve {

// A database file. The bytes must outlive it.
class DatabasePages {
 public:
  // What the file's header says of all of it.
  struct Header {
    uint64_t page_size = 0;
    uint64_t usable = 0;  // Of a page; the rest is reserved.
    uint64_t encoding = 0;
    uint64_t user_version = 0;
    uint64_t application_id = 0;
    friend bool operator==(const Header&, const Header&) = default;
  };

  // Errors: kDataLoss: no database.
  static absl::StatusOr<DatabasePages> Of(absl::string_view file);

  const Header& header() const { return header_; }
  // The usable part of a page, from 1. Empty when the file has no such page.
  absl::string_view At(uint64_t number) const;
  uint64_t count() const { return file_.size() / header_.page_size; }

 private:
  absl::string_view file_;
  Header header_;
};

// An entry of a table or an index.
struct BtreeCell {
  uint64_t rowid = 0;  // 0 in an index.
  uint64_t size = 0;   // Of the record.
  absl::string_view local;
  uint64_t overflow = 0;  // The page where it goes on; 0: `local` is all.
};

// All cells of one tree, in the order of its key.
class BtreeCells {
 public:
  // Any tree but the schema's, whose first page is like no other. `pages` must outlive it.
  BtreeCells(const DatabasePages& pages, uint64_t root);

  std::optional<BtreeCell> Next();
  // After the last Next: it came to something that is no tree, and not to the end.
  bool broken() const { return broken_; }

 private:
  struct Level {
    absl::string_view page;
    bool leaf = false;
    size_t cells = 0;
    size_t step = 0;  // Of an interior page: a child, a cell, a child, …, the last child.
  };
  void Descend(uint64_t number);
  void DescendTo(const Level& level, size_t child);
  std::optional<BtreeCell> CellOf(const Level& level, size_t index);
  void Break();

  const DatabasePages& pages_;
  bool index_ = false;
  bool broken_ = false;
  uint64_t visited_ = 0;
  std::vector<Level> path_;  // From the root.
};

// The same record? Requires: both files have the same page size and usable part.
bool SameRecord(const DatabasePages& pages, const BtreeCell& cell, const DatabasePages& other_pages,
                const BtreeCell& other);

}  // namespace salve

#endif  // SALVE_QUEUE_BTREE_CELLS_H_
