#include "queue/message_store.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/host.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "channels/row_sum.h"
#include "queue/store_file.h"
#include "queue/store_queries.h"
#include "queue/store_transaction.h"

namespace salve {
namespace {

constexpr int64_t kWalBytes = 4 << 20;
// Counters of MIDs and DMIDs are taken from the file in blocks.
constexpr int64_t kIdsABlock = 4096;
// Free pages are given back when they are many, few at a time: each moves another page.
constexpr int64_t kFreePagesMin = 1024;
constexpr int kPagesGivenBack = 256;

absl::Status Named(const std::string& path, const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAlreadyExists:  // Its message is the MID.
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
      return status;
    default:
      return NamedBy(path, status);
  }
}

// What a DMID says of its server: at most 16 of A-Z 0-9 -, different for different servers.
std::string DmidServer(const std::string& server) {
  std::string name = absl::AsciiStrToUpper(server);
  bool is_itself = name.size() <= 16 && !name.empty();
  for (char& c : name) {
    if (absl::ascii_isupper(c) || absl::ascii_isdigit(c) || c == '-') continue;
    c = '-';
    is_itself = false;
  }
  if (is_itself) return name;
  const auto sum = static_cast<uint64_t>(RowSum().Add(absl::string_view(server)).value());
  return absl::AsciiStrToUpper(
      absl::StrCat(name.substr(0, 7), "-", absl::Hex(sum & 0xffffffff, absl::kZeroPad8)));
}

std::string Milliseconds(absl::Time now) {
  const auto ms = static_cast<uint64_t>(std::max<int64_t>(absl::ToUnixMillis(now), 0));
  return absl::StrCat(absl::Hex(ms & 0xffff'ffff'ffff, absl::kZeroPad12));
}

// A fault point of the kind of change too: "queue.accept.before" beside "queue.apply.before".
void Fault(const char* operation, const char* step) {
  FaultPoint(absl::StrCat("queue.apply.", step).c_str());
  FaultPoint(absl::StrCat("queue.", operation, ".", step).c_str());
}

const char* OperationOf(const Changes& changes) {
  if (!changes.ends.empty()) return "end";
  if (!changes.puts.empty()) return "accept";
  const bool begins = std::any_of(changes.updates.begin(), changes.updates.end(),
                                  [](const auto& update) { return update.delivering == true; });
  return begins ? "begin" : "change";
}

class SqliteMessageStore final : public MessageStore {
 public:
  explicit SqliteMessageStore(StoreOptions options)
      : options_(std::move(options)), path_(options_.path) {}
  absl::Status OpenFile();

  absl::StatusOr<std::vector<int64_t>> Apply(const Changes& changes, bool own) override;
  std::string NewMid(absl::Time now) override;
  std::string NewDmid(absl::Time now) override;

  absl::StatusOr<StoredMessage> Get(int64_t sequence) const override {
    return Checked(queries_->Get(sequence));
  }
  absl::StatusOr<StoredMessage> Find(const std::string& mid_or_dmid) const override;
  absl::StatusOr<std::optional<Ended>> FindEnded(const std::string& mid) const override;
  absl::StatusOr<std::optional<StoredMessage>> FindOrigin(const std::string& server,
                                                          const std::string& mid) const override {
    return Checked(queries_->ByOrigin(server, mid));
  }
  absl::StatusOr<std::optional<Ended>> FindEndedOrigin(const std::string& server,
                                                       const std::string& mid) const override;
  absl::StatusOr<std::vector<StoredMessage>> List(const std::string& queue, size_t limit,
                                                  int64_t offset) const override;
  absl::StatusOr<std::optional<StoredMessage>> Head(const std::string& queue) const override;
  absl::StatusOr<std::vector<StoredMessage>> ListAfter(int64_t sequence,
                                                       size_t limit) const override {
    return Checked(queries_->BySequence(sequence, limit, 0));
  }
  absl::StatusOr<std::vector<StoredMessage>> ListAfter(const std::string& queue, size_t limit,
                                                       const QueuePlace& after) const override {
    const std::optional<int64_t> number = NumberOf(queue);
    if (!number) return std::vector<StoredMessage>();
    return Checked(queries_->InQueueAfter(*number, limit, after));
  }
  absl::StatusOr<std::vector<StoredMessage>> Unsuspended(const std::string& queue, size_t limit,
                                                         absl::Time by) const override;
  absl::StatusOr<std::optional<std::string>> FindKey(const std::string& key) const override;
  absl::StatusOr<std::vector<StoredMessage>> Delivering() const override {
    return Checked(queries_->Delivering());
  }
  absl::StatusOr<std::vector<StoredMessage>> ExpiringBy(absl::Time when, size_t limit,
                                                        const ExpiryPlace& after) const override {
    return Checked(queries_->ExpiringBy(absl::ToUnixNanos(when), limit, after));
  }
  std::vector<QueueRow> Queues() const override;
  std::string Setting(const std::string& key) const override;

  absl::StatusOr<std::vector<Ended>> Untold(size_t limit) const override;
  absl::Status MarkTold(int64_t up_to_number) override;
  absl::Status Keep(absl::Time now, size_t limit) override;

  bool was_dirty() const override { return was_dirty_; }
  const std::string& signature() const override { return tables_.meta.signature; }
  int64_t last_ended() const override { return tables_.meta.last_ended; }
  int64_t commits() const override { return tables_.meta.commits; }
  int64_t bytes() const override;
  DiskRoom disk_room() const override;
  absl::Status Close() override;

 private:
  absl::Status OpenForReading();
  absl::Status OpenForWriting();
  absl::Status Begin();
  void LeaveClean();
  // Of one of SQLite's modes. What keeps it from all of the log is an error.
  absl::Status Checkpoint(absl::string_view mode);
  absl::Status TakeOver();
  absl::Status Prepare();

  // Runs `work` on a transaction and commits; on disk when it returns OK.
  template <typename Work>
  absl::Status Commit(const char* operation, bool own, Work work);
  template <typename Work>
  absl::Status TryCommit(const char* operation, Work& work);
  void WriteMark();
  void MakeReserve();
  int64_t NextId();
  std::optional<int64_t> NumberOf(const std::string& queue) const;
  template <typename T>
  absl::StatusOr<T> Checked(absl::StatusOr<T> result) const {
    if (result.ok() || absl::IsNotFound(result.status())) return result;
    return NamedBy(path_, result.status());
  }

  const StoreOptions options_;
  const std::string path_;
  bool was_dirty_ = false;
  std::unique_ptr<SqliteConnection> db_;
  std::unique_ptr<StoreWrites> writes_;
  std::unique_ptr<StoreQueries> queries_;
  std::unique_ptr<MarkFile> mark_;
  absl::Status mark_trouble_;
  StoreTables tables_;
  int64_t told_ = 0;  // Written with the next commit.
  int64_t next_id_ = 0;
};

absl::Status SqliteMessageStore::OpenFile() {
  ASSIGN_OR_RETURN(const bool exists, StoreExists(path_));
  if (!exists) {
    if (options_.read_only) return absl::NotFoundError(absl::StrCat(path_, ": is missing"));
    RandomSource system = SystemRandom();
    RandomSource& random = options_.random != nullptr ? *options_.random : system;
    MetaRow identity;
    identity.signature =
        absl::StrCat(absl::Hex(random(), absl::kZeroPad16), absl::Hex(random(), absl::kZeroPad16));
    identity.server = options_.server;
    identity.group = options_.group;
    identity.role = options_.role;
    // So that a file that takes another's place does not begin where that one began, should the
    // clock be wrong as well.
    identity.ids_reserved = static_cast<int64_t>(1 + random() % (1 << 20));
    RETURN_IF_ERROR(MakeStore(path_, identity));
  }
  ASSIGN_OR_RETURN(const Mark mark, CheckMarkAndLog(path_));
  was_dirty_ = !mark.clean;
  if (options_.read_only) {
    ASSIGN_OR_RETURN(db_, ExamineStore(path_));
  } else {
    ASSIGN_OR_RETURN(db_, ConnectStore(path_));
  }
  absl::Status status = LoadTables(*db_, tables_);
  if (status.ok()) status = CheckAgainstMark(tables_.meta, mark);
  if (absl::IsDataLoss(status)) {
    return absl::DataLossError(absl::StrCat(
        path_, ": damaged: ", status.message(),
        "; 'salvectl queue db verify' says more, 'salvectl queue db repair' makes the best of it"));
  }
  if (!status.ok()) return NamedBy(path_, status);
  told_ = tables_.meta.told;
  next_id_ = tables_.meta.ids_reserved;
  if (tables_.meta.server != options_.server && !options_.read_only && !options_.take_over) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": is the queue of server '", tables_.meta.server, "', not of '",
                     options_.server, "'; 'salvectl queue db adopt' takes it over"));
  }
  return options_.read_only ? OpenForReading() : OpenForWriting();
}

absl::Status SqliteMessageStore::OpenForReading() {
  absl::StatusOr<std::unique_ptr<StoreQueries>> queries = StoreQueries::Create(*db_, tables_);
  if (!queries.ok()) return NamedBy(path_, queries.status());
  queries_ = *std::move(queries);
  return absl::OkStatus();
}

absl::Status SqliteMessageStore::OpenForWriting() {
  struct stat wal;
  const bool has_log = stat(WalPath(path_).c_str(), &wal) == 0 && wal.st_size > 0;
  if (!was_dirty_ || !has_log) {
    // Zeros behind the end of a log are no part of it. Grown with the connection closed: SQLite
    // finds the log's end at open.
    db_.reset();
    absl::Status grown = GrowFile(WalPath(path_), kWalBytes);
    // A full disk: what is kept for it is as large.
    if (absl::IsResourceExhausted(grown) && unlink(ReservePath(path_).c_str()) == 0) {
      grown = GrowFile(WalPath(path_), kWalBytes);
    }
    RETURN_IF_ERROR(grown);
    ASSIGN_OR_RETURN(db_, ConnectStore(path_));
    ASSIGN_OR_RETURN(const int64_t commits, db_->QueryInteger("SELECT commits FROM meta"));
    if (commits != tables_.meta.commits) {
      return absl::UnavailableError(absl::StrCat(path_, ": another process has changed it"));
    }
  }
  ASSIGN_OR_RETURN(mark_, MarkFile::Open(MarkPath(path_)));
  const absl::Status begun = Begin();
  if (!begun.ok() && !was_dirty_) LeaveClean();
  return begun;
}

// An opening that fails is no crash. With a connection of its own: what failed may be that one.
void SqliteMessageStore::LeaveClean() {
  queries_.reset();
  writes_.reset();
  db_.reset();
  absl::StatusOr<std::unique_ptr<SqliteConnection>> db = ConnectStore(path_);
  if (!db.ok()) return;
  db_ = *std::move(db);
  Close().IgnoreError();
}

absl::Status SqliteMessageStore::Begin() {
  // What was found may be more than the mark said: from here on no less will do.
  RETURN_IF_ERROR(
      mark_->WriteSynced({.commits = tables_.meta.commits, .signature = tables_.meta.signature}));
  FaultPoint("queue.open.dirty");
  // A power loss may leave frames of its torn commit behind the end of the log. The log begins
  // anew, with other salts, before the next torn commit could seem to stand in front of them.
  RETURN_IF_ERROR(Checkpoint("RESTART"));
  RETURN_IF_ERROR(NamedBy(path_, Prepare()));
  MakeReserve();
  return TakeOver();
}

absl::Status SqliteMessageStore::Checkpoint(absl::string_view mode) {
  const std::string sql = absl::StrCat("PRAGMA wal_checkpoint(", mode, ")");
  absl::StatusOr<int64_t> busy = db_->QueryInteger(sql);
  // The file may have to grow by all of the log; the reserve is as large.
  if (absl::IsResourceExhausted(busy.status()) && unlink(ReservePath(path_).c_str()) == 0) {
    busy = db_->QueryInteger(sql);
  }
  if (!busy.ok()) return NamedBy(path_, busy.status());
  if (*busy == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(path_, ": its log is in use"));
}

absl::Status SqliteMessageStore::Prepare() {
  ASSIGN_OR_RETURN(writes_, StoreWrites::Create(*db_));
  ASSIGN_OR_RETURN(queries_, StoreQueries::Create(*db_, tables_));
  return absl::OkStatus();
}

absl::Status SqliteMessageStore::TakeOver() {
  const MetaRow& meta = tables_.meta;
  if (meta.server == options_.server && meta.group == options_.group &&
      meta.role == options_.role) {
    return absl::OkStatus();
  }
  return Commit("adopt", /*own=*/true, [this](StoreTransaction&) {
    tables_.meta.server = options_.server;
    tables_.meta.group = options_.group;
    tables_.meta.role = options_.role;
    return absl::OkStatus();
  });
}

template <typename Work>
absl::Status SqliteMessageStore::TryCommit(const char* operation, Work& work) {
  StoreTransaction transaction(*db_, *writes_, *queries_, tables_);
  absl::Status status = db_->Execute("BEGIN IMMEDIATE");
  if (status.ok()) status = work(transaction);
  if (status.ok()) {
    MetaRow& meta = tables_.meta;
    ++meta.commits;
    meta.told = std::max(meta.told, told_);
    if (next_id_ + kIdsABlock / 2 > meta.ids_reserved) meta.ids_reserved = next_id_ + kIdsABlock;
    status = transaction.Finish();
  }
  if (status.ok()) {
    Fault(operation, "written");
    status = db_->Execute("COMMIT");
  }
  if (status.ok()) return status;
  // Some errors have rolled back already; then there is nothing to end.
  db_->Execute("ROLLBACK").IgnoreError();
  transaction.Undo();
  return status;
}

template <typename Work>
absl::Status SqliteMessageStore::Commit(const char* operation, bool own, Work work) {
  if (options_.read_only) {
    return absl::FailedPreconditionError(absl::StrCat(path_, ": is open for reading only"));
  }
  if (db_->moved()) {
    return absl::UnavailableError(absl::StrCat(path_, ": was moved or removed while it is open"));
  }
  Fault(operation, "before");
  absl::Status status = TryCommit(operation, work);
  // The reserve is there for the moment when the disk is full: its blocks become the queue's.
  if (absl::IsResourceExhausted(status) && own && unlink(ReservePath(path_).c_str()) == 0) {
    status = TryCommit(operation, work);
  }
  if (!status.ok()) return Named(path_, status);
  Fault(operation, "committed");
  WriteMark();
  Fault(operation, "marked");
  return absl::OkStatus();
}

// A mark that can't be written makes no answer wrong: it then tells of fewer commits than there
// are. Tried again with the next commit, and told by Keep.
void SqliteMessageStore::WriteMark() {
  mark_trouble_ =
      mark_->Write({.commits = tables_.meta.commits, .signature = tables_.meta.signature});
}

absl::StatusOr<std::vector<int64_t>> SqliteMessageStore::Apply(const Changes& changes, bool own) {
  if (changes.puts.empty() && changes.updates.empty() && changes.ends.empty() &&
      changes.rename_queues.empty() && changes.suspend_queues.empty() && changes.settings.empty()) {
    return std::vector<int64_t>();
  }
  std::vector<int64_t> sequences;
  RETURN_IF_ERROR(
      Commit(OperationOf(changes), own, [&](StoreTransaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(sequences, transaction.Do(changes));
        return absl::OkStatus();
      }));
  return sequences;
}

int64_t SqliteMessageStore::NextId() {
  const int64_t id = next_id_++;
  if (id >= tables_.meta.ids_reserved && !options_.read_only) {
    // Failing, the block is taken with the commit that uses the id.
    Commit("reserve", /*own=*/true, [](StoreTransaction&) {
      return absl::OkStatus();
    }).IgnoreError();
  }
  return id;
}

std::string SqliteMessageStore::NewMid(absl::Time now) {
  return absl::StrCat(options_.server, "-", Milliseconds(now), "-", absl::Hex(NextId()));
}

std::string SqliteMessageStore::NewDmid(absl::Time now) {
  return absl::AsciiStrToUpper(absl::StrCat(DmidServer(options_.server), "-", Milliseconds(now),
                                            "-", absl::Hex(NextId() & 0xf'ffff'ffff)));
}

absl::StatusOr<StoredMessage> SqliteMessageStore::Find(const std::string& mid_or_dmid) const {
  ASSIGN_OR_RETURN(std::optional<StoredMessage> found, Checked(queries_->ByMid(mid_or_dmid)));
  if (!found) {
    ASSIGN_OR_RETURN(found, Checked(queries_->ByDmid(mid_or_dmid)));
  }
  if (!found) return absl::NotFoundError(absl::StrCat("no message '", mid_or_dmid, "'"));
  return *std::move(found);
}

absl::StatusOr<std::optional<Ended>> SqliteMessageStore::FindEnded(const std::string& mid) const {
  ASSIGN_OR_RETURN(std::optional<EndedRow> found, Checked(queries_->EndedByMid(mid)));
  if (!found) return std::nullopt;
  return std::move(found->ended);
}

absl::StatusOr<std::optional<Ended>> SqliteMessageStore::FindEndedOrigin(
    const std::string& server, const std::string& mid) const {
  ASSIGN_OR_RETURN(std::optional<EndedRow> found, Checked(queries_->EndedByOrigin(server, mid)));
  if (!found) return std::nullopt;
  return std::move(found->ended);
}

std::optional<int64_t> SqliteMessageStore::NumberOf(const std::string& queue) const {
  for (const auto& [number, state] : tables_.queues) {
    if (state.row.name == queue) return number;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<StoredMessage>> SqliteMessageStore::List(const std::string& queue,
                                                                    size_t limit,
                                                                    int64_t offset) const {
  if (queue.empty()) return Checked(queries_->BySequence(0, limit, offset));
  const std::optional<int64_t> number = NumberOf(queue);
  if (!number) return std::vector<StoredMessage>();
  return Checked(queries_->InQueue(*number, limit, offset));
}

absl::StatusOr<std::optional<StoredMessage>> SqliteMessageStore::Head(
    const std::string& queue) const {
  ASSIGN_OR_RETURN(std::vector<StoredMessage> first, Unsuspended(queue, 1, absl::InfinitePast()));
  if (first.empty()) return std::nullopt;
  return std::move(first.front());
}

absl::StatusOr<std::vector<StoredMessage>> SqliteMessageStore::Unsuspended(const std::string& queue,
                                                                           size_t limit,
                                                                           absl::Time by) const {
  const std::optional<int64_t> number = NumberOf(queue);
  if (!number) return std::vector<StoredMessage>();
  return Checked(queries_->Unsuspended(*number, limit, absl::ToUnixNanos(by)));
}

absl::StatusOr<std::optional<std::string>> SqliteMessageStore::FindKey(
    const std::string& key) const {
  if (key.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(const std::vector<StoredMessage> there, Checked(queries_->ByKey(key)));
  if (!there.empty()) return there.back().message.mid();
  ASSIGN_OR_RETURN(const std::optional<EndedRow> ended, Checked(queries_->EndedByKey(key)));
  if (!ended) return std::nullopt;
  return ended->ended.mid;
}

std::vector<QueueRow> SqliteMessageStore::Queues() const {
  std::vector<QueueRow> rows;
  for (const auto& [number, state] : tables_.queues) {
    if (state.row.messages != 0 || state.row.suspended) rows.push_back(state.row);
  }
  std::sort(rows.begin(), rows.end(),
            [](const QueueRow& a, const QueueRow& b) { return a.name < b.name; });
  return rows;
}

std::string SqliteMessageStore::Setting(const std::string& key) const {
  const auto found = tables_.settings.find(key);
  return found == tables_.settings.end() ? "" : found->second;
}

absl::StatusOr<std::vector<Ended>> SqliteMessageStore::Untold(size_t limit) const {
  ASSIGN_OR_RETURN(std::vector<EndedRow> rows,
                   Checked(queries_->EndedAfter(std::max(told_, tables_.meta.told), limit)));
  std::vector<Ended> ends;
  ends.reserve(rows.size());
  for (EndedRow& row : rows) ends.push_back(std::move(row.ended));
  return ends;
}

absl::Status SqliteMessageStore::MarkTold(int64_t up_to_number) {
  if (up_to_number > tables_.meta.last_ended) {
    return absl::InvalidArgumentError(
        absl::StrCat("no message has ended with the number ", up_to_number));
  }
  told_ = std::max(told_, up_to_number);
  return absl::OkStatus();
}

absl::Status SqliteMessageStore::Keep(absl::Time now, size_t limit) {
  if (options_.read_only) {
    return absl::FailedPreconditionError(absl::StrCat(path_, ": is open for reading only"));
  }
  const int64_t told = std::max(told_, tables_.meta.told);
  ASSIGN_OR_RETURN(const std::vector<EndedRow> over,
                   Checked(queries_->Forgettable(absl::ToUnixNanos(now), told, limit)));
  std::vector<int64_t> unused;
  for (const auto& [number, state] : tables_.queues) {
    if (state.row.messages == 0 && !state.row.suspended) unused.push_back(number);
  }
  if (!over.empty() || !unused.empty() || told > tables_.meta.told) {
    RETURN_IF_ERROR(
        Commit("keep", /*own=*/true, [&](StoreTransaction& transaction) -> absl::Status {
          RETURN_IF_ERROR(transaction.Forget(over));
          for (const int64_t number : unused) RETURN_IF_ERROR(transaction.DropQueue(number));
          return absl::OkStatus();
        }));
  }
  ASSIGN_OR_RETURN(const int64_t free_pages, Checked(db_->QueryInteger("PRAGMA freelist_count")));
  ASSIGN_OR_RETURN(const int64_t pages, Checked(db_->QueryInteger("PRAGMA page_count")));
  if (free_pages > kFreePagesMin && free_pages > pages / 4) {
    RETURN_IF_ERROR(NamedBy(
        path_, db_->Execute(absl::StrCat("PRAGMA incremental_vacuum(", kPagesGivenBack, ")"))));
  }
  sqlite3_wal_checkpoint_v2(db_->handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  MakeReserve();
  if (!mark_trouble_.ok()) WriteMark();
  return mark_trouble_;
}

void SqliteMessageStore::MakeReserve() {
  const std::string reserve = ReservePath(path_);
  struct stat there;
  if (stat(reserve.c_str(), &there) == 0 && there.st_size >= kReserveBytes) return;
  // Only with room to spare: it must not be what fills the disk again.
  struct statvfs disk;
  if (statvfs(path_.c_str(), &disk) != 0) return;
  if (disk.f_bavail * disk.f_frsize < static_cast<uint64_t>(4 * kReserveBytes)) return;
  if (!GrowFile(reserve, kReserveBytes).ok()) unlink(reserve.c_str());
}

MessageStore::DiskRoom SqliteMessageStore::disk_room() const {
  struct statvfs disk;
  if (statvfs(path_.c_str(), &disk) != 0) return {};
  return {static_cast<int64_t>(disk.f_bavail * disk.f_frsize),
          static_cast<int64_t>(disk.f_blocks * disk.f_frsize)};
}

int64_t SqliteMessageStore::bytes() const {
  int64_t sum = 0;
  for (const std::string& file : {path_, WalPath(path_)}) {
    struct stat there;
    if (stat(file.c_str(), &there) == 0) sum += there.st_size;
  }
  return sum;
}

absl::Status SqliteMessageStore::Close() {
  if (options_.read_only) return absl::OkStatus();
  if (told_ > tables_.meta.told) {
    RETURN_IF_ERROR(
        Commit("keep", /*own=*/true, [](StoreTransaction&) { return absl::OkStatus(); }));
  }
  // Into the file, which the mark then says, and away with the log: one that is left could be
  // replayed later over newer pages.
  RETURN_IF_ERROR(Checkpoint("FULL"));
  FaultPoint("queue.close.written");
  RETURN_IF_ERROR(mark_->WriteSynced(
      {.closing = true, .commits = tables_.meta.commits, .signature = tables_.meta.signature}));
  FaultPoint("queue.close.closing");
  RETURN_IF_ERROR(Checkpoint("TRUNCATE"));
  queries_.reset();
  writes_.reset();
  db_.reset();
  FaultPoint("queue.close.checkpointed");
  return mark_->WriteSynced(
      {.clean = true, .commits = tables_.meta.commits, .signature = tables_.meta.signature});
}

}  // namespace

absl::Time RememberedUntil(const queue::Message& message, absl::Time now) {
  return std::max(now + absl::Hours(48),
                  absl::FromUnixNanos(message.expires_ns()) + absl::Hours(1));
}

absl::StatusOr<std::unique_ptr<MessageStore>> MessageStore::Open(StoreOptions options) {
  auto store = std::make_unique<SqliteMessageStore>(std::move(options));
  RETURN_IF_ERROR(store->OpenFile());
  return store;
}

absl::StatusOr<bool> MessageStore::WasLeftDirty(const std::string& path) {
  ASSIGN_OR_RETURN(const bool exists, StoreExists(path));
  if (!exists) return false;
  ASSIGN_OR_RETURN(const Mark mark, CheckMarkAndLog(path));
  return !mark.clean;
}

}  // namespace salve
