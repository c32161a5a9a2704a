#include "queue/btree_cells.h"

#include <algorithm>

namespace salve {
namespace {

constexpr size_t kFileHeader = 100;
constexpr size_t kDepthMax = 20;  // As SQLite's own.
// Of a page: its header, with the last child at the end of an interior one's.
constexpr size_t kLeafHeader = 8, kRightmost = 8, kInteriorHeader = 12;

// Page types.
constexpr uint64_t kInteriorIndex = 2, kInteriorTable = 5, kLeafIndex = 10, kLeafTable = 13;

// Reads on from a place; beyond the end there are zeros, and it is not ok.
class Reader {
 public:
  Reader(absl::string_view bytes, size_t at)
      : rest_(bytes.substr(std::min(at, bytes.size()))), ok_(at <= bytes.size()) {}

  bool ok() const { return ok_; }
  absl::string_view Bytes(size_t count) {
    ok_ = ok_ && count <= rest_.size();
    if (!ok_) return {};
    const absl::string_view bytes = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return bytes;
  }
  uint64_t Number(size_t bytes) {
    uint64_t number = 0;
    for (const char c : Bytes(bytes)) number = number << 8 | static_cast<unsigned char>(c);
    return number;
  }
  uint64_t Varint() {
    uint64_t number = 0;
    for (int i = 0; i < 8; ++i) {
      const uint64_t byte = Number(1);
      number = number << 7 | (byte & 0x7f);
      if (byte < 0x80) return number;
    }
    return number << 8 | Number(1);
  }

 private:
  absl::string_view rest_;
  bool ok_;
};

// How much of a record is in its cell.
uint64_t LocalSize(uint64_t usable, bool index, uint64_t size) {
  const uint64_t most = index ? (usable - 12) * 64 / 255 - 23 : usable - 35;
  if (size <= most) return size;
  const uint64_t least = (usable - 12) * 32 / 255 - 23;
  const uint64_t fitting = least + (size - least) % (usable - 4);
  return fitting <= most ? fitting : least;
}

}  // namespace

absl::StatusOr<DatabasePages> DatabasePages::Of(absl::string_view file) {
  const auto number = [&](size_t at, size_t bytes) { return Reader(file, at).Number(bytes); };
  DatabasePages pages;
  pages.file_ = file;
  Header& header = pages.header_;
  header.page_size = number(16, 2) == 1 ? 65536 : number(16, 2);
  header.usable = header.page_size - std::min(number(20, 1), header.page_size);
  header.encoding = number(56, 4);
  header.user_version = number(60, 4);
  header.application_id = number(68, 4);
  const bool is_power = (header.page_size & (header.page_size - 1)) == 0;
  if (file.size() < kFileHeader || header.page_size < 512 || !is_power || header.usable < 480) {
    return absl::DataLossError("not a database");
  }
  return pages;
}

absl::string_view DatabasePages::At(uint64_t number) const {
  if (number == 0 || number > count()) return {};
  return file_.substr((number - 1) * header_.page_size, header_.usable);
}

BtreeCells::BtreeCells(const DatabasePages& pages, uint64_t root) : pages_(pages) {
  const uint64_t type = Reader(pages.At(root), 0).Number(1);
  index_ = type == kInteriorIndex || type == kLeafIndex;
  Descend(root);
}

std::optional<BtreeCell> BtreeCells::Next() {
  while (!path_.empty()) {
    Level& level = path_.back();
    const size_t step = level.step++;
    if (step >= (level.leaf ? level.cells : 2 * level.cells + 1)) {
      path_.pop_back();
    } else if (level.leaf) {
      return CellOf(level, step);
    } else if (step % 2 == 0) {
      DescendTo(level, step / 2);
    } else if (index_) {
      return CellOf(level, step / 2);
    }
  }
  return std::nullopt;
}

// The pages of a tree differ: more visits than pages are of one that would not end, or not soon.
void BtreeCells::Descend(uint64_t number) {
  const absl::string_view page = pages_.At(number);
  Reader reader(page, 0);
  const uint64_t type = reader.Number(1);
  reader.Bytes(2);  // Free space.
  const Level level = {
      .page = page, .leaf = type == kLeafIndex || type == kLeafTable, .cells = reader.Number(2)};
  const bool fits = type == (index_ ? (level.leaf ? kLeafIndex : kInteriorIndex)
                                    : (level.leaf ? kLeafTable : kInteriorTable));
  if (!fits || path_.size() == kDepthMax || ++visited_ > pages_.count()) {
    Break();
  } else {
    path_.push_back(level);
  }
}

void BtreeCells::DescendTo(const Level& level, size_t child) {
  size_t at = kRightmost;
  if (child < level.cells) at = Reader(level.page, kInteriorHeader + 2 * child).Number(2);
  Descend(Reader(level.page, at).Number(4));
}

std::optional<BtreeCell> BtreeCells::CellOf(const Level& level, size_t index) {
  const size_t header = level.leaf ? kLeafHeader : kInteriorHeader;
  Reader reader(level.page, Reader(level.page, header + 2 * index).Number(2));
  if (!level.leaf) reader.Bytes(4);  // The child.
  BtreeCell cell;
  cell.size = reader.Varint();
  if (!index_) cell.rowid = reader.Varint();
  cell.local = reader.Bytes(LocalSize(pages_.header().usable, index_, cell.size));
  if (cell.local.size() < cell.size) cell.overflow = reader.Number(4);
  if (!reader.ok()) {
    Break();
    return std::nullopt;
  }
  return cell;
}

void BtreeCells::Break() {
  broken_ = true;
  path_.clear();
}

bool SameRecord(const DatabasePages& pages, const BtreeCell& cell, const DatabasePages& other_pages,
                const BtreeCell& other) {
  if (cell.rowid != other.rowid || cell.size != other.size || cell.local != other.local) {
    return false;
  }
  // Larger than all of the file: nonsense, and pages that follow each other in a circle have no
  // end.
  if (cell.size > pages.count() * pages.header().usable) return false;
  uint64_t left = cell.size - cell.local.size();
  uint64_t next = cell.overflow;
  uint64_t other_next = other.overflow;
  while (left > 0) {
    Reader page(pages.At(next), 0);
    Reader other_page(other_pages.At(other_next), 0);
    next = page.Number(4);
    other_next = other_page.Number(4);
    const uint64_t here = std::min(left, pages.header().usable - 4);
    const absl::string_view bytes = page.Bytes(here);
    if (!page.ok() || bytes != other_page.Bytes(here)) return false;
    left -= here;
  }
  return true;
}

}  // namespace salve
