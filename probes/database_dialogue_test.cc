#include "probes/database_dialogue.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "probes/test_dialogue.h"

namespace salve {
namespace {

// --- Postgres

std::string Int32(uint32_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift);
  return bytes;
}

std::string Message(const std::string& letter, const std::string& body) {
  return absl::StrCat(letter, Int32(static_cast<uint32_t>(body.size() + 4)), body);
}

std::string Authentication(uint32_t kind, const std::string& more = "") {
  return Message("R", Int32(kind) + more);
}

std::string Error(const std::string& code, const std::string& message) {
  return Message("E", absl::StrCat("SFATAL", std::string(1, '\0'), "C", code, std::string(1, '\0'),
                                   "M", message, std::string(2, '\0')));
}

const std::string kReady = Message("Z", "I");
const std::string kVersion =
    Message("S", std::string("server_version\0", 15) + std::string("16.2 (Debian)\0", 14));
const std::string kSslRequest = Int32(8) + Int32(80877103);

DatabaseDialogueOptions Ann(const std::string& password = "") {
  DatabaseDialogueOptions options;
  options.user = "ann";
  options.password = password;
  options.nonce = "rOprNGfwEbeRWgbNEkqO";
  return options;
}

const std::string kStart = [] {
  const std::string body = Int32(3 << 16) + std::string("user\0ann\0database\0ann\0", 22) +
                           std::string("application_name\0salve\0\0", 24);
  return Int32(static_cast<uint32_t>(body.size() + 4)) + body;
}();

TEST(PostgresDialogueTest, PassesWhenTheServerIsReady) {
  const Told told = Tell(NewPostgresDialogue(Ann()),
                         {Authentication(0) + kVersion + Message("K", "12345678"), kReady});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, kStart);
  EXPECT_EQ(told.farewell, Message("X", ""));
  EXPECT_EQ(AttributeOf(told.seen, "server_version"), "16.2 (Debian)");
}

TEST(PostgresDialogueTest, NamesTheDatabase) {
  DatabaseDialogueOptions options = Ann();
  options.database = "shop";
  const Told told = Tell(NewPostgresDialogue(options), {});
  EXPECT_NE(told.said.find(std::string("database\0shop\0", 14)), std::string::npos);
}

TEST(PostgresDialogueTest, WithoutNeedOfALoginAQuestionForThePasswordShowsLife) {
  for (const uint32_t kind : {3u, 5u, 7u, 10u}) {
    EXPECT_EQ(Tell(NewPostgresDialogue(Ann()), {Authentication(kind, "salt")}).seen.error, "");
  }
  DatabaseDialogueOptions options = Ann();
  options.need_login = true;
  EXPECT_EQ(Tell(NewPostgresDialogue(options), {Authentication(3)}).seen.error,
            "the server asks for a password, and there is none");
}

TEST(PostgresDialogueTest, ARefusalOfTheRoleOrTheDatabaseShowsLifeUnlessALoginIsNeeded) {
  DatabaseDialogueOptions needs = Ann();
  needs.need_login = true;
  for (const char* code : {"28000", "28P01", "3D000"}) {
    EXPECT_EQ(Tell(NewPostgresDialogue(Ann()), {Error(code, "no")}).seen.error, "");
    EXPECT_EQ(Tell(NewPostgresDialogue(needs), {Error(code, "no")}).seen.error,
              absl::StrCat("FATAL ", code, ": no"));
    EXPECT_EQ(Tell(NewPostgresDialogue(Ann("x")), {Error(code, "no")}).seen.error,
              absl::StrCat("FATAL ", code, ": no"));
  }
}

TEST(PostgresDialogueTest, OtherErrorsAreFailures) {
  const auto error = [](const std::vector<std::string>& words) {
    return Tell(NewPostgresDialogue(Ann()), words).seen.error;
  };
  EXPECT_EQ(error({Error("57P03", "the database system is starting up")}),
            "FATAL 57P03: the database system is starting up");
  EXPECT_EQ(error({Error("53300", "sorry, too many clients already")}),
            "FATAL 53300: sorry, too many clients already");
  EXPECT_EQ(error({Authentication(0), Error("53300", "slots are reserved")}),
            "FATAL 53300: slots are reserved");
  EXPECT_EQ(error({Message("E", "")}), ":");
}

TEST(PostgresDialogueTest, SaysAPasswordInTheClear) {
  const Told told =
      Tell(NewPostgresDialogue(Ann("hunter2")), {Authentication(3), Authentication(0), kReady});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, kStart + Message("p", std::string("hunter2\0", 8)));
}

TEST(PostgresDialogueTest, SaysAPasswordByMd5) {
  const Told told = Tell(NewPostgresDialogue(Ann("hunter2")),
                         {Authentication(5, "salt"), Authentication(0), kReady});
  EXPECT_EQ(told.seen.error, "");
  // md5(md5("hunter2ann") + "salt")
  EXPECT_EQ(told.said,
            kStart + Message("p", std::string("md5c0c3f557f7dbb6fb0f50f7e20972549f\0", 36)));
  EXPECT_EQ(Tell(NewPostgresDialogue(Ann("x")), {Authentication(5, "sal")}).seen.error,
            "no answer of a Postgres server while waiting for the answer to the start message");
}

const std::string kMechanisms("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", 34);
const std::string kFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const std::string kProof = "3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg=";

TEST(PostgresDialogueTest, ProvesThePasswordByScram) {
  const Told told = Tell(NewPostgresDialogue(Ann("pencil")),
                         {Authentication(10, kMechanisms), Authentication(11, kFirst),
                          Authentication(12, "v=" + kProof) + Authentication(0) + kReady});
  EXPECT_EQ(told.seen.error, "");
  const std::string first = "n,,n=,r=rOprNGfwEbeRWgbNEkqO";
  const std::string begin =
      kStart + Message("p", std::string("SCRAM-SHA-256\0", 14) + Int32(28) + first);
  EXPECT_EQ(told.said.substr(0, begin.size()), begin);
  EXPECT_EQ(told.said.find("pencil"), std::string::npos);
}

TEST(PostgresDialogueTest, AServerThatDoesNotProveThatItKnowsThePasswordIsAFailure) {
  const auto error = [](const std::vector<std::string>& words) {
    return Tell(NewPostgresDialogue(Ann("pencil")), words).seen.error;
  };
  const std::string ask = Authentication(10, kMechanisms), first = Authentication(11, kFirst);
  EXPECT_EQ(error({ask, first, Authentication(12, "v=AAAA")}),
            "login: it does not prove that it knows the password");
  EXPECT_EQ(error({ask, first, Authentication(0), kReady}),
            "the server does not prove that it knows the password");
  EXPECT_EQ(error({ask, Authentication(0), kReady}),
            "the server does not prove that it knows the password");
  EXPECT_EQ(error({ask, Authentication(11, "r=x,s=AAAA,i=1")}),
            "login: its SCRAM message does not go on with our nonce");
  EXPECT_EQ(error({ask, first, first}), "no answer of a Postgres server while logging in");
  EXPECT_EQ(error({ask, ask}), "no answer of a Postgres server while logging in");
  EXPECT_EQ(error({Authentication(11, kFirst)}),
            "no answer of a Postgres server while waiting for the answer to the start message");
  EXPECT_EQ(error({ask, Authentication(12, "v=AAAA")}),
            "no answer of a Postgres server while logging in");
}

TEST(PostgresDialogueTest, WhatItCannotAnswerIsAFailure) {
  EXPECT_EQ(Tell(NewPostgresDialogue(Ann("x")),
                 {Authentication(10, std::string("SCRAM-SHA-512\0\0", 15))})
                .seen.error,
            "the server does not offer SCRAM-SHA-256, but other SASL mechanisms");
  EXPECT_EQ(Tell(NewPostgresDialogue(Ann("x")), {Authentication(7)}).seen.error,
            "the server asks for a login of kind 7, not for a password");
  DatabaseDialogueOptions options = Ann("x");
  options.nonce.clear();
  EXPECT_EQ(Tell(NewPostgresDialogue(options), {Authentication(10, kMechanisms)}).seen.outcome,
            Outcome::kRejected);
}

TEST(PostgresDialogueTest, BeginsTls) {
  DatabaseDialogueOptions options = Ann();
  options.start_tls = true;
  Told told = Tell(NewPostgresDialogue(options), {"S", Authentication(0), kReady});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, kSslRequest + "<TLS>" + kStart);
  const auto error = [&](const std::string& word) {
    return Tell(NewPostgresDialogue(options), {word}).seen.error;
  };
  EXPECT_EQ(error("N"), "the server does not offer TLS");
  EXPECT_EQ(error("Sx"), "the server said more before TLS than it was asked");
  EXPECT_EQ(error("H"),
            "no answer of a Postgres server while waiting for the answer to SSLRequest");
  EXPECT_EQ(error(Error("53300", "too many")), "FATAL 53300: too many");
  for (const bool only_tls : {false, true}) {
    options.only_tls = only_tls;
    for (const char* code : {"28000", "28P01", "3D000"}) {
      EXPECT_EQ(error(Error(code, "x")), absl::StrCat("FATAL ", code, ": x"))
          << "an error in the place of TLS passed";
    }
  }
  told = Tell(NewPostgresDialogue(options), {"S"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, kSslRequest + "<TLS>");
}

TEST(PostgresDialogueTest, TakesMessagesInAnyPieces) {
  const std::string all = Authentication(0) + kVersion + kReady;
  std::vector<std::string> bytes;
  for (const char c : all) bytes.emplace_back(1, c);
  EXPECT_EQ(Tell(NewPostgresDialogue(Ann()), bytes).seen.error, "");
}

TEST(PostgresDialogueTest, MessagesAreBounded) {
  const auto error = [](const std::vector<std::string>& words) {
    return Tell(NewPostgresDialogue(Ann()), words).seen.error;
  };
  const std::string start = "waiting for the answer to the start message";
  EXPECT_EQ(error({"N" + Int32(16 * 1024)}), "the server closed the connection while " + start);
  EXPECT_EQ(error({"N" + Int32(16 * 1024 + 1)}), "a message of 16385 bytes while " + start);
  EXPECT_EQ(error({"N" + Int32(0xffffffff)}), "a message of 4294967295 bytes while " + start);
  EXPECT_EQ(error({"N" + Int32(3)}), "no answer of a Postgres server while " + start);
  EXPECT_EQ(error({"HTTP/1.1 400"}), "no answer of a Postgres server while " + start);
  EXPECT_EQ(error({Message("R", "abc")}), "no answer of a Postgres server while " + start);
  EXPECT_EQ(error({kReady}), "no answer of a Postgres server while " + start);
  const std::string notice = Message("N", std::string(16 * 1024 - 5, 'x'));  // 16 KiB with all.
  EXPECT_EQ(error({notice, notice, notice, notice}),
            "the server closed the connection while " + start);
  EXPECT_EQ(error({notice, notice, notice, notice, Message("N", "")}),
            "more than 64 KiB came while " + start);
}

TEST(PostgresDialogueTest, NoPasswordIsRepeated) {
  EXPECT_EQ(Tell(NewPostgresDialogue(Ann("hunter2")),
                 {Authentication(3), Error("28P01", "not 'hunter2'")})
                .seen.error,
            "FATAL 28P01: not '***'");
}

// Its log would hold an error for each look.
TEST(PostgresDialogueTest, IsToldOfAnEndOnlyWhereItHasLetIn) {
  EXPECT_EQ(Tell(NewPostgresDialogue(Ann()), {Authentication(10, kMechanisms)}).farewell, "");
  EXPECT_TRUE(Tell(NewPostgresDialogue(Ann()), {Authentication(10, kMechanisms)}).half_close);
  EXPECT_FALSE(Tell(NewPostgresDialogue(Ann()), {Authentication(0), kReady}).half_close);
}

TEST(PostgresDialogueTest, NamesThePhase) {
  DatabaseDialogueOptions options = Ann("x");
  EXPECT_EQ(Tell(NewPostgresDialogue(options), {Authentication(3)}).phase, "logging in");
  EXPECT_EQ(Tell(NewPostgresDialogue(options), {Authentication(0)}).phase,
            "waiting until the server is ready");
}

// --- Redis

constexpr const char* kPing = "*1\r\n$4\r\nPING\r\n";
constexpr const char* kRole = "*1\r\n$4\r\nROLE\r\n";
constexpr const char* kInfo = "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n";
constexpr const char* kRoleAnswer =
    "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:-1\r\n";
constexpr const char* kInfoAnswer =
    "$90\r\n# Server\r\nredis_version:7.2.4\r\nredis_mode:standalone\r\n\r\n";

TEST(RedisDialogueTest, PassesOnPongAndTellsTheRoleAndTheVersion) {
  const Told told = Tell(NewRedisDialogue({}), {"+PONG\r\n", kRoleAnswer, kInfoAnswer});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, absl::StrCat(kPing, kRole, kInfo));
  EXPECT_EQ(AttributeOf(told.seen, "role"), "slave");
  EXPECT_EQ(AttributeOf(told.seen, "server_version"), "7.2.4");
}

TEST(RedisDialogueTest, WhatIsOnlyForTheAttributesMayFail) {
  EXPECT_EQ(Tell(NewRedisDialogue({}), {"+PONG\r\n", "-ERR unknown command\r\n", "-NOPERM no\r\n"})
                .seen.error,
            "");
  EXPECT_EQ(Tell(NewRedisDialogue({}), {"+PONG\r\n"}).seen.error, "");  // It closes.
  EXPECT_EQ(
      Tell(NewRedisDialogue({}), {"+PONG\r\n", "-ERR\r\n", "$9\r\n# Server\r\n\r\n"}).seen.error,
      "");
}

TEST(RedisDialogueTest, LogsIn) {
  DatabaseDialogueOptions options;
  options.password = "hunter2";
  Told told = Tell(NewRedisDialogue(options), {"+OK\r\n", "+PONG\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, absl::StrCat("*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n", kPing, kRole));
  options.user = "ann";
  told = Tell(NewRedisDialogue(options), {"+OK\r\n", "+PONG\r\n"});
  EXPECT_EQ(told.said,
            absl::StrCat("*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$7\r\nhunter2\r\n", kPing, kRole));
}

TEST(RedisDialogueTest, NoauthShowsLifeUnlessALoginIsNeeded) {
  const char* noauth = "-NOAUTH Authentication required.\r\n";
  const Told told = Tell(NewRedisDialogue({}), {noauth});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(AttributeOf(told.seen, "role"), "");
  DatabaseDialogueOptions options;
  options.need_login = true;
  EXPECT_EQ(Tell(NewRedisDialogue(options), {noauth}).seen.error,
            "PING was answered by 'NOAUTH Authentication required.'");
}

// A default user with -@all: it failed for ever.
TEST(RedisDialogueTest, NopermShowsLifeUnlessALoginIsNeeded) {
  const char* noperm = "-NOPERM this user has no permissions to run the 'ping' command\r\n";
  EXPECT_EQ(Tell(NewRedisDialogue({}), {noperm}).seen.error, "");
  DatabaseDialogueOptions options;
  options.need_login = true;
  EXPECT_EQ(Tell(NewRedisDialogue(options), {noperm}).seen.error,
            "PING was answered by 'NOPERM this user has no permissions to run the 'ping' command'");
}

// A reset or a time-out while ROLE or INFO was asked failed the look.
TEST(RedisDialogueTest, HasSeenItsFillWithPong) {
  const auto dialogue = NewRedisDialogue({});
  dialogue->Begin();
  EXPECT_FALSE(dialogue->SoFar().has_value());
  dialogue->OnBytes("+PONG\r\n");
  ASSERT_TRUE(dialogue->SoFar().has_value());
  EXPECT_EQ(dialogue->SoFar()->outcome, Outcome::kSucceeded);
  dialogue->OnBytes(kRoleAnswer);
  EXPECT_EQ(AttributeOf(*dialogue->SoFar(), "role"), "slave");
}

TEST(RedisDialogueTest, OtherErrorsAreFailures) {
  for (const char* words :
       {"LOADING Redis is loading the dataset in memory", "MASTERDOWN Link down",
        "DENIED protected mode", "ERR max number of clients reached"}) {
    EXPECT_EQ(Tell(NewRedisDialogue({}), {absl::StrCat("-", words, "\r\n")}).seen.error,
              absl::StrCat("PING was answered by '", words, "'"));
  }
  DatabaseDialogueOptions options;
  options.password = "hunter2";
  EXPECT_EQ(Tell(NewRedisDialogue(options), {"-WRONGPASS not hunter2\r\n"}).seen.error,
            "AUTH was answered by 'WRONGPASS not ***'");
  EXPECT_EQ(Tell(NewRedisDialogue(options), {"+PONG\r\n"}).seen.error,
            "no answer of a Redis server: '+PONG'");
  EXPECT_EQ(Tell(NewRedisDialogue({}), {"HTTP/1.1 400 Bad Request\r\n"}).seen.error,
            "no answer of a Redis server: 'HTTP/1.1 400 Bad Request'");
}

TEST(RedisDialogueTest, NamesThePhase) {
  DatabaseDialogueOptions options;
  options.password = "x";
  EXPECT_EQ(Tell(NewRedisDialogue(options), {}).seen.error,
            "the server closed the connection while logging in");
  EXPECT_EQ(Tell(NewRedisDialogue({}), {}).seen.error,
            "the server closed the connection while waiting for PONG");
  EXPECT_EQ(Tell(NewRedisDialogue({}), {"+PONG\r\n"}).phase, "waiting for the answer to ROLE");
  EXPECT_EQ(Tell(NewRedisDialogue({}), {"+PONG\r\n", "-ERR\r\n"}).phase,
            "waiting for the answer to INFO");
}

}  // namespace
}  // namespace salve
