// A database file whose pages may hold anything: each tree ends, and a record is like itself.
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "queue/btree_cells.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<salve::DatabasePages> pages = salve::DatabasePages::Of(file);
  if (!pages.ok()) return 0;
  for (uint64_t root = 0; root <= pages->count() + 1; ++root) {
    salve::BtreeCells cells(*pages, root);
    while (const std::optional<salve::BtreeCell> cell = cells.Next()) {
      CHECK(cell->local.size() <= cell->size);
      // But for one whose other pages are missing.
      const bool same = salve::SameRecord(*pages, *cell, *pages, *cell);
      CHECK(same || cell->local.size() < cell->size);
    }
  }
  return 0;
}
