// MessageStore: the file of the durable queue, queue.db, with its mark (mark.h). Blocks and syncs;
// belongs to one thread at a time (the queue's worker). It knows which steps are allowed
// (transition.h) and keeps each in one transaction; when and to whom something is delivered is the
// dispatcher's. Nothing is kept in memory but the table of queues, so that a million messages cost
// no more than ten.
//
// Every change counts one commit up. After each commit the mark beside the file says the count, so
// that a file that lost commits is known as damaged. What a crash does at any point: the last
// change is there or not, and what was answered OK is there.
#ifndef SALVE_QUEUE_MESSAGE_STORE_H_
#define SALVE_QUEUE_MESSAGE_STORE_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "queue/message.pb.h"
#include "queue/transition.h"

namespace salve {

struct StoredMessage {
  int64_t sequence = 0;  // Rises with acceptance here, never used again in this file.
  queue::Message message;
  std::string queue;        // "submission", "local/nginx.service", "remote/ops", "dead" …
  bool delivering = false;  // In flight.
  bool suspended = false;
  bool removing = false;  // Removed when the attempt under way fails.
  absl::Time due;         // Not tried before; the past: at once.
};

struct QueueRow {
  std::string name;
  int64_t messages = 0;
  int64_t bytes = 0;  // Of the messages as kept.
  bool suspended = false;
};

// Until when an end at `now` is remembered: a second one may come from elsewhere until the message
// has expired there. At least 48 h.
absl::Time RememberedUntil(const queue::Message& message, absl::Time now);

// How a message ended; kept for as long as a message can live (`until`), so that a second one of
// the same origin is known. `told`: its event is known to be written.
struct Ended {
  int64_t number = 0;
  std::string mid;
  std::string origin_server;
  std::string origin_mid;
  queue::Type type = queue::TYPE_UNSPECIFIED;
  Final final = Final::kDone;
  std::string queue;   // Its last one.
  std::string reason;  // At most 1 KiB.
  std::string subject;
  std::string correlation;
  absl::Time at;
};

// What one transaction does. Applied in this order; all of it or nothing.
struct Changes {
  struct Put {  // A new message; mid must be set, sequence is given.
    queue::Message message;
    std::string queue;
    bool suspended = false;
    absl::Time due;
  };
  struct Update {  // Of a message that is there. Unset members stay.
    int64_t sequence = 0;
    std::optional<queue::Message> message;
    std::optional<std::string> queue;  // A move: must be allowed by transition.h.
    std::optional<bool> delivering;
    std::optional<bool> suspended;
    std::optional<bool> removing;
    std::optional<absl::Time> due;
  };
  struct End {  // A message leaves; must be allowed by transition.h.
    int64_t sequence = 0;
    Final final = Final::kDone;
    std::string reason;
    absl::Time until;  // Remembered so long.
  };
  std::vector<Put> puts;
  std::vector<Update> updates;
  std::vector<End> ends;
  // From, to: all of a queue's messages at once. Only to a name of the kind kHeld that is not used.
  std::vector<std::pair<std::string, std::string>> rename_queues;
  std::vector<std::pair<std::string, bool>> suspend_queues;   // Name, suspended.
  std::vector<std::pair<std::string, std::string>> settings;  // Empty value: removed.
  absl::Time now;                                             // For Ended::at.
};

// Where a page of a queue ended; as it is: before the first.
struct QueuePlace {
  int64_t rank = std::numeric_limits<int64_t>::min();  // -priority.
  int64_t sequence = 0;
};
// Where a page of ExpiringBy ended.
struct ExpiryPlace {
  int64_t expires_ns = 0;
  int64_t sequence = 0;
};

// A setting: what a tool has done, for event 40019 of the next start.
inline constexpr char kAnnounceSetting[] = "announce";

struct StoreOptions {
  std::string path;  // "…/queue.db"
  std::string server;
  std::string group;
  std::string role = "salved";
  absl::Time now;
  // The file is of another server and becomes this one's (`queue db adopt`).
  bool take_over = false;
  bool read_only = false;  // For tools: nothing is written, not even the mark; needs no WAL replay.
  // Of a new file's signature and first id, used in Open only; nullptr: SystemRandom().
  RandomSource* random = nullptr;
};

class MessageStore {
 public:
  static constexpr int kSchemaVersion = 1;
  static constexpr int64_t kReserveBytes = 4 << 20;  // What own messages have on a full disk.
  static constexpr size_t kMessageBytesMax = 256 << 10;

  // Opens or makes the file. Errors: kDataLoss: damaged: changed nothing, exit status 9 of tools
  //   (dirty without its WAL, fewer commits than the mark says, a mark or a table that can't be
  //   read; the message names the cause and the command that helps); kFailedPrecondition: of a
  //   newer version; of another server; kUnavailable, kPermissionDenied, kNotFound,
  //   kResourceExhausted: can't be opened; all name the path.
  static absl::StatusOr<std::unique_ptr<MessageStore>> Open(StoreOptions options);
  // Whether the file at `path` was left without a clean end: what Open will find. False when there
  // is none. Writes nothing. Errors: as Open.
  static absl::StatusOr<bool> WasLeftDirty(const std::string& path);
  virtual ~MessageStore() = default;

  // One transaction, on disk when it returns OK. Sequences of the puts, in their order.
  // `own`: may use the reserve when the disk is full; foreign messages may not.
  // Errors, nothing has changed then: kResourceExhausted: the disk is full; kAlreadyExists: a put
  //   whose MID or (origin server, origin MID) is there or ended, the message is its MID; or whose
  //   submission_key is (one that ended as kHeldInSet may come back, and its end is forgotten);
  //   kNotFound: no such sequence; kFailedPrecondition: a step that transition.h forbids;
  //   kInvalidArgument: a message that is too large or has no MID; kUnavailable: I/O.
  virtual absl::StatusOr<std::vector<int64_t>> Apply(const Changes& changes, bool own = true) = 0;

  // A fresh MID and DMID: their counter is on disk with the next Apply that uses it, and is never
  // given twice, whatever dies.
  virtual std::string NewMid(absl::Time now) = 0;
  virtual std::string NewDmid(absl::Time now) = 0;

  // Reading. Errors: kDataLoss: a row whose check sum is wrong, named by sequence; kNotFound.
  virtual absl::StatusOr<StoredMessage> Get(int64_t sequence) const = 0;
  virtual absl::StatusOr<StoredMessage> Find(const std::string& mid_or_dmid) const = 0;
  virtual absl::StatusOr<std::optional<Ended>> FindEnded(const std::string& mid) const = 0;
  // By where it came from: there in some queue, or ended.
  virtual absl::StatusOr<std::optional<StoredMessage>> FindOrigin(const std::string& server,
                                                                  const std::string& mid) const = 0;
  virtual absl::StatusOr<std::optional<Ended>> FindEndedOrigin(const std::string& server,
                                                               const std::string& mid) const = 0;
  // Those of a queue in the order of delivery (priority, then sequence), at most `limit`, after
  // `offset` of them. Suspended ones too. Empty name: of all queues by sequence.
  virtual absl::StatusOr<std::vector<StoredMessage>> List(const std::string& queue, size_t limit,
                                                          int64_t offset = 0) const = 0;
  // Those of all queues by sequence, after this one: to go over all of them page by page.
  virtual absl::StatusOr<std::vector<StoredMessage>> ListAfter(int64_t sequence,
                                                               size_t limit) const = 0;
  // Those of a queue after this place, for the same: whatever moves between two pages, none that
  // stays is left out.
  virtual absl::StatusOr<std::vector<StoredMessage>> ListAfter(const std::string& queue,
                                                               size_t limit,
                                                               const QueuePlace& after) const = 0;
  // The head of a queue: the first that is not suspended. Null: there is none.
  virtual absl::StatusOr<std::optional<StoredMessage>> Head(const std::string& queue) const = 0;
  // The first of a queue that are not suspended, in the order of delivery, at most `limit`; without
  // those that had expired `by` then, unless they are in flight.
  virtual absl::StatusOr<std::vector<StoredMessage>> Unsuspended(
      const std::string& queue, size_t limit, absl::Time by = absl::InfinitePast()) const = 0;
  // The MID that a submission key was given, there or ended. Null: it is not known.
  virtual absl::StatusOr<std::optional<std::string>> FindKey(const std::string& key) const = 0;
  // In flight: after an unclean end, what the crash found.
  virtual absl::StatusOr<std::vector<StoredMessage>> Delivering() const = 0;
  // Those that expire until then, the first first; not those in poison, dead or inbox. `after`: the
  // last of the page before.
  virtual absl::StatusOr<std::vector<StoredMessage>> ExpiringBy(
      absl::Time when, size_t limit, const ExpiryPlace& after = {}) const = 0;
  virtual std::vector<QueueRow> Queues()
      const = 0;  // From memory. Those with messages or settings.
  virtual std::string Setting(const std::string& key) const = 0;  // "": none.

  // Ends whose event may not have been written; oldest first. MarkTold: up to this number they are.
  virtual absl::StatusOr<std::vector<Ended>> Untold(size_t limit) const = 0;
  virtual absl::Status MarkTold(int64_t up_to_number) = 0;
  // Forgets at most `limit` ends whose time is over, gives pages back, checkpoints, makes the
  // reserve again. For every minute.
  virtual absl::Status Keep(absl::Time now, size_t limit) = 0;

  virtual bool was_dirty() const = 0;                // When it was opened.
  virtual const std::string& signature() const = 0;  // 32 hex digits, given when it was made.
  virtual int64_t last_ended() const = 0;            // The number of the newest end.
  virtual int64_t commits() const = 0;
  virtual int64_t bytes() const = 0;  // Of the file and its WAL.
  // Of the file's disk: what is free for this user, and all of it. Zeros when that can't be read.
  struct DiskRoom {
    int64_t free = 0;
    int64_t total = 0;
  };
  virtual DiskRoom disk_room() const = 0;

  // Checkpoints and marks it clean; nothing may be called afterwards. Without it the file stays
  // dirty, as after a crash.
  virtual absl::Status Close() = 0;
};

}  // namespace salve

#endif  // SALVE_QUEUE_MESSAGE_STORE_H_
