#include "channels/event_upkeep.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr size_t kRowsPerStep = 1'000;
constexpr int kStepsBetweenForgetting = 60;

// A bound that was lowered while the agent was down must be found out, too.
std::string AgeFact(v1::Channel channel) { return absl::StrCat("age_seconds.", int{channel}); }
std::string BytesFact(v1::Channel channel) { return absl::StrCat("bytes.", int{channel}); }
constexpr char kGivesBackFact[] = "gives_back_pages";

}  // namespace

absl::Status EventUpkeep::SetRetention(RetentionTable retention) {
  retention_ = std::move(retention);
  sweeps_.clear();
  ASSIGN_OR_RETURN(int64_t gives_back, database_.Fact(kGivesBackFact));
  RETURN_IF_ERROR(database_.Begin());
  absl::Status status;
  for (const auto& [channel, bound] : retention_) {
    const std::pair<std::string, int64_t> facts[] = {
        {AgeFact(channel), absl::ToInt64Seconds(bound.age)},
        {BytesFact(channel), static_cast<int64_t>(bound.bytes)}};
    for (const auto& [name, value] : facts) {
      absl::StatusOr<int64_t> before = database_.Fact(name);
      if (!before.ok()) return database_.Rollback(before.status());
      if (value < *before) gives_back = 1;
      if (status.ok() && value != *before) status = database_.SetFact(name, value);
    }
  }
  if (status.ok()) status = database_.SetFact(kGivesBackFact, gives_back);
  if (status.ok()) status = database_.Commit();
  if (!status.ok()) return database_.Rollback(status);
  gives_back_pages_ = gives_back != 0;
  return absl::OkStatus();
}

int64_t EventUpkeep::BytesOver(v1::Channel channel) const {
  const auto bound = retention_.find(channel);
  const auto size = database_.sizes().find(channel);
  if (bound == retention_.end() || size == database_.sizes().end()) return 0;
  return std::max<int64_t>(0, size->second.bytes - static_cast<int64_t>(bound->second.bytes));
}

bool EventUpkeep::over_bytes() const {
  for (const auto& [channel, bound] : retention_) {
    if (BytesOver(channel) > 0) return true;
  }
  return false;
}

absl::StatusOr<bool> EventUpkeep::Step(absl::Time now) {
  bool more = false;
  for (const auto& [channel, bound] : retention_) {
    const auto size = database_.sizes().find(channel);
    if (size == database_.sizes().end() || size->second.rows == 0) continue;
    ASSIGN_OR_RETURN(const bool more_of_channel, Trim(channel, now));
    more = more || more_of_channel;
  }
  if (++steps_ % kStepsBetweenForgetting == 0) RETURN_IF_ERROR(ForgetUnused());
  if (more || !gives_back_pages_) return more;
  return GiveBackPages();
}

absl::StatusOr<bool> EventUpkeep::Trim(v1::Channel channel, absl::Time now) {
  Sweep& sweep = sweeps_[channel];
  ASSIGN_OR_RETURN(const Doomed doomed, Judge(channel, now));
  if (!doomed.rows.empty()) {
    RETURN_IF_ERROR(Delete(channel, doomed.rows));
    sweep.deleted = true;
  }
  if (!doomed.at_end) {
    sweep.after = doomed.last_seen;
    return true;
  }
  const bool over = BytesOver(channel) > 0;
  const bool squeezes_next = over && !sweep.deleted && !sweep.squeezing;
  const bool deleted = sweep.deleted;
  sweep = {.after = 0, .deleted = false, .squeezing = squeezes_next};
  return over && (deleted || squeezes_next);
}

absl::StatusOr<EventUpkeep::Doomed> EventUpkeep::Judge(v1::Channel channel, absl::Time now) {
  const Sweep& sweep = sweeps_[channel];
  const int64_t expired_before = absl::ToUnixNanos(now - retention_[channel].age);
  int64_t excess = BytesOver(channel);
  ASSIGN_OR_RETURN(const std::vector<Row> rows, OldestRows(channel, sweep.after));
  Doomed doomed;
  for (const Row& row : rows) {
    if (excess <= 0 && row.time >= expired_before) return doomed;
    doomed.last_seen = row.record_id;
    if (KeepsNewestOfItem(channel) && !(sweep.squeezing && excess > 0)) {
      ASSIGN_OR_RETURN(const bool kept, IsNewestOfItem(row));
      if (kept) continue;
    }
    excess -= row.bytes;
    doomed.rows.push_back(row);
  }
  doomed.at_end = rows.size() < kRowsPerStep;
  return doomed;
}

absl::StatusOr<std::vector<int64_t>> EventUpkeep::KindsOf(v1::Channel channel) {
  ASSIGN_OR_RETURN(SqliteStatement * next,
                   database_.Statement("SELECT kind FROM events INDEXED BY events_by_kind "
                                       "WHERE kind >= ? AND kind < ? ORDER BY kind LIMIT 1"));
  std::vector<int64_t> kinds;
  int64_t from = KindOf(channel, 0);
  while (true) {
    next->Bind(1, from);
    next->Bind(2, (int64_t{channel} + 1) * 65536);
    ASSIGN_OR_RETURN(const bool row, next->Step());
    if (!row) return kinds;
    kinds.push_back(next->Integer(0));
    from = kinds.back() + 1;
    next->Reset();
  }
}

absl::StatusOr<std::vector<EventUpkeep::Row>> EventUpkeep::OldestRows(v1::Channel channel,
                                                                      int64_t after) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> kinds, KindsOf(channel));
  ASSIGN_OR_RETURN(SqliteStatement * oldest,
                   database_.Statement("SELECT record_id, time, item, length(payload) FROM events "
                                       "INDEXED BY events_by_kind WHERE kind = ? AND record_id > ? "
                                       "ORDER BY record_id LIMIT ?"));
  std::vector<Row> rows;
  for (const int64_t kind : kinds) {
    oldest->Bind(1, kind);
    oldest->Bind(2, after);
    oldest->Bind(3, kRowsPerStep);
    while (true) {
      ASSIGN_OR_RETURN(const bool row, oldest->Step());
      if (!row) break;
      rows.push_back({.record_id = oldest->Integer(0),
                      .time = oldest->Integer(1),
                      .item = oldest->Integer(2),
                      .bytes = oldest->Integer(3) + EventDatabase::kRowOverheadBytes});
    }
  }
  std::sort(rows.begin(), rows.end(),
            [](const Row& a, const Row& b) { return a.record_id < b.record_id; });
  if (rows.size() > kRowsPerStep) rows.resize(kRowsPerStep);
  return rows;
}

absl::StatusOr<bool> EventUpkeep::IsNewestOfItem(const Row& row) {
  ASSIGN_OR_RETURN(SqliteStatement * newer,
                   database_.Statement("SELECT 1 FROM events INDEXED BY events_by_item "
                                       "WHERE item = ? AND item > 0 AND record_id > ? LIMIT 1"));
  newer->Bind(1, row.item);
  newer->Bind(2, row.record_id);
  ASSIGN_OR_RETURN(const bool there_is, newer->Step());
  newer->Reset();
  return !there_is;
}

absl::Status EventUpkeep::Delete(v1::Channel channel, const std::vector<Row>& rows) {
  RETURN_IF_ERROR(database_.SetSynced(false));
  RETURN_IF_ERROR(database_.Begin());
  absl::StatusOr<SqliteStatement*> remove =
      database_.Statement("DELETE FROM events WHERE record_id = ?");
  if (!remove.ok()) return database_.Rollback(remove.status());
  for (const Row& row : rows) {
    (*remove)->Bind(1, row.record_id);
    if (absl::Status status = (*remove)->Run(); !status.ok()) return database_.Rollback(status);
    database_.AddSize(channel, -1, -row.bytes);
  }
  if (absl::Status status = database_.Commit(); !status.ok()) return database_.Rollback(status);
  return absl::OkStatus();
}

absl::Status EventUpkeep::ForgetUnused() {
  // Deletes among the next 1,000 rows of a table those that no event needs; returns how far it
  // has come, 0 at the end.
  const auto forget = [this](const char* page, const char* remove,
                             int64_t after) -> absl::StatusOr<int64_t> {
    ASSIGN_OR_RETURN(SqliteStatement * last, database_.Statement(page));
    last->Bind(1, after);
    ASSIGN_OR_RETURN(const bool row, last->Step());
    const bool at_end = !row || last->IsNull(0);
    const int64_t to = at_end ? 0 : last->Integer(0);
    last->Reset();
    if (at_end) return 0;
    ASSIGN_OR_RETURN(SqliteStatement * statement, database_.Statement(remove));
    statement->Bind(1, after);
    statement->Bind(2, to);
    RETURN_IF_ERROR(statement->Run());
    return to;
  };
  RETURN_IF_ERROR(database_.SetSynced(false));
  ASSIGN_OR_RETURN(
      const int64_t block,
      forget("SELECT max(block) FROM (SELECT block FROM blocks WHERE block > ? ORDER BY block "
             "LIMIT 1000)",
             "DELETE FROM blocks WHERE block > ? AND block <= ? AND NOT EXISTS (SELECT 1 FROM "
             "events WHERE record_id BETWEEN block * 4096 AND block * 4096 + 4095)",
             blocks_seen_to_));
  blocks_seen_to_ = block == 0 ? -1 : block;
  ASSIGN_OR_RETURN(
      items_seen_to_,
      forget("SELECT max(id) FROM (SELECT id FROM items WHERE id > ? ORDER BY id LIMIT 1000)",
             // Those of ProbeResult (4) stay: they are few, and no index says who needs them.
             "DELETE FROM items WHERE id > ? AND id <= ? AND channel <> 4 AND NOT EXISTS (SELECT 1 "
             "FROM events INDEXED BY events_by_item WHERE item = items.id AND item > 0)",
             items_seen_to_));
  if (database_.connection_->changes() > 0) database_.item_ids_.clear();
  return absl::OkStatus();
}

absl::StatusOr<bool> EventUpkeep::GiveBackPages() {
  RETURN_IF_ERROR(database_.SetSynced(false));
  RETURN_IF_ERROR(database_.connection_->Execute("PRAGMA incremental_vacuum(64)"));
  ASSIGN_OR_RETURN(const int64_t left,
                   database_.connection_->QueryInteger("PRAGMA freelist_count"));
  if (left > 0) return true;
  gives_back_pages_ = false;
  RETURN_IF_ERROR(database_.SetFact(kGivesBackFact, 0));
  return false;
}

}  // namespace salve
