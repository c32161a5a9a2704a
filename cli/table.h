// A table for people: aligned columns, colour only when asked for. Text from outside is made
// harmless on the way: a control character (a line end, a terminal's escape) is written as
// `\n` or `\x1b`.
#ifndef SALVE_CLI_TABLE_H_
#define SALVE_CLI_TABLE_H_

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace salve {

enum class Colour { kNone, kGreen, kYellow, kRed, kFaint };

struct Cell {
  Cell(std::string text, Colour colour = Colour::kNone)  // NOLINT: cells are written as text.
      : text(std::move(text)), colour(colour) {}
  Cell(const char* text) : text(text) {}  // NOLINT
  std::string text;
  Colour colour = Colour::kNone;
};

struct TableStyle {
  bool header = true;
  bool colour = false;
};

class Table {
 public:
  // `header` names the columns; without a name for any of them no header is printed.
  // `widths_min`, in characters, are for rows that are printed before all are known.
  Table(std::vector<std::string> header, TableStyle style, std::vector<size_t> widths_min = {});

  // Cells that are left out are empty. Requires: not more of them than columns.
  void AddRow(std::vector<Cell> row);

  // Prints the rows since the last call, before the first ones the header. Columns never get
  // narrower from call to call. Nothing at all without rows.
  void Flush(std::ostream& out);

 private:
  void PrintRow(const std::vector<Cell>& row, std::ostream& out) const;

  const std::vector<std::string> header_;
  const TableStyle style_;
  std::vector<size_t> widths_;
  std::vector<std::vector<Cell>> rows_;
  bool header_is_due_;
};

// The text with control characters written out, so that it stays on its line.
std::string Printable(absl::string_view text);

}  // namespace salve

#endif  // SALVE_CLI_TABLE_H_
