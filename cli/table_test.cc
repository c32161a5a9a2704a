#include "cli/table.h"

#include <sstream>

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(TableTest, AlignsColumnsByTheWidestCellAndLeavesNoBlanksAtTheEnd) {
  Table table({"NAME", "STATE", "ERROR"}, {});
  table.AddRow({"a", "HEALTHY", ""});
  table.AddRow({"longer", "UP", "no answer"});
  std::ostringstream out;

  table.Flush(out);

  EXPECT_EQ(out.str(),
            "NAME    STATE    ERROR\n"
            "a       HEALTHY\n"
            "longer  UP       no answer\n");
}

TEST(TableTest, CountsCharactersAndNotBytes) {
  Table table({"", ""}, {});
  table.AddRow({"ü", "x"});
  table.AddRow({"ab", "y"});
  std::ostringstream out;

  table.Flush(out);

  EXPECT_EQ(out.str(), "ü   x\nab  y\n");
}

TEST(TableTest, LeavesOutTheHeaderWhenAskedTo) {
  Table table({"LONG NAME", "B"}, {.header = false});
  table.AddRow({"x", "y"});
  std::ostringstream out;

  table.Flush(out);

  EXPECT_EQ(out.str(), "x  y\n");
}

TEST(TableTest, ColoursOnlyTheTextAndOnlyWhenAskedTo) {
  std::ostringstream plain;
  std::ostringstream coloured;
  for (bool colour : {false, true}) {
    Table table({"", ""}, {.colour = colour});
    table.AddRow({Cell("bad", Colour::kRed), "x"});
    table.AddRow({"longer", "y"});
    table.Flush(colour ? coloured : plain);
  }

  EXPECT_EQ(plain.str(), "bad     x\nlonger  y\n");
  EXPECT_EQ(coloured.str(), "\x1b[31mbad\x1b[0m     x\nlonger  y\n");
}

TEST(TableTest, PrintsItsHeaderOnceAndKeepsItsWidths) {
  Table table({"A", "B"}, {}, {3, 0});
  std::ostringstream out;

  table.AddRow({"1", "x"});
  table.Flush(out);
  table.AddRow({"12345", "y"});
  table.Flush(out);
  table.AddRow({"1", "z"});
  table.Flush(out);

  EXPECT_EQ(out.str(), "A    B\n1    x\n12345  y\n1      z\n");
}

TEST(TableTest, PrintsNothingWithoutRows) {
  Table table({"A"}, {});
  std::ostringstream out;

  table.Flush(out);

  EXPECT_EQ(out.str(), "");
}

TEST(TableTest, ATerminalsEscapesFromOutsideAreWrittenOut) {
  EXPECT_EQ(Printable("a\nb\tc"), "a\\nb\\tc");
  EXPECT_EQ(Printable("\x1b[31mred\x7f"), "\\x1b[31mred\\x7f");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m"),
            "\\x9b31m");  // U+009B: one byte longer than ESC [.
  EXPECT_EQ(Printable("\xC2\x9F|\xC2\xA0|é"), "\\x9f|\xC2\xA0|é");
  EXPECT_EQ(Printable("\xC2"), "\xC2");
}

}  // namespace
}  // namespace salve
