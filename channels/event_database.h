// EventDatabase: the SQLite file of an EventStore as its writer sees it. For one thread at a time.
//
// The tables (event_query.cc and event_upkeep.cc use them too):
//   events  record_id (key), kind (channel * 65536 + event id), time (ns since 1970), item,
//   incident
//           (16 bytes, or NULL), payload (the v1::Event). Indexes: (kind, record_id, item);
//           incident, where there is one; item, but not of ProbeResults. A thousand probes by turns
//           would touch a page each of an index by item, which is ten times the disk's work;
//           their questions go through the kind's index, which has the item in it.
//   items   id, channel, health_set, name: what events are about. The id is negative in the
//           events of ProbeResult.
//   blocks  the earliest and latest time in each 4,096 record ids. It turns a range of time into
//           one of record ids, and rightly so when the wall clock was stepped; an index on time
//           costs each insert more and can't say where the newest matching record ends.
//   sizes   rows and bytes of each channel, for retention.
//   facts   name, value: what else must outlive the process.
#ifndef SALVE_CHANNELS_EVENT_DATABASE_H_
#define SALVE_CHANNELS_EVENT_DATABASE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "api/events.pb.h"
#include "channels/event_queue.h"
#include "channels/sqlite.h"

namespace salve {

inline constexpr int64_t kRecordsPerBlock = 4096;

int64_t KindOf(v1::Channel channel, int event_id);
inline v1::Channel ChannelOfKind(int64_t kind) { return static_cast<v1::Channel>(kind >> 16); }
// The 16 bytes of 32 hex digits; any other text as it is.
std::string IncidentKey(const std::string& incident_id);

struct ChannelSize {
  int64_t rows = 0;
  int64_t bytes = 0;
};

class EventDatabase {
 public:
  // What a row costs beside its payload, indexes included: about so much was measured.
  static constexpr int64_t kRowOverheadBytes = 80;

  // Opens the file, or creates it (mode 0640). Errors: kDataLoss: damaged, another program's, or of
  // a newer version; kResourceExhausted: disk full; kUnavailable: can't be opened or written.
  static absl::StatusOr<std::unique_ptr<EventDatabase>> Open(const std::string& path);

  // Writes all or nothing. Events that are there already are left as they are. `synced`: they
  // outlive a power loss when this returns. Errors: as Open.
  absl::Status Write(const std::vector<QueuedEvent>& events, bool synced);

  uint64_t newest_record_id() const { return newest_record_id_; }  // 0: none.
  const std::map<v1::Channel, ChannelSize>& sizes() const { return sizes_; }
  bool moved() const { return connection_->moved(); }  // Removed or replaced by somebody.

 private:
  friend class EventUpkeep;

  explicit EventDatabase(std::unique_ptr<SqliteConnection> connection)
      : connection_(std::move(connection)) {}

  absl::Status Initialize();
  absl::Status Load();
  absl::Status SetSynced(bool synced);
  absl::Status WriteRows(const std::vector<QueuedEvent>& events);
  absl::Status WriteRow(const v1::Event& event);
  absl::StatusOr<int64_t> ItemOf(const v1::Event& event);

  // A transaction: rows change between Begin and Commit, which also writes what AddSize and
  // AddTime were told; Rollback undoes all of it and hands `why` on.
  absl::Status Begin();
  absl::Status Commit();
  absl::Status Rollback(absl::Status why);
  void AddSize(v1::Channel channel, int64_t rows, int64_t bytes);

  // The statement of this text, a literal; prepared at its first use.
  absl::StatusOr<SqliteStatement*> Statement(const char* sql);
  absl::StatusOr<int64_t> Fact(absl::string_view name);  // 0 when it was never set.
  absl::Status SetFact(absl::string_view name, int64_t value);

  const std::unique_ptr<SqliteConnection> connection_;
  std::unordered_map<const char*, SqliteStatement> statements_;  // By the address of the text.
  std::unordered_map<std::string, int64_t> item_ids_;            // A cache of the table; bounded.
  std::map<v1::Channel, ChannelSize> sizes_;
  uint64_t newest_record_id_ = 0;
  bool synced_ = false;

  // Of the open transaction.
  std::map<v1::Channel, ChannelSize> size_changes_;
  std::map<int64_t, std::pair<int64_t, int64_t>> block_times_;
  std::string payload_;  // Kept for their memory.
  std::string item_key_;
};

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_DATABASE_H_
