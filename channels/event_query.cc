#include "channels/event_query.h"

#include <sqlite3.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "channels/event_database.h"
#include "channels/event_filter.h"
#include "channels/sqlite.h"

namespace salve {
namespace {

constexpr int kLimitDefault = 100;
constexpr int kLimitMax = 10'000;
constexpr size_t kIdleConnectionsMax = 1;  // Memory: each holds a page cache.
constexpr int kInstructionsBetweenLooks = 4'000;

size_t LimitOf(const v1::QueryEventsRequest& request) {
  return request.limit() == 0 ? kLimitDefault : request.limit();
}

absl::Status Check(const v1::QueryEventsRequest& request) {
  if (request.limit() < 0 || request.limit() > kLimitMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("limit: ", request.limit(), " is not in [0, ", kLimitMax, "]"));
  }
  if (request.record_id_size() > kLimitMax) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kLimitMax, " record ids"));
  }
  for (const int channel : request.channel()) {
    if (channel == 0 || !v1::Channel_IsValid(channel)) {
      return absl::InvalidArgumentError(absl::StrCat("there is no channel ", channel));
    }
  }
  return absl::OkStatus();
}

// What came from a server is of one kind only: so the index of kinds finds it.
v1::QueryEventsRequest Narrowed(v1::QueryEventsRequest request) {
  if (request.origin_server().empty()) return request;
  if (request.channel().empty()) request.add_channel(v1::Queue);
  if (request.event_id().empty()) request.add_event_id(kReceivedEventId);
  return request;
}

// The newest record ids that were offered, up to a limit.
class Newest {
 public:
  explicit Newest(size_t limit) : limit_(limit) {}

  // Whether an id so old can still be among them.
  bool Wants(int64_t id) const { return ids_.size() < limit_ || id > ids_.top(); }
  void Offer(int64_t id) {
    if (!Wants(id)) return;
    ids_.push(id);
    if (ids_.size() > limit_) ids_.pop();
  }
  std::vector<int64_t> TakeAscending() {
    std::vector<int64_t> ids;
    for (; !ids_.empty(); ids_.pop()) ids.push_back(ids_.top());
    return ids;
  }

 private:
  const size_t limit_;
  std::priority_queue<int64_t, std::vector<int64_t>, std::greater<>> ids_;  // Oldest on top.
};

struct IdRange {
  int64_t first = 0;
  int64_t last = std::numeric_limits<int64_t>::max();
};

// A connection with the questions that were prepared on it.
class Connection {
 public:
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& path,
                                                          uint64_t generation) {
    ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> sqlite,
                     SqliteConnection::Open(path, SqliteConnection::Mode::kReadOnly));
    RETURN_IF_ERROR(sqlite->Execute("PRAGMA query_only=1; PRAGMA cache_size=-1024"));
    return std::unique_ptr<Connection>(new Connection(std::move(sqlite), generation));
  }

  uint64_t generation() const { return generation_; }

  // The events in the file, oldest first. One snapshot of it for the whole question.
  absl::StatusOr<std::vector<v1::Event>> Ask(const v1::QueryEventsRequest& request,
                                             absl::Duration time_max) {
    end_ = clock_.Now() + time_max;
    sqlite3_progress_handler(sqlite_->handle(), kInstructionsBetweenLooks, &OutOfTime, this);
    RETURN_IF_ERROR(sqlite_->Execute("BEGIN"));
    absl::StatusOr<std::vector<v1::Event>> events = Find(request);
    for (auto& [sql, statement] : statements_) statement.Reset();
    (void)sqlite_->Execute("ROLLBACK");
    return events;
  }

 private:
  Connection(std::unique_ptr<SqliteConnection> sqlite, uint64_t generation)
      : sqlite_(std::move(sqlite)), generation_(generation) {}

  static int OutOfTime(void* self) {
    const auto* connection = static_cast<Connection*>(self);
    return connection->clock_.Now() >= connection->end_;
  }

  absl::StatusOr<SqliteStatement*> Statement(const char* sql) {
    const auto known = statements_.find(sql);
    if (known != statements_.end()) return &known->second;
    ASSIGN_OR_RETURN(SqliteStatement statement, sqlite_->Prepare(sql));
    return &statements_.emplace(sql, std::move(statement)).first->second;
  }

  absl::StatusOr<std::vector<v1::Event>> Find(const v1::QueryEventsRequest& request) {
    Newest newest(LimitOf(request));
    ASSIGN_OR_RETURN(const IdRange range, RangeOf(request));
    if (request.record_id_size() > 0) {
      // Asked for twice, an event is still one.
      const std::set<uint64_t> ids(request.record_id().begin(), request.record_id().end());
      for (const uint64_t id : ids) {
        RETURN_IF_ERROR(Walk(kById, static_cast<int64_t>(id), range, request, &newest));
      }
    } else if (!request.incident_id().empty()) {
      RETURN_IF_ERROR(
          Walk(kByIncident, IncidentKey(request.incident_id()), range, request, &newest));
    } else if (!request.health_set().empty() || !request.name().empty()) {
      RETURN_IF_ERROR(WalkItems(range, request, &newest));
    } else if (request.channel_size() > 0 || request.event_id_size() > 0) {
      ASSIGN_OR_RETURN(const std::vector<int64_t> kinds, KindsOf(request));
      for (const int64_t kind : kinds) {
        RETURN_IF_ERROR(Walk(kByKind, kind, range, request, &newest));
      }
    } else {
      RETURN_IF_ERROR(Walk(kAll, int64_t{0}, range, request, &newest));
    }
    return Fetch(newest.TakeAscending());
  }

  // The record ids between which all events of that time lie.
  absl::StatusOr<IdRange> RangeOf(const v1::QueryEventsRequest& request) {
    IdRange range;
    if (request.has_since()) {
      ASSIGN_OR_RETURN(SqliteStatement * find,
                       Statement("SELECT block FROM blocks WHERE latest >= ? "
                                 "ORDER BY block LIMIT 1"));
      find->Bind(1, TimeNanos(request.since()));
      ASSIGN_OR_RETURN(const bool row, find->Step());
      if (!row) return IdRange{.first = 1, .last = 0};
      range.first = find->Integer(0) * kRecordsPerBlock;
    }
    if (request.has_until()) {
      ASSIGN_OR_RETURN(SqliteStatement * find,
                       Statement("SELECT block FROM blocks WHERE earliest < ? "
                                 "ORDER BY block DESC LIMIT 1"));
      find->Bind(1, TimeNanos(request.until()));
      ASSIGN_OR_RETURN(const bool row, find->Step());
      if (!row) return IdRange{.first = 1, .last = 0};
      range.last = find->Integer(0) * kRecordsPerBlock + kRecordsPerBlock - 1;
    }
    return range;
  }

  // What a set or a name means: by the index of items, but looks by that of their kinds.
  absl::Status WalkItems(IdRange range, const v1::QueryEventsRequest& request, Newest* newest) {
    ASSIGN_OR_RETURN(const std::vector<int64_t> items, ItemsOf(request));
    std::vector<int64_t> looked_at;
    for (const int64_t item : items) {
      if (item < 0) {
        looked_at.push_back(item);
      } else {
        RETURN_IF_ERROR(Walk(kByItem, item, range, request, newest));
      }
    }
    if (looked_at.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::vector<int64_t> kinds, KindsOf(request));
    for (const int64_t kind : kinds) {
      if (ChannelOfKind(kind) != v1::ProbeResult) continue;
      RETURN_IF_ERROR(WalkLooks(kind, looked_at, range, request, newest));
    }
    return absl::OkStatus();
  }

  // Reads the index alone, which is a few hundred thousand looks in the blink of an eye.
  absl::Status WalkLooks(int64_t kind, std::vector<int64_t> items, IdRange range,
                         const v1::QueryEventsRequest& request, Newest* newest) {
    std::sort(items.begin(), items.end());
    ASSIGN_OR_RETURN(SqliteStatement * walk,
                     Statement("SELECT record_id, item FROM events INDEXED BY events_by_kind "
                               "WHERE kind = ?1 AND record_id BETWEEN ?2 AND ?3 "
                               "AND item BETWEEN ?4 AND ?5 ORDER BY record_id DESC"));
    walk->Bind(1, kind);
    walk->Bind(2, range.first);
    walk->Bind(3, range.last);
    walk->Bind(4, items.front());
    walk->Bind(5, items.back());
    const bool looks_at_time = request.has_since() || request.has_until();
    while (true) {
      ASSIGN_OR_RETURN(const bool row, walk->Step());
      if (!row) return absl::OkStatus();
      const int64_t id = walk->Integer(0);
      if (!newest->Wants(id)) break;
      if (!std::binary_search(items.begin(), items.end(), walk->Integer(1))) continue;
      if (looks_at_time) {
        ASSIGN_OR_RETURN(const std::optional<v1::Event> event, EventAt(id));
        if (!event.has_value() || !Matches(request, *event)) continue;
      }
      newest->Offer(id);
    }
    walk->Reset();
    return absl::OkStatus();
  }

  // Negative ones are of ProbeResult.
  absl::StatusOr<std::vector<int64_t>> ItemsOf(const v1::QueryEventsRequest& request) {
    ASSIGN_OR_RETURN(SqliteStatement * find,
                     Statement("SELECT id, channel FROM items WHERE (?1 = '' OR health_set = ?1) "
                               "AND (?2 = '' OR name = ?2)"));
    find->BindText(1, request.health_set());
    find->BindText(2, request.name());
    std::vector<int64_t> items;
    while (true) {
      ASSIGN_OR_RETURN(const bool row, find->Step());
      if (!row) return items;
      const int64_t id = find->Integer(0);
      const int64_t channel = find->Integer(1);
      if (Wanted(request.channel(), channel)) {
        items.push_back(channel == v1::ProbeResult ? -id : id);
      }
    }
  }

  // The kinds that there are, found by a jump from each to the next.
  absl::StatusOr<std::vector<int64_t>> KindsOf(const v1::QueryEventsRequest& request) {
    ASSIGN_OR_RETURN(SqliteStatement * next,
                     Statement("SELECT kind FROM events INDEXED BY events_by_kind "
                               "WHERE kind > ? ORDER BY kind LIMIT 1"));
    std::vector<int64_t> kinds;
    int64_t kind = -1;
    while (true) {
      next->Bind(1, kind);
      ASSIGN_OR_RETURN(const bool row, next->Step());
      if (!row) return kinds;
      kind = next->Integer(0);
      next->Reset();
      if (Wanted(request.channel(), ChannelOfKind(kind)) && WantedEventId(request, kind)) {
        kinds.push_back(kind);
      }
    }
  }

  template <typename Values>
  static bool Wanted(const Values& wanted, int64_t value) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
  }
  static bool WantedEventId(const v1::QueryEventsRequest& request, int64_t kind) {
    return Wanted(request.event_id(), kind & 0xffff);
  }

  // Each goes through the record ids of one key, the newest first, with what the other filters
  // need: ?1 the key, ?2 and ?3 the range.
  static constexpr char kByKind[] =
      "SELECT record_id, kind, time FROM events INDEXED BY events_by_kind "
      "WHERE kind = ?1 AND record_id BETWEEN ?2 AND ?3 ORDER BY record_id DESC";
  static constexpr char kByItem[] =
      "SELECT record_id, kind, time FROM events INDEXED BY events_by_item "
      "WHERE item = ?1 AND item > 0 AND record_id BETWEEN ?2 AND ?3 ORDER BY record_id DESC";
  static constexpr char kByIncident[] =
      "SELECT record_id, kind, time, item FROM events INDEXED BY events_by_incident "
      "WHERE incident = ?1 AND record_id BETWEEN ?2 AND ?3 ORDER BY record_id DESC";
  static constexpr char kById[] =
      "SELECT record_id, kind, time, item FROM events "
      "WHERE record_id = ?1 AND record_id BETWEEN ?2 AND ?3";
  static constexpr char kAll[] =
      "SELECT record_id, kind, time FROM events "
      "WHERE ?1 = 0 AND record_id BETWEEN ?2 AND ?3 ORDER BY record_id DESC";

  template <typename Key>
  absl::Status Walk(const char* sql, const Key& key, IdRange range,
                    const v1::QueryEventsRequest& request, Newest* newest) {
    ASSIGN_OR_RETURN(SqliteStatement * walk, Statement(sql));
    if constexpr (std::is_same_v<Key, std::string>) {
      walk->BindBlob(1, key);
    } else {
      walk->Bind(1, key);
    }
    walk->Bind(2, range.first);
    walk->Bind(3, range.last);
    while (true) {
      ASSIGN_OR_RETURN(const bool row, walk->Step());
      if (!row) return absl::OkStatus();
      const int64_t id = walk->Integer(0);
      if (!newest->Wants(id)) break;
      ASSIGN_OR_RETURN(const bool matches, RowMatches(sql, walk, request));
      if (matches) newest->Offer(id);
    }
    walk->Reset();
    return absl::OkStatus();
  }

  absl::StatusOr<bool> RowMatches(const char* sql, SqliteStatement* row,
                                  const v1::QueryEventsRequest& request) {
    const int64_t kind = row->Integer(1);
    const int64_t time = row->Integer(2);
    if (!Wanted(request.channel(), ChannelOfKind(kind)) || !WantedEventId(request, kind)) {
      return false;
    }
    if (request.has_since() && time < TimeNanos(request.since())) return false;
    if (request.has_until() && time >= TimeNanos(request.until())) return false;
    // Where the index did not look at the set, the name, the incident or the origin, the event
    // itself must.
    const bool looks_inside =
        sql == kById || !request.origin_server().empty() ||
        (sql == kByIncident && (!request.health_set().empty() || !request.name().empty()));
    if (!looks_inside) return true;
    ASSIGN_OR_RETURN(const std::optional<v1::Event> event, EventAt(row->Integer(0)));
    return event.has_value() && Matches(request, *event);
  }

  // Nothing when it can't be read: one bad record is no reason to answer nothing at all.
  absl::StatusOr<std::optional<v1::Event>> EventAt(int64_t id) {
    ASSIGN_OR_RETURN(SqliteStatement * find,
                     Statement("SELECT payload FROM events WHERE record_id = ?"));
    find->Bind(1, id);
    ASSIGN_OR_RETURN(const bool row, find->Step());
    v1::Event event;
    const absl::string_view payload = row ? find->Bytes(0) : absl::string_view();
    const bool parsed =
        row && event.ParseFromArray(payload.data(), static_cast<int>(payload.size()));
    find->Reset();
    if (!parsed) return std::optional<v1::Event>();
    return std::optional<v1::Event>(std::move(event));
  }

  absl::StatusOr<std::vector<v1::Event>> Fetch(const std::vector<int64_t>& ids) {
    std::vector<v1::Event> events;
    events.reserve(ids.size());
    for (const int64_t id : ids) {
      ASSIGN_OR_RETURN(std::optional<v1::Event> event, EventAt(id));
      if (event.has_value()) events.push_back(*std::move(event));
    }
    return events;
  }

  const std::unique_ptr<SqliteConnection> sqlite_;
  const uint64_t generation_;
  const SystemClock clock_;  // How long a question may take is real time, in a test as well.
  Instant end_;
  std::unordered_map<const char*, SqliteStatement> statements_;  // Go before the connection.
};

}  // namespace

class EventReader::Connections {
 public:
  explicit Connections(EventReaderOptions options) : options_(options) {}

  // A connection to the file of that generation; waits while all are in use.
  absl::StatusOr<std::unique_ptr<Connection>> Take(const std::string& path, uint64_t generation)
      ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(&mu_);
      while (in_use_ >= options_.connections_max) {
        if (!given_back_.WaitFor(&mu_, options_.query_time_max)) {
          return absl::DeadlineExceededError("too many questions at once");
        }
      }
      ++in_use_;
      std::erase_if(idle_, [&](const auto& idle) { return idle->generation() != generation; });
      if (!idle_.empty()) {
        std::unique_ptr<Connection> connection = std::move(idle_.back());
        idle_.pop_back();
        return connection;
      }
    }
    absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Open(path, generation);
    if (!connection.ok()) GiveBack(nullptr);
    return connection;
  }

  // `connection` may be null: it was not fit to be used again.
  void GiveBack(std::unique_ptr<Connection> connection) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    --in_use_;
    if (connection != nullptr && idle_.size() < kIdleConnectionsMax) {
      idle_.push_back(std::move(connection));
    }
    given_back_.SignalAll();
  }

  absl::Duration query_time_max() const { return options_.query_time_max; }

 private:
  const EventReaderOptions options_;
  Mutex mu_;
  CondVar given_back_;
  size_t in_use_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::unique_ptr<Connection>> idle_ ABSL_GUARDED_BY(mu_);
};

EventReader::EventReader(EventStore& store, EventReaderOptions options)
    : store_(store), connections_(std::make_unique<Connections>(options)) {}

EventReader::~EventReader() = default;

absl::StatusOr<std::vector<v1::Event>> EventReader::FromFile(const v1::QueryEventsRequest& request,
                                                             uint64_t generation) {
  if (generation == 0) return std::vector<v1::Event>();
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                   connections_->Take(store_.path_, generation));
  absl::StatusOr<std::vector<v1::Event>> events =
      connection->Ask(Narrowed(request), connections_->query_time_max());
  connections_->GiveBack(events.ok() ? std::move(connection) : nullptr);
  return events;
}

absl::StatusOr<std::vector<v1::Event>> EventReader::Query(const v1::QueryEventsRequest& request) {
  RETURN_IF_ERROR(Check(request));
  const std::vector<SharedEvent> unwritten = store_.queue_.Unwritten(request);
  const uint64_t generation = store_.file_generation();
  absl::StatusOr<std::vector<v1::Event>> events = FromFile(request, generation);
  if (absl::IsDataLoss(events.status())) {
    store_.ReportDamage(generation);
    return absl::UnavailableError(absl::StrCat(
        store_.path_, " is damaged and will be set aside: ", events.status().message()));
  }
  if (absl::IsDeadlineExceeded(events.status())) {
    return absl::DeadlineExceededError("the question takes too long: narrow it");
  }
  RETURN_IF_ERROR(events.status());
  // Written meanwhile, an event is in both; what is only in memory is newer than the file.
  const uint64_t newest_in_file = events->empty() ? 0 : events->back().record_id();
  for (const SharedEvent& event : unwritten) {
    if (event->record_id() > newest_in_file) events->push_back(*event);
  }
  const size_t limit = LimitOf(request);
  if (events->size() > limit) events->erase(events->begin(), events->end() - limit);
  return events;
}

absl::StatusOr<std::unique_ptr<EventSubscription>> EventReader::Tail(
    const v1::QueryEventsRequest& request) {
  RETURN_IF_ERROR(Check(request));
  // Listens first and asks then: what comes between is in both, and the subscription leaves out
  // what the answer has.
  std::shared_ptr<SubscriptionQueue> queue = store_.queue_.Subscribe(request);
  if (queue == nullptr) return absl::ResourceExhaustedError("too many follow the events already");
  absl::StatusOr<std::vector<v1::Event>> first = Query(request);
  if (!first.ok()) {
    queue->Close();
    return first.status();
  }
  return std::make_unique<EventSubscription>(std::move(queue), *std::move(first));
}

}  // namespace salve
