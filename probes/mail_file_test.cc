#include "probes/mail_file.h"

#include <gtest/gtest.h>

#include <string>

namespace salve {
namespace {

std::string Record(char kind, const std::string& body) {
  std::string record(1, kind);
  size_t length = body.size();
  while (length >= 0x80) {
    record += static_cast<char>(0x80 | (length & 0x7f));
    length >>= 7;
  }
  return record + static_cast<char>(length) + body;
}

constexpr char kSize[] = "            4711            1234               1               0";

TEST(ParsePostfixFileTest, TakesTheTimeOfArrival) {
  const std::string head = Record('C', kSize) + Record('T', "1700000000 123456") +
                           Record('A', "log_ident=4XYZ") + Record('S', "a@example.org");
  EXPECT_EQ(ParsePostfixFile(head).arrived, absl::FromUnixSeconds(1'700'000'000));
}

TEST(ParsePostfixFileTest, ReadsLongRecords) {
  const std::string head = Record('A', std::string(300, 'x')) + Record('T', " 1700000000");
  EXPECT_EQ(ParsePostfixFile(head).arrived, absl::FromUnixSeconds(1'700'000'000));
}

TEST(ParsePostfixFileTest, PassesOverWhatIsNone) {
  std::string many;
  for (int i = 0; i < 16; ++i) many += Record('A', "x");
  for (const std::string& head :
       {std::string(), std::string("T"), std::string("T\x80\x80\x80\x80\x80\x80\x01x"),
        Record('T', "1700000000").substr(0, 8), Record('T', "x"), Record('T', "-5"),
        Record('T', "0"), Record('T', "99999999999999999"), Record('M', "") + Record('T', "170"),
        many + Record('T', "1700000000")}) {
    EXPECT_EQ(ParsePostfixFile(head).arrived, std::nullopt) << head;
  }
}

TEST(ParseEximFileTest, TakesTheTimeOfArrivalAndWhetherItIsFrozen) {
  const std::string head =
      "1rABCD-000abc-Yz-H\nmail 8 8\n<a@example.org>\n1700000000 2\n-received_time_usec .5\n";
  MailFile file = ParseEximFile(head + "-local\nXX\n1\nb@example.org\n");
  EXPECT_EQ(file.arrived, absl::FromUnixSeconds(1'700'000'000));
  EXPECT_FALSE(file.is_frozen);
  EXPECT_TRUE(ParseEximFile(head + "-frozen 1700000100\nXX\n").is_frozen);
  EXPECT_FALSE(ParseEximFile(head + "-frozenly\nXX\n-frozen 1\n").is_frozen);
}

TEST(ParseEximFileTest, PassesOverWhatIsNone) {
  for (const char* head : {"", "a-H\nb\nc\n", "a-D\nb\nc\n1700000000 0\n", "a-H\nb\nc\nx\n-y\n"}) {
    EXPECT_EQ(ParseEximFile(head).arrived, std::nullopt) << head;
  }
}

}  // namespace
}  // namespace salve
