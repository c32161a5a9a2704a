#include "queue/replacement.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/status_macros.h"
#include "queue/database.h"
#include "queue/pack.h"
#include "queue/swap.h"

namespace salve {
namespace {

constexpr absl::Duration kRememberedAtLeast = absl::Hours(48);

}  // namespace

std::string TimeText(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

std::string StateDatabase(const std::string& state_dir) {
  return absl::StrCat(state_dir, "/", kQueueDatabase);
}

bool IsSameFile(const std::string& a, const std::string& b) {
  std::error_code error;
  return std::filesystem::equivalent(a, b, error) && !error;
}

absl::StatusOr<DatabaseSource> OpenSource(const std::string& file,
                                          const std::string& how_to_clean) {
  DatabaseSource source;
  ASSIGN_OR_RETURN(source.info, LookAtDatabase(file, /*at_every_row=*/true));
  RETURN_IF_ERROR(WholeOr(source.info));
  if (source.info.state() != "Clean") {
    return absl::FailedPreconditionError(absl::StrCat(file, " is Dirty: ", how_to_clean));
  }
  ASSIGN_OR_RETURN(source.db, ExamineStore(file));
  RETURN_IF_ERROR(NamedBy(file, LoadTables(*source.db, source.tables)));
  return source;
}

absl::StatusOr<std::optional<DatabaseSource>> OpenState(const std::string& state_dir) {
  const std::string file = StateDatabase(state_dir);
  ASSIGN_OR_RETURN(const bool exists, StoreExists(file));
  if (!exists) return std::nullopt;
  ASSIGN_OR_RETURN(DatabaseSource source,
                   OpenSource(file, "start salved, which recovers it, and stop it again"));
  return source;
}

EndedRow EndOf(const StoredMessage& stored, Final final, std::string reason, absl::Time now) {
  const queue::Message& message = stored.message;
  EndedRow row;
  row.ended.mid = message.mid();
  row.ended.origin_server = message.origin_server();
  row.ended.origin_mid = message.origin_mid();
  row.ended.type = message.type();
  row.ended.final = final;
  row.ended.queue = stored.queue;
  row.ended.reason = std::move(reason);
  row.ended.subject = message.subject();
  row.ended.correlation = message.correlation();
  row.ended.at = now;
  row.submission_key = message.submission_key();
  row.until = std::max(message.expires_ns() + absl::ToInt64Nanoseconds(absl::Hours(1)),
                       absl::ToUnixNanos(now + kRememberedAtLeast));
  return row;
}

absl::Status CheckRoom(const std::string& folder, int64_t bytes_needed) {
  ASSIGN_OR_RETURN(const int64_t bytes_free, FreeBytes(folder));
  if (bytes_free >= bytes_needed) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the new database needs ", bytes_needed,
                                                    " bytes, ", folder, " has ", bytes_free));
}

absl::Status RemoveLeftovers(const Places& places) {
  RETURN_IF_ERROR(RemoveDatabase(places.beside));
  return RemoveFile(places.file + ".mark.swap");
}

absl::Status Replace(StoreBuilder& builder, const Places& places) {
  const int64_t messages = builder.messages();
  RETURN_IF_ERROR(builder.Finish());
  ASSIGN_OR_RETURN(const queue::DatabaseInfo built, LookAtDatabase(places.beside, true));
  RETURN_IF_ERROR(WholeOr(built));
  if (built.messages() != messages) {
    return absl::InternalError(
        absl::StrCat(places.beside, " has ", built.messages(), " messages, not ", messages));
  }
  FaultPoint("queue.db.adopt.built");
  return SwapDatabase(places.file, places.beside, places.keep_as);
}

absl::Status GiveUp(const Places& places, const absl::Status& why) {
  RemoveLeftovers(places).IgnoreError();  // The next call does it too.
  // As long as the old one is in its place, nothing is kept of it elsewhere.
  if (!FileExists(places.keep_as) || IsSameFile(places.file, places.keep_as)) {
    RemoveDatabase(places.keep_as).IgnoreError();
  }
  return why;
}

}  // namespace salve
