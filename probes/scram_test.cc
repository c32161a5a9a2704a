#include "probes/scram.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

// The example of RFC 7677.
constexpr const char* kNonce = "rOprNGfwEbeRWgbNEkqO";
constexpr const char* kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr const char* kServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

TEST(ScramClientTest, SaysWhatTheRfcSays) {
  ScramClient client("user", "pencil", kNonce);
  EXPECT_EQ(client.FirstMessage(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  const auto last = client.FinalMessage(kServerFirst);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(*last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  EXPECT_TRUE(client.CheckServer(kServerFinal).ok());
}

TEST(ScramClientTest, RefusesAServerThatDoesNotKnowThePassword) {
  ScramClient client("user", "pencil", kNonce);
  EXPECT_FALSE(client.CheckServer(kServerFinal).ok()) << "before it was asked";
  ASSERT_TRUE(client.FinalMessage(kServerFirst).ok());
  for (const char* bad :
       {"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "v=", "", "e=other-error", "v=****"}) {
    EXPECT_EQ(client.CheckServer(bad).message(), "it does not prove that it knows the password")
        << bad;
  }
  ScramClient other("user", "pencils", kNonce);
  ASSERT_TRUE(other.FinalMessage(kServerFirst).ok());
  EXPECT_FALSE(other.CheckServer(kServerFinal).ok());
}

TEST(ScramClientTest, EscapesTheName) {
  EXPECT_EQ(ScramClient("a=b,c", "x", "n").FirstMessage(), "n,,n=a=3Db=2Cc,r=n");
}

std::string Refusal(const std::string& server_first) {
  return std::string(ScramClient("u", "p", "abc").FinalMessage(server_first).status().message());
}

TEST(ScramClientTest, RefusesHostileFirstMessages) {
  EXPECT_EQ(Refusal("r=abcd,s=AAAA,i=20000"), "");
  EXPECT_EQ(Refusal("r=abcd,s=AAAA,i=20001"),
            "it asks for 20001 iterations of SCRAM, more than 20000");
  EXPECT_EQ(Refusal("r=abcd,s=AAAA,i=1,more=1"), "");
  EXPECT_EQ(Refusal("r=abc,s=AAAA,i=1"), "its SCRAM message does not go on with our nonce");
  EXPECT_EQ(Refusal("r=xabcd,s=AAAA,i=1"), "its SCRAM message does not go on with our nonce");
  EXPECT_EQ(Refusal("r=abcd,s=AAAA"), "its SCRAM message has no three parts");
  for (const char* bad : {"m=abcd,s=AAAA,i=1", "r=abcd,x=AAAA,i=1", "r=abcd,s=,i=1",
                          "r=abcd,s=!!!!,i=1", "r=abcd,s=AAAA,i=0", "r=abcd,s=AAAA,i=-1",
                          "r=abcd,s=AAAA,i=99999999999", "r=abcd,s=AAAA,i="}) {
    EXPECT_EQ(Refusal(bad), "its SCRAM message can't be read") << bad;
  }
}

TEST(NewScramNonceTest, IsAnotherEachTime) {
  EXPECT_EQ(NewScramNonce().size(), 24u);
  EXPECT_NE(NewScramNonce(), NewScramNonce());
}

}  // namespace
}  // namespace salve
