// StoreQueries: how messages and their ends are found in an open queue.db. Only for the store and
// the tools that look into its file; for one thread at a time. Errors of all: kDataLoss: a row that
// does not fit its check sum, named by sequence; as of SqliteConnection.
#ifndef SALVE_QUEUE_STORE_QUERIES_H_
#define SALVE_QUEUE_STORE_QUERIES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "channels/sqlite.h"
#include "queue/store_file.h"

namespace salve {

class StoreQueries {
 public:
  // `db` and `tables` stay the caller's and outlive this.
  static absl::StatusOr<std::unique_ptr<StoreQueries>> Create(SqliteConnection& db,
                                                              const StoreTables& tables);

  absl::StatusOr<MessageRow> Row(int64_t sequence);  // kNotFound.
  absl::StatusOr<StoredMessage> Get(int64_t sequence);
  absl::StatusOr<std::optional<StoredMessage>> ByMid(const std::string& mid);
  absl::StatusOr<std::optional<StoredMessage>> ByDmid(const std::string& dmid);
  absl::StatusOr<std::optional<StoredMessage>> ByOrigin(const std::string& server,
                                                        const std::string& mid);
  // Only those whose own MID is another one.
  absl::StatusOr<std::optional<StoredMessage>> OtherByOrigin(const std::string& server,
                                                             const std::string& mid);
  absl::StatusOr<std::vector<StoredMessage>> ByKey(const std::string& key);
  absl::StatusOr<std::vector<StoredMessage>> InQueue(int64_t queue, size_t limit, int64_t offset);
  absl::StatusOr<std::vector<StoredMessage>> InQueueAfter(int64_t queue, size_t limit,
                                                          const QueuePlace& after);
  // But for those that expire until `unix_ns` and are not in flight.
  absl::StatusOr<std::vector<StoredMessage>> Unsuspended(int64_t queue, size_t limit,
                                                         int64_t unix_ns);
  absl::StatusOr<std::vector<StoredMessage>> BySequence(int64_t after, size_t limit,
                                                        int64_t offset);
  absl::StatusOr<std::vector<StoredMessage>> Delivering();
  absl::StatusOr<std::vector<StoredMessage>> ExpiringBy(int64_t unix_ns, size_t limit,
                                                        const ExpiryPlace& after);

  absl::StatusOr<std::optional<EndedRow>> EndedByMid(const std::string& mid);
  // The last one to end.
  absl::StatusOr<std::optional<EndedRow>> EndedByOrigin(const std::string& server,
                                                        const std::string& mid);
  absl::StatusOr<std::optional<EndedRow>> OtherEndedByOrigin(const std::string& server,
                                                             const std::string& mid);
  absl::StatusOr<std::optional<EndedRow>> EndedByKey(const std::string& key);
  absl::StatusOr<std::vector<EndedRow>> EndedAfter(int64_t number, size_t limit);
  // Up to number `told`, remembered no longer than `unix_ns`.
  absl::StatusOr<std::vector<EndedRow>> Forgettable(int64_t unix_ns, int64_t told, size_t limit);

 private:
  using Statement = std::unique_ptr<SqliteStatement>;
  explicit StoreQueries(const StoreTables& tables) : tables_(tables) {}
  absl::StatusOr<std::vector<StoredMessage>> Messages(SqliteStatement& select);
  absl::StatusOr<std::optional<StoredMessage>> OneMessage(SqliteStatement& select);

  const StoreTables& tables_;
  Statement row_, by_mid_, by_dmid_, by_origin_, by_key_, in_queue_, in_queue_after_, by_sequence_,
      unsuspended_, delivering_, expiring_, ended_by_mid_, ended_by_origin_, ended_by_key_,
      ended_after_, forgettable_;
};

}  // namespace salve

#endif  // SALVE_QUEUE_STORE_QUERIES_H_
