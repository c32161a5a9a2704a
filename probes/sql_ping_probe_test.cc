#include "probes/sql_ping_probe.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "probes/test_conversation_probe.h"
#include "probes/test_dialogue.h"
#include "probes/test_script_server.h"

namespace salve {
namespace {

using SqlPingProbeTest = ConversationProbeTest<config::SqlPingProbe, NewSqlPingProbe>;

const std::string kAuthenticated("R\0\0\0\x08\0\0\0\0", 9);
const std::string kReady("Z\0\0\0\x05I", 6);
const std::string kTerminate("X\0\0\0\x04", 5);
const std::string kSslRequest("\0\0\0\x08\x04\xd2\x16\x2f", 8);

std::string StartOf(const std::string& user) {
  const std::string text =
      absl::StrCat("user|", user, "|database|", user, "|application_name|salve||");
  std::string body("\0\x03\0\0", 4);
  for (const char c : text) body += c == '|' ? '\0' : c;
  return std::string("\0\0\0", 3) + static_cast<char>(body.size() + 4) + body;
}

TEST_F(SqlPingProbeTest, AsksPostgresOverAUnixSocket) {
  const TestSocketFolder sockets;
  ScriptServer::Options options;
  options.unix_socket = sockets.path() + "/.s.PGSQL.5432";
  ScriptServer server(
      {Hears(StartOf("postgres")), Says(kAuthenticated + kReady), Hears(kTerminate)}, options);
  config_.set_host(options.unix_socket);
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(server.fault(), "");
  EXPECT_EQ(AttributeOf(seen, "remote_address"), options.unix_socket);
}

TEST_F(SqlPingProbeTest, AsksPostgresWithinTlsAndLogsIn) {
  ScriptServer server({Hears(kSslRequest), Says("S"), StartsTls(), Hears(StartOf("ann")),
                       Says(std::string("R\0\0\0\x08\0\0\0\x03", 9)),
                       Hears(std::string("p\0\0\0\x0chunter2\0", 13)),
                       Says(kAuthenticated + kReady), Hears(kTerminate)},
                      Certified());
  config_.set_user("ann");
  config_.set_password_file(password_file_);
  config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(server.fault(), "");
  EXPECT_NEAR(ValueOf(seen, "tls_days_left"), 30, 0.01);
}

TEST_F(SqlPingProbeTest, ASlowPostgresTimesOut) {
  ScriptServer server({Says("R"), Hangs()});
  const Observation seen = LookAt(server, absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while waiting for the answer to the start message"))
      << seen.error;
}

TEST_F(SqlPingProbeTest, AsksRedis) {
  ScriptServer server({Hears("*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$7\r\nhunter2\r\n"), Says("+OK\r\n"),
                       Hears("*1\r\n$4\r\nPING\r\n"), Says("+PONG\r\n"),
                       Hears("*1\r\n$4\r\nROLE\r\n"), Says("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
                       Hears("*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n"),
                       Says("$31\r\n# Server\r\nredis_version:7.2.4\r\n\r\n")});
  config_.set_server(config::SqlPingProbe::REDIS);
  config_.set_user("ann");
  config_.set_password_file(password_file_);
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(server.fault(), "");
  EXPECT_EQ(AttributeOf(seen, "role"), "master");
  EXPECT_EQ(AttributeOf(seen, "server_version"), "7.2.4");
}

TEST_F(SqlPingProbeTest, AsksRedisWithinTls) {
  ScriptServer server({StartsTls(), Says("-NOAUTH Authentication required.\r\n"), Hangs()},
                      Certified());
  config_.set_server(config::SqlPingProbe::REDIS);
  config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  EXPECT_EQ(LookAt(server).error, "");
  config_.set_need_login(true);
  EXPECT_EQ(LookAt(server).error, "PING was answered by 'NOAUTH Authentication required.'");
}

TEST_F(SqlPingProbeTest, AMissingPasswordFileIsRejected) {
  ScriptServer server({Hangs()});
  config_.set_password_file("/does/not/exist");
  EXPECT_EQ(LookAt(server).outcome, Outcome::kRejected);
}

TEST(CheckSqlPingProbeTest, NamesTheFieldThatCannotWork) {
  config::SqlPingProbe config;
  EXPECT_TRUE(CheckSqlPingProbe(config).ok());
  config.set_password_file("/p");
  EXPECT_TRUE(CheckSqlPingProbe(config).ok()) << "Postgres has a user by default";
  config.set_host("192.0.2.1");
  EXPECT_EQ(CheckSqlPingProbe(config).message(),
            "sql_ping.password_file: no password is sent to 192.0.2.1 without TLS");
  config.mutable_tls();
  EXPECT_TRUE(CheckSqlPingProbe(config).ok());
  config.set_database(std::string("a\0b", 3));
  EXPECT_EQ(CheckSqlPingProbe(config).message(),
            "sql_ping.database: a control character (CR, LF, NUL …) can't stand in it");
  config.set_database("shop");
  EXPECT_TRUE(CheckSqlPingProbe(config).ok());
  config.set_server(config::SqlPingProbe::REDIS);
  EXPECT_EQ(CheckSqlPingProbe(config).message(), "sql_ping.database: is for Postgres only");
  config.clear_database();
  EXPECT_TRUE(CheckSqlPingProbe(config).ok());
  config.clear_password_file();
  config.set_user("ann");
  EXPECT_EQ(CheckSqlPingProbe(config).message(), "sql_ping.user: of Redis needs password_file");
  config.set_server(static_cast<config::SqlPingProbe::Server>(7));
  EXPECT_EQ(CheckSqlPingProbe(config).message(),
            "sql_ping.server: 7 is neither POSTGRES nor REDIS");
}

}  // namespace
}  // namespace salve
