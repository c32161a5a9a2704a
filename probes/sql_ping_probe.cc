#include "probes/sql_ping_probe.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "probes/conversation.h"
#include "probes/conversation_fields.h"
#include "probes/database_dialogue.h"
#include "probes/field_checks.h"
#include "probes/scram.h"

namespace salve {
namespace {

constexpr uint16_t kPostgresPort = 5432;
constexpr uint16_t kRedisPort = 6379;

bool IsPostgres(const config::SqlPingProbe& config) {
  return config.server() == config::SqlPingProbe::POSTGRES;
}

ConversationFields Fields(const config::SqlPingProbe& config) {
  const uint16_t port = IsPostgres(config) ? kPostgresPort : kRedisPort;
  return {.kind = "sql_ping",
          .host = config.host(),
          .port = config.port(),
          .tls = config.has_tls() ? &config.tls() : nullptr,
          .start_tls = IsPostgres(config) && config.has_tls(),
          .user = config.user(),
          .password_file = config.password_file(),
          .plain_port = port,
          .tls_port = port};
}

}  // namespace

absl::Status CheckSqlPingProbe(const config::SqlPingProbe& config) {
  if (!config::SqlPingProbe::Server_IsValid(config.server())) {
    return BadField("sql_ping.server",
                    absl::StrCat(config.server(), " is neither POSTGRES nor REDIS"));
  }
  RETURN_IF_ERROR(CheckConversationFields(Fields(config)));
  RETURN_IF_ERROR(CheckWord("sql_ping.database", config.database()));
  if (IsPostgres(config)) return absl::OkStatus();
  if (!config.database().empty()) return BadField("sql_ping.database", "is for Postgres only");
  if (!config.user().empty() && config.password_file().empty()) {
    return BadField("sql_ping.user", "of Redis needs password_file");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Probe>> NewSqlPingProbe(const config::SqlPingProbe& config,
                                                       EventLoop& loop, Resolver& resolver) {
  RETURN_IF_ERROR(CheckSqlPingProbe(config));
  ConversationOptions options = OptionsOf(Fields(config));
  options.make_dialogue = [config]() -> absl::StatusOr<std::unique_ptr<Dialogue>> {
    DatabaseDialogueOptions database;
    database.user = config.user();
    database.database = config.database();
    ASSIGN_OR_RETURN(database.password, ReadPassword(config.password_file()));
    database.need_login = config.need_login();
    if (!IsPostgres(config)) return NewRedisDialogue(std::move(database));
    if (database.user.empty()) database.user = "postgres";
    database.start_tls = config.has_tls();
    if (!database.password.empty()) database.nonce = NewScramNonce();
    return NewPostgresDialogue(std::move(database));
  };
  return NewConversation(std::move(options), loop, resolver);
}

}  // namespace salve
