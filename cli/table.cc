#include "cli/table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"

namespace salve {
namespace {

constexpr size_t kGap = 2;  // Blanks between columns.

absl::string_view EscapeOf(Colour colour) {
  switch (colour) {
    case Colour::kNone:
      return "";
    case Colour::kGreen:
      return "\x1b[32m";
    case Colour::kYellow:
      return "\x1b[33m";
    case Colour::kRed:
      return "\x1b[31m";
    case Colour::kFaint:
      return "\x1b[2m";
  }
  return "";
}

// Characters, not bytes: UTF-8's continuation bytes take no room.
size_t WidthOf(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

bool IsNamed(const std::vector<std::string>& header) {
  return std::any_of(header.begin(), header.end(), [](const auto& name) { return !name.empty(); });
}

}  // namespace

Table::Table(std::vector<std::string> header, TableStyle style, std::vector<size_t> widths_min)
    : header_(std::move(header)),
      style_(style),
      widths_(std::move(widths_min)),
      header_is_due_(style.header && IsNamed(header_)) {
  CHECK(widths_.size() <= header_.size());
  widths_.resize(header_.size(), 0);
  if (!header_is_due_) return;
  for (size_t i = 0; i < header_.size(); ++i) {
    widths_[i] = std::max(widths_[i], WidthOf(header_[i]));
  }
}

void Table::AddRow(std::vector<Cell> row) {
  CHECK(row.size() <= header_.size());
  for (size_t i = 0; i < row.size(); ++i) {
    row[i].text = Printable(row[i].text);
    widths_[i] = std::max(widths_[i], WidthOf(row[i].text));
  }
  rows_.push_back(std::move(row));
}

void Table::Flush(std::ostream& out) {
  if (rows_.empty()) return;
  if (header_is_due_) PrintRow({header_.begin(), header_.end()}, out);
  header_is_due_ = false;
  for (const std::vector<Cell>& row : rows_) PrintRow(row, out);
  rows_.clear();
}

void Table::PrintRow(const std::vector<Cell>& row, std::ostream& out) const {
  std::string line;
  size_t blanks = 0;  // Due before the next text; never written at the end of a line.
  for (size_t i = 0; i < row.size(); ++i) {
    const Cell& cell = row[i];
    const size_t width = WidthOf(cell.text);
    if (width > 0) {
      line.append(blanks, ' ');
      blanks = 0;
      const absl::string_view escape = style_.colour ? EscapeOf(cell.colour) : "";
      absl::StrAppend(&line, escape, cell.text, escape.empty() ? "" : "\x1b[0m");
    }
    blanks += widths_[i] - std::min(widths_[i], width) + kGap;
  }
  out << line << '\n';
}

std::string Printable(absl::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = text[i];
    const unsigned char next = i + 1 < text.size() ? text[i + 1] : 0;
    if (c == '\n') {
      printable += "\\n";
    } else if (c == '\t') {
      printable += "\\t";
    } else if (c < 0x20 || c == 0x7F) {
      absl::StrAppendFormat(&printable, "\\x%02x", c);
    } else if (c == 0xC2 && next >= 0x80 && next <= 0x9F) {
      // U+0080..U+009F: some terminals take them as the beginning of an escape sequence.
      absl::StrAppendFormat(&printable, "\\x%02x", next);
      ++i;
    } else {
      printable += text[i];
    }
  }
  return printable;
}

}  // namespace salve
