#include "probes/dns_answer.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace salve {
namespace {

using std::string_literals::operator""s;

// The question is for x.example; 0xc00c is its name.
const std::string kQuestion = "\1x\7example\0\0\1\0\1"s;
const std::string kOwner = "\xc0\x0c"s;

std::string Header(int records, int rcode = 0) {
  return "\x12\x34\x81"s + static_cast<char>(0x80 | rcode) + "\0\1"s +
         static_cast<char>(records >> 8) + static_cast<char>(records) + "\0\0\0\0"s;
}

std::string Record(DnsType type, const std::string& data, const std::string& owner = kOwner) {
  const int number = static_cast<int>(type);
  return owner + static_cast<char>(number >> 8) + static_cast<char>(number) + "\0\1\0\0\0\x3c"s +
         static_cast<char>(data.size() >> 8) + static_cast<char>(data.size()) + data;
}

std::string Message(DnsType type, const std::string& data) {
  return Header(1) + kQuestion + Record(type, data);
}

// The only record of an answer, or the error.
std::string TextOf(DnsType type, const std::string& data) {
  const auto answer = ParseDnsAnswer(Message(type, data), type);
  if (!answer.ok()) return std::string(answer.status().message());
  return answer->records.size() == 1 ? answer->records[0]
                                     : absl::StrCat(answer->records.size(), " records");
}

TEST(DnsAnswerTest, WritesEachTypeAsText) {
  EXPECT_EQ(TextOf(DnsType::kA, "\xc0\0\2\1"s), "192.0.2.1");
  EXPECT_EQ(TextOf(DnsType::kAaaa, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"s), "2001:db8::1");
  EXPECT_EQ(TextOf(DnsType::kCname, "\3www\xc0\x0e"s), "www.example");
  EXPECT_EQ(TextOf(DnsType::kNs, "\2ns\xc0\x0c"s), "ns.x.example");
  EXPECT_EQ(TextOf(DnsType::kPtr, "\4host\0"s), "host");
  EXPECT_EQ(TextOf(DnsType::kMx, "\1\0\2mx\xc0\x0c"s), "256 mx.x.example");
  EXPECT_EQ(TextOf(DnsType::kSrv, "\0\1\0\2\x14\x66\xc0\x0c"s), "1 2 5222 x.example");
  EXPECT_EQ(TextOf(DnsType::kTxt, "\3abc\1d\0"s), "abcd");
  EXPECT_EQ(TextOf(DnsType::kCaa, "\x80\5issueca.example"s), "128 issue ca.example");
  EXPECT_EQ(
      TextOf(DnsType::kSoa, "\2ns\xc0\x0c\1m\xc0\x0c\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5"s),
      "ns.x.example m.x.example 1 2 3 4 5");
}

TEST(DnsAnswerTest, EscapesWhatIsNotPlainText) {
  EXPECT_EQ(TextOf(DnsType::kTxt, "\5a\n\xc3\\."s), "a\\010\\195\\\\.");
  EXPECT_EQ(TextOf(DnsType::kNs, "\4a.b\0\0"s), "a\\.b\\000");
  EXPECT_EQ(TextOf(DnsType::kNs, "\0"s), ".");
  EXPECT_EQ(TextOf(DnsType::kTxt, ""), "");
}

TEST(DnsAnswerTest, TakesRecordsOfTheAskedTypeAndClassOnly) {
  std::string other_class = Record(DnsType::kA, "\1\1\1\1"s);
  other_class[5] = 3;
  const std::string message = Header(4) + kQuestion + Record(DnsType::kCname, "\1y\xc0\x0e"s) +
                              Record(DnsType::kA, "\x7f\0\0\1"s, "\1y\xc0\x0e"s) + other_class +
                              Record(DnsType::kA, "\x7f\0\0\2"s);
  const auto answer = ParseDnsAnswer(message, DnsType::kA);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->records, (std::vector<std::string>{"127.0.0.1", "127.0.0.2"}));
  EXPECT_EQ(ParseDnsAnswer(message, DnsType::kCname)->records,
            (std::vector<std::string>{"y.example"}));
}

TEST(DnsAnswerTest, ReadsTheRcode) {
  const auto answer = ParseDnsAnswer(Header(0, 3) + kQuestion, DnsType::kA);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->rcode, kRcodeNameError);
  EXPECT_EQ(RcodeName(0), "NOERROR");
  EXPECT_EQ(RcodeName(2), "SERVFAIL");
  EXPECT_EQ(RcodeName(3), "NXDOMAIN");
  EXPECT_EQ(RcodeName(5), "REFUSED");
  EXPECT_EQ(RcodeName(10), "NOTZONE");
  EXPECT_EQ(RcodeName(11), "rcode 11");
}

TEST(DnsAnswerTest, RefusesARecordOfTheWrongLength) {
  const std::string wrong = "a record has the wrong length";
  EXPECT_EQ(TextOf(DnsType::kA, "\1\1\1"s), wrong);
  EXPECT_EQ(TextOf(DnsType::kA, "\1\1\1\1\1"s), wrong);
  EXPECT_EQ(TextOf(DnsType::kMx, "\0"s), wrong);
  EXPECT_EQ(TextOf(DnsType::kTxt, "\4abc"s), wrong);
  EXPECT_EQ(TextOf(DnsType::kCaa, "\0\x09issue"s), wrong);
  EXPECT_EQ(TextOf(DnsType::kNs, "\1a"s), wrong);  // The name does not end within the record.
}

TEST(DnsAnswerTest, RefusesEveryMessageThatIsCut) {
  const std::string whole = Message(DnsType::kMx, "\1\0\2mx\xc0\x0c"s);
  ASSERT_TRUE(ParseDnsAnswer(whole, DnsType::kMx).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ParseDnsAnswer(whole.substr(0, size), DnsType::kMx).ok()) << size;
  }
  EXPECT_EQ(ParseDnsAnswer(whole.substr(0, 11), DnsType::kMx).status().message(),
            "it is shorter than a header");
  EXPECT_EQ(ParseDnsAnswer(whole.substr(0, 12), DnsType::kMx).status().message(),
            "it ends too early, or a name in it is none");
}

TEST(DnsAnswerTest, RefusesAQuestion) {
  std::string message = Header(0) + kQuestion;
  message[2] = 1;
  EXPECT_EQ(ParseDnsAnswer(message, DnsType::kA).status().message(), "it is a question");
}

TEST(DnsAnswerTest, APointerLeadsBackOrNowhere) {
  const size_t at = (Header(1) + kQuestion).size() + 12;  // Where the data of the record begins.
  const auto reads = [](const std::string& name) {
    return ParseDnsAnswer(Message(DnsType::kNs, name), DnsType::kNs).ok();
  };
  EXPECT_TRUE(reads("\xc0\x0c"s));
  EXPECT_FALSE(reads("\xc0"s + static_cast<char>(at)));      // To itself.
  EXPECT_FALSE(reads("\1a\xc0"s + static_cast<char>(at)));   // In a circle.
  EXPECT_FALSE(reads("\xc0"s + static_cast<char>(at + 2)));  // Ahead.
  EXPECT_FALSE(reads("\xff\xff"s));                          // Beyond the end.
  EXPECT_FALSE(reads("\x80"s));                              // A length of no meaning.
}

TEST(DnsAnswerTest, AnOwnerIsPassedOverButMustBeAName) {
  const auto reads = [](const std::string& owner) {
    return ParseDnsAnswer(Header(1) + kQuestion + Record(DnsType::kA, "\1\1\1\1"s, owner),
                          DnsType::kA)
        .ok();
  };
  EXPECT_TRUE(reads("\1a\xc0\x0c"s));
  EXPECT_TRUE(reads("\1a\0"s));
  EXPECT_FALSE(reads("\x80"s));  // A length of no meaning.
  EXPECT_FALSE(reads("\x3f"s));  // Longer than what is left.
}

TEST(DnsAnswerTest, ANameHasAtMost255Bytes) {
  const std::string label = "\x3f" + std::string(63, 'a');
  const std::string most = label + label + label + "\x3d" + std::string(61, 'b') + "\0"s;
  ASSERT_EQ(most.size(), 255u);
  EXPECT_EQ(TextOf(DnsType::kNs, most).size(), 253u);
  const std::string more = label + label + label + "\x3e" + std::string(62, 'b') + "\0"s;
  EXPECT_EQ(TextOf(DnsType::kNs, more), "a record has the wrong length");
}

// Each pointer leads to the one before it.
TEST(DnsAnswerTest, ANameHasAtMost127Jumps) {
  const auto reads = [](int jumps) {
    std::string chain = "\0"s;  // At 12 + 17 + 12: the data of the first record.
    const size_t begin = (Header(2) + kQuestion).size() + 12;
    for (int i = 0; i < jumps - 1; ++i) {
      const size_t before = i == 0 ? begin : begin + 1 + static_cast<size_t>(i - 1) * 2;
      chain += static_cast<char>(0xc0 | before >> 8);
      chain += static_cast<char>(before);
    }
    const size_t last = begin + chain.size() - 2;
    const std::string name{static_cast<char>(0xc0 | last >> 8), static_cast<char>(last)};
    return ParseDnsAnswer(
               Header(2) + kQuestion + Record(DnsType::kTxt, chain) + Record(DnsType::kNs, name),
               DnsType::kNs)
        .ok();
  };
  EXPECT_TRUE(reads(127));
  EXPECT_FALSE(reads(128));
}

// Each name of an owner is a pointer to a long one, which nobody wants to know. The bound is wide:
// following them takes more than a hundred times as long.
TEST(DnsAnswerTest, OwnersThatPointToALongNameCostNothing) {
  const std::string label = "\x3f"s + std::string(63, '\1');
  const std::string name = label + label + label + "\x3d"s + std::string(61, '\1') + "\0"s;
  std::string message = Header(4000) + name + "\0\1\0\1"s;
  for (int i = 0; i < 4000; ++i) message += Record(DnsType::kTxt, "");
  const absl::Time start = absl::Now();
  for (int i = 0; i < 10; ++i) {
    const auto answer = ParseDnsAnswer(message, DnsType::kA);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_TRUE(answer->records.empty());
  }
  EXPECT_LT(absl::Now() - start, absl::Milliseconds(150));
}

TEST(DnsAnswerTest, KeepsTheFirstThousandRecords) {
  std::string message = Header(1001) + kQuestion;
  for (int i = 0; i < 1001; ++i) message += Record(DnsType::kA, "\1\1\1\1"s);
  const auto answer = ParseDnsAnswer(message, DnsType::kA);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->records.size(), kDnsRecordsMax);
}

TEST(ReverseNameTest, TurnsTheAddressRound) {
  EXPECT_EQ(ReverseName("192.0.2.1"), "1.2.0.192.in-addr.arpa");
  EXPECT_EQ(ReverseName("2001:db8::1"),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

}  // namespace
}  // namespace salve
