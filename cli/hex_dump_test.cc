#include "cli/hex_dump.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(HexDumpTest, IsAsHexdumpWritesIt) {
  EXPECT_EQ(HexDump("Hello, queue!\x01\x02\x03Z\xff"),
            "00000000  48 65 6c 6c 6f 2c 20 71  75 65 75 65 21 01 02 03  |Hello, queue!...|\n"
            "00000010  5a ff                                             |Z.|\n"
            "00000012\n");
}

TEST(HexDumpTest, AFullLineHasNoEmptyOneBehindIt) {
  EXPECT_EQ(HexDump("0123456789abcdef"),
            "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n"
            "00000010\n");
}

TEST(HexDumpTest, NothingOfNothing) { EXPECT_EQ(HexDump(""), ""); }

}  // namespace
}  // namespace salve
