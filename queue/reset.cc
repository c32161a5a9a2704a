#include "queue/reset.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "queue/adopt.h"
#include "queue/database.h"
#include "queue/replacement.h"
#include "queue/store_builder.h"

namespace salve {
namespace {

// The ends of the old one, and of each message that is thrown away.
absl::Status DiscardInto(const DatabaseSource& old, const queue::ResetReport& report,
                         absl::Time now, StoreBuilder& builder) {
  builder.ReserveIds(old.tables.meta.ids_reserved);
  for (const auto& [key, value] : old.tables.settings) builder.SetSetting(key, value);
  builder.SetSetting(kAnnounceSetting,
                     absl::StrCat("the queue's database was reset, ", report.discarded(),
                                  " messages were discarded; the old one (",
                                  report.former_signature(), ") is ", report.kept_as()));
  for (const bool told : {true, false}) {
    RETURN_IF_ERROR(ForEachEnded(*old.db, [&](EndedRow row) {
      if ((row.ended.number <= old.tables.meta.told) != told) return absl::OkStatus();
      return builder.AddEnded(std::move(row), told);
    }));
  }
  return ForEachMessage(*old.db, old.tables.queues, [&](StoredMessage stored) {
    return builder.AddEnded(
        EndOf(stored, Final::kRemoved,
              absl::StrCat("discarded by a reset; it is in ", report.kept_as()), now),
        /*told=*/false);
  });
}

absl::Status BuildEmpty(const DatabaseSource& old, absl::Time now, const Places& places,
                        queue::ResetReport& report) {
  ASSIGN_OR_RETURN(const std::unique_ptr<StoreBuilder> builder,
                   StoreBuilder::Create(
                       places.beside, {old.info.server(), old.info.group(), old.info.role()}, now));
  RETURN_IF_ERROR(DiscardInto(old, report, now, *builder));
  report.set_signature(builder->signature());
  return Replace(*builder, places);
}

}  // namespace

absl::StatusOr<queue::ResetReport> ResetDatabase(const ResetOptions& options) {
  const std::string file = StateDatabase(options.state_dir);
  ASSIGN_OR_RETURN(const FolderLock lock,
                   FolderLock::Take(options.state_dir, FolderLock::For::kState));
  const Places places{
      file, file + ".resetting",
      absl::StrCat(file, ".discarded-",
                   absl::FormatTime("%Y%m%dT%H%M%SZ", options.now, absl::UTCTimeZone()))};
  RETURN_IF_ERROR(RemoveLeftovers(places));
  ASSIGN_OR_RETURN(const std::optional<DatabaseSource> old, OpenState(options.state_dir));
  if (!old.has_value()) return absl::NotFoundError(file + " is not there: salved makes one");
  if (old->info.messages() != options.discard) {
    return absl::AbortedError(absl::StrCat(file, " has ", old->info.messages(),
                                           " messages: --discard ", old->info.messages(),
                                           " throws exactly these away"));
  }
  queue::ResetReport report;
  report.set_former_signature(old->info.signature());
  report.set_discarded(options.discard);
  report.set_kept_as(places.keep_as);
  if (FileExists(report.kept_as()) && !IsSameFile(file, report.kept_as())) {
    return absl::FailedPreconditionError(report.kept_as() + " is there already");
  }
  RETURN_IF_ERROR(CheckRoom(options.state_dir, old->info.bytes()));
  const absl::Status reset = BuildEmpty(*old, options.now, places, report);
  if (!reset.ok()) return GiveUp(places, reset);
  return report;
}

}  // namespace salve
