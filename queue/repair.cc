#include "queue/repair.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fault.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "channels/sqlite.h"
#include "queue/adopt.h"
#include "queue/database.h"
#include "queue/manifest.h"
#include "queue/pack.h"
#include "queue/replacement.h"
#include "queue/store_builder.h"
#include "queue/store_file.h"
#include "queue/store_schema.h"
#include "queue/swap.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNamedMax = 20;  // Lost messages that the announcement names.

// What there is to read, as far as it goes.
class Salvage {
 public:
  Salvage(SqliteConnection& db, const StoreTables& tables, StoreBuilder& builder,
          queue::RepairReport& report)
      : db_(db), tables_(tables), builder_(builder), report_(report) {}

  absl::Status Run() {
    FindMessages();
    for (const auto& [sequence, mid] : found_) RETURN_IF_ERROR(TakeMessage(sequence, mid));
    FindEnds();
    for (const bool told : {true, false}) {
      for (const int64_t number : ends_) RETURN_IF_ERROR(TakeEnd(number, told));
    }
    if (ends_lost_ > 0) {
      report_.add_notes(absl::StrCat(ends_lost_,
                                     " messages that have ended are forgotten: such a "
                                     "one that is sent again is taken for new"));
    }
    for (const auto& [key, value] : tables_.settings) builder_.SetSetting(key, value);
    int64_t counted = 0;
    for (const auto& [number, state] : tables_.queues) {
      counted += state.row.messages;
      if (state.row.suspended) RETURN_IF_ERROR(builder_.SuspendQueue(state.row.name));
    }
    const int64_t seen = builder_.messages() + report_.lost_size();
    if (counted > seen) {
      report_.add_notes(absl::StrCat(counted - seen,
                                     " more messages are lost, of which not even "
                                     "the MID can be read"));
    }
    return absl::OkStatus();
  }

 private:
  // Runs a SELECT until its end or the first page that can't be read.
  void ReadUntilDamage(absl::string_view sql,
                       const std::function<void(const SqliteStatement&)>& each) {
    absl::StatusOr<SqliteStatement> statement = db_.Prepare(sql);
    if (!statement.ok()) return;
    for (;;) {
      const absl::StatusOr<bool> found = statement->Step();
      if (!found.ok() || !*found) return;
      each(*statement);
    }
  }

  // From both ends, over the table and over the indexes: a page that is damaged hides what stands
  // behind it from one of them only.
  void FindMessages() {
    const auto add = [this](const SqliteStatement& row) {
      std::string& mid = found_[row.Integer(0)];
      if (mid.empty()) mid = std::string(row.Bytes(1));
    };
    constexpr const char* kEach[] = {
        "SELECT sequence, mid FROM messages INDEXED BY by_mid ORDER BY mid",
        "SELECT sequence, mid FROM messages INDEXED BY by_mid ORDER BY mid DESC",
        "SELECT sequence, '' FROM messages INDEXED BY by_queue ORDER BY queue, rank, sequence",
        ("SELECT sequence, '' FROM messages INDEXED BY by_queue "
         "ORDER BY queue DESC, rank DESC, sequence DESC"),
        "SELECT sequence, mid FROM messages NOT INDEXED ORDER BY sequence",
        "SELECT sequence, mid FROM messages NOT INDEXED ORDER BY sequence DESC",
    };
    for (const char* sql : kEach) ReadUntilDamage(sql, add);
  }

  void FindEnds() {
    const auto add = [this](const SqliteStatement& row) { ends_.insert(row.Integer(0)); };
    for (const char* sql : {"SELECT number FROM ended NOT INDEXED ORDER BY number ASC",
                            "SELECT number FROM ended NOT INDEXED ORDER BY number DESC",
                            "SELECT number FROM ended INDEXED BY ended_by_mid ORDER BY mid"}) {
      ReadUntilDamage(sql, add);
    }
  }

  absl::StatusOr<StoredMessage> ReadMessage(int64_t sequence) {
    ASSIGN_OR_RETURN(SqliteStatement select,
                     db_.Prepare(absl::StrCat("SELECT ", kMessageColumns,
                                              " FROM messages NOT INDEXED WHERE sequence=?")));
    select.Bind(1, sequence);
    ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) return absl::DataLossError("not there");
    ASSIGN_OR_RETURN(const MessageRow row, ReadMessageRow(select));
    const auto queue = tables_.queues.find(row.queue);
    ASSIGN_OR_RETURN(StoredMessage stored,
                     ToStored(row, queue == tables_.queues.end() ? "" : queue->second.row.name));
    if (stored.queue.empty()) stored.queue = QueueOf(stored.message);
    return stored;
  }

  // Where the table of queues is lost; what waits is routed at the next start.
  static std::string QueueOf(const queue::Message& message) {
    if (message.has_dead()) return "dead";
    if (!message.poison_reason().empty()) return "poison";
    if (!message.unreachable_reason().empty()) return "unreachable";
    return "submission";
  }

  absl::Status TakeMessage(int64_t sequence, const std::string& mid) {
    const absl::StatusOr<StoredMessage> stored = ReadMessage(sequence);
    absl::Status status = stored.status();
    if (status.ok()) {
      status = builder_.AddMessage(*stored);
      const bool is_its_fault = absl::IsInvalidArgument(status) || absl::IsAlreadyExists(status);
      if (status.ok() || !is_its_fault) return status;
    }
    queue::LostMessage& lost = *report_.add_lost();
    lost.set_sequence(sequence);
    lost.set_mid(mid);
    return absl::OkStatus();
  }

  absl::StatusOr<EndedRow> ReadEnd(int64_t number) {
    ASSIGN_OR_RETURN(SqliteStatement select,
                     db_.Prepare(absl::StrCat("SELECT ", kEndedColumns,
                                              " FROM ended NOT INDEXED WHERE number=?")));
    select.Bind(1, number);
    ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) return absl::DataLossError("not there");
    return ReadEndedRow(select);
  }

  // One that can't be read any more may be taken a second time; a note says how many.
  absl::Status TakeEnd(int64_t number, bool told) {
    if ((number <= tables_.meta.told) != told) return absl::OkStatus();
    const absl::StatusOr<EndedRow> row = ReadEnd(number);
    if (row.ok()) {
      const absl::Status status = builder_.AddEnded(*row, told);
      if (!absl::IsAlreadyExists(status)) return status;
    }
    ++ends_lost_;
    return absl::OkStatus();
  }

  SqliteConnection& db_;
  const StoreTables& tables_;
  StoreBuilder& builder_;
  queue::RepairReport& report_;
  std::map<int64_t, std::string> found_;  // Sequence to MID, where an index has it.
  std::set<int64_t> ends_;
  int64_t ends_lost_ = 0;
};

// An earlier call that was killed in the middle of its swap: all is put back.
absl::Status Undo(const std::string& file) {
  const std::string prefix = fs::path(file).filename().string() + ".damaged-";
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(FolderOf(file), error)) {
    const std::string kept = absl::StrCat(FolderOf(file), "/", entry.path().filename().string());
    const std::string name = entry.path().filename().string();
    const bool is_database = absl::StartsWith(name, prefix) && !absl::EndsWith(name, "-wal") &&
                             !absl::EndsWith(name, ".mark");
    if (!is_database || !IsSameFile(file, kept)) continue;
    for (const char* suffix : {"-wal", ".mark"}) {
      if (FileExists(kept + suffix)) RETURN_IF_ERROR(RenameFile(kept + suffix, file + suffix));
    }
    RETURN_IF_ERROR(SyncFolder(FolderOf(file)));
    RETURN_IF_ERROR(RemoveFile(kept));
    return SyncFolder(FolderOf(file));
  }
  return error ? ErrnoStatus(error.value(), FolderOf(file)) : absl::OkStatus();
}

// As SwapDatabase, but of an old one whose mark and log are nothing to go by.
absl::Status Swap(const std::string& file, const std::string& fresh, const std::string& keep_as) {
  const std::string folder = FolderOf(file);
  MakeLike(fresh, file);
  RETURN_IF_ERROR(RemoveFile(fresh + "-wal"));
  RETURN_IF_ERROR(RemoveFile(keep_as + ".mark"));
  if (FileExists(file + ".mark")) {
    RETURN_IF_ERROR(CopyFile(file + ".mark", keep_as + ".mark").status());
  }
  if (link(file.c_str(), keep_as.c_str()) != 0) return ErrnoStatus(errno, keep_as);
  RETURN_IF_ERROR(SyncFolder(folder));
  FaultPoint("queue.db.swap.kept");
  if (FileExists(file + "-wal")) RETURN_IF_ERROR(RenameFile(file + "-wal", keep_as + "-wal"));
  RETURN_IF_ERROR(RemoveFile(file + "-shm"));
  MakeLike(fresh + ".mark", file);
  RETURN_IF_ERROR(RenameFile(fresh + ".mark", file + ".mark"));
  RETURN_IF_ERROR(SyncFolder(folder));
  FaultPoint("queue.db.swap.marked");
  RETURN_IF_ERROR(RenameFile(fresh, file));
  FaultPoint("queue.db.swap.renamed");
  return SyncFolder(folder);
}

std::string Announcement(const queue::RepairReport& report) {
  std::vector<std::string> lost;
  for (const queue::LostMessage& message : report.lost()) {
    if (lost.size() == kNamedMax) {
      lost.push_back("…");
      break;
    }
    lost.push_back(message.mid().empty() ? absl::StrCat("sequence ", message.sequence())
                                         : message.mid());
  }
  return absl::StrCat("the queue's database was repaired: ", report.messages(),
                      " messages were read, ", report.lost_size(), " lost",
                      lost.empty() ? "" : ": ", absl::StrJoin(lost, ", "),
                      report.commits_missing() > 0
                          ? absl::StrCat("; ", report.commits_missing(), " steps are missing")
                          : "",
                      report.notes().empty() ? "" : "; ", absl::StrJoin(report.notes(), "; "));
}

// Fills the builder with what can be read; nothing at all when SQLite can't open it.
absl::Status ReadInto(const std::string& file, const StoreTables& tables,
                      const absl::StatusOr<std::unique_ptr<SqliteConnection>>& db,
                      StoreBuilder& builder, queue::RepairReport& report) {
  builder.ReserveIds(tables.meta.ids_reserved);
  if (db.ok()) return Salvage(**db, tables, builder, report).Run();
  report.add_notes(absl::StrCat(file, " can't be opened at all: nothing was read (",
                                db.status().message(), ")"));
  return absl::OkStatus();
}

// The new one, checked.
absl::Status Build(const RepairOptions& options, const std::string& file, const std::string& fresh,
                   queue::RepairReport& report) {
  absl::StatusOr<std::unique_ptr<SqliteConnection>> db = ExamineStore(file);
  StoreTables tables;
  // What can't be read stays empty.
  if (db.ok()) LoadTables(**db, tables).IgnoreError();
  const MetaRow& meta = tables.meta;
  ASSIGN_OR_RETURN(
      const std::unique_ptr<StoreBuilder> builder,
      StoreBuilder::Create(fresh,
                           meta.server.empty()
                               ? StoreBuilder::Identity{options.server, options.group, kRole}
                               : StoreBuilder::Identity{meta.server, meta.group, meta.role},
                           options.now));
  RETURN_IF_ERROR(ReadInto(file, tables, db, *builder, report));
  report.set_messages(builder->messages());
  report.set_ended(builder->ended());
  builder->SetSetting(kAnnounceSetting, Announcement(report));
  RETURN_IF_ERROR(builder->Finish());
  ASSIGN_OR_RETURN(const queue::DatabaseInfo built, LookAtDatabase(fresh, true));
  RETURN_IF_ERROR(WholeOr(built));
  FaultPoint("queue.db.repair.built");
  return absl::OkStatus();
}

// Puts the old one back, as far as it goes; the next call does it too. Returns `why`.
absl::Status GiveUp(const std::string& file, const std::string& fresh, const std::string& keep_as,
                    const absl::Status& why) {
  Undo(file).IgnoreError();
  if (!FileExists(keep_as)) RemoveFile(keep_as + ".mark").IgnoreError();
  RemoveDatabase(fresh).IgnoreError();
  return why;
}

// A manifest tells of the database of that name alone.
bool IsOfPack(const std::string& file) {
  return fs::path(file).filename().string() == kQueueDatabase &&
         FileExists(absl::StrCat(FolderOf(file), "/", kManifestFile));
}

// What a pack's manifest has against a database that is whole; empty: nothing.
absl::StatusOr<std::string> ManifestComplaint(const std::string& folder) {
  const absl::StatusOr<std::optional<queue::Manifest>> manifest = ReadManifest(folder);
  if (absl::IsDataLoss(manifest.status())) return std::string(manifest.status().message());
  if (!manifest.ok()) return manifest.status();
  if (!manifest->has_value()) return "";
  if ((*manifest)->under_change_by() == kRepairing) return "an earlier repair was not ended";
  ASSIGN_OR_RETURN(const std::vector<std::string> faults, ManifestFaults(folder, **manifest));
  return absl::StrJoin(faults, "; ");
}

// What the latest repair has kept; empty: there was none.
std::string LastKept(const std::string& file) {
  const std::string prefix = fs::path(file).filename().string() + ".damaged-";
  std::string last;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(FolderOf(file), error)) {
    const std::string name = entry.path().filename().string();
    if (absl::StartsWith(name, prefix) && absl::EndsWith(name, "Z")) last = std::max(last, name);
  }
  return last.empty() ? "" : absl::StrCat(FolderOf(file), "/", last);
}

// What an earlier repair had to say, and no one may have read.
std::string AnnouncementIn(const std::string& file) {
  const absl::StatusOr<std::unique_ptr<SqliteConnection>> db = ExamineStore(file);
  StoreTables tables;
  if (!db.ok() || !LoadTables(**db, tables).ok()) return "";
  const auto found = tables.settings.find(kAnnounceSetting);
  return found == tables.settings.end() ? "" : found->second;
}

// Of a database that is whole there is only its manifest to mend: an earlier call was killed after
// its swap, or could not write it, and without this no tool would take that pack again.
absl::StatusOr<queue::RepairReport> RepairManifest(const std::string& file,
                                                   const queue::DatabaseInfo& info) {
  const std::string folder = FolderOf(file);
  std::string complaint;
  if (IsOfPack(file)) {
    ASSIGN_OR_RETURN(complaint, ManifestComplaint(folder));
  }
  if (complaint.empty()) {
    return absl::FailedPreconditionError(file + " is whole: there is nothing to repair");
  }
  queue::RepairReport report;
  report.set_file(file);
  report.set_kept_as(LastKept(file));
  report.set_messages(info.messages());
  report.set_ended(info.ended());
  report.add_notes(
      absl::StrCat(file, " is whole; the manifest of its pack was made anew: ", complaint));
  if (std::string said = AnnouncementIn(file); !said.empty()) report.add_notes(std::move(said));
  // The earlier call's rename may not be on the disk yet.
  RETURN_IF_ERROR(SyncFolder(folder));
  RETURN_IF_ERROR(RefreshManifest(folder));
  return report;
}

}  // namespace

absl::StatusOr<queue::RepairReport> RepairDatabase(const RepairOptions& options) {
  const std::string file = DatabaseFileOf(options.file);
  const std::string folder = FolderOf(file);
  const std::string fresh = file + ".repairing";
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Take(folder, FolderLock::For::kChange));
  RETURN_IF_ERROR(Undo(file));
  RETURN_IF_ERROR(RemoveDatabase(fresh));
  ASSIGN_OR_RETURN(const queue::DatabaseInfo info, LookAtDatabase(file, /*at_every_row=*/true));
  if (info.problems_size() == 0) return RepairManifest(file, info);
  RETURN_IF_ERROR(CheckRoom(folder, info.bytes() + info.log_bytes() + (8 << 20)));
  FaultPoint("queue.db.repair.begun");

  queue::RepairReport report;
  report.set_file(file);
  report.set_kept_as(absl::StrCat(
      file, ".damaged-", absl::FormatTime("%Y%m%dT%H%M%SZ", options.now, absl::UTCTimeZone())));
  if (info.mark_commits() > info.commits()) {
    report.set_commits_missing(info.mark_commits() - info.commits());
  }
  absl::Status status = Build(options, file, fresh, report);
  const bool is_of_pack = IsOfPack(file);
  if (status.ok() && is_of_pack) status = BeginRepair(folder);
  if (status.ok()) status = Swap(file, fresh, report.kept_as());
  if (!status.ok()) return GiveUp(file, fresh, report.kept_as(), status);
  if (is_of_pack) RETURN_IF_ERROR(RefreshManifest(folder));
  return report;
}

}  // namespace salve
