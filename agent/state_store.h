// StateStore: what must outlive the agent beside the ledger (state.db): open incidents, chain
// positions, the next record id. A small map of keys to bytes, synced at each write. Put is for
// the loop thread and returns at once; PutNow blocks and is for any other thread.
#ifndef SALVE_AGENT_STATE_STORE_H_
#define SALVE_AGENT_STATE_STORE_H_

#include <map>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "base/worker.h"

struct sqlite3;

namespace salve {

class StateStore {
 public:
  // Opens or makes the file; reads all of it. A file that is no database, or fails its check, is
  // set aside (PATH.damaged-TIME) and a new one begun; `damage()` then says so.
  // Errors: kPermissionDenied, kUnavailable, kResourceExhausted: it can't be made or written.
  static absl::StatusOr<std::unique_ptr<StateStore>> Open(const std::string& path, Worker& worker);
  ~StateStore();

  // What was there at Open, and has been put since. Loop thread.
  const std::map<std::string, std::string>& entries() const { return entries_; }
  std::string Get(const std::string& key) const;
  // Writes behind; an empty value removes the key. What is not yet written is one value a key, and
  // goes to disk in one transaction, so that a slow disk makes no queue. A failure is logged once
  // and what it concerned is written again with the next Put or Flush.
  void Put(const std::string& key, std::string value) ABSL_LOCKS_EXCLUDED(dirty_mu_);
  void Flush() ABSL_LOCKS_EXCLUDED(dirty_mu_);
  // Writes all that was put, and then calls `done`, on the worker: OK means that it is synced.
  // Errors of `done`: kUnavailable, kResourceExhausted, kPermissionDenied: it waits, as after Put.
  void Sync(absl::AnyInvocable<void(absl::Status)> done) ABSL_LOCKS_EXCLUDED(dirty_mu_);
  // Writes now, synced when it returns. Any thread but the loop's.
  absl::Status PutNow(const std::string& key, absl::string_view value);

  const std::string& damage() const { return damage_; }

 private:
  StateStore(sqlite3* db, Worker& worker) : worker_(worker), db_(db) {}
  using Batch = std::map<std::string, std::string>;
  absl::Status WriteAll(const Batch& batch) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Write(const std::string& key, absl::string_view value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status WriteDirty() ABSL_LOCKS_EXCLUDED(mu_, dirty_mu_);

  Worker& worker_;
  std::map<std::string, std::string> entries_;
  std::string damage_;
  Mutex mu_;
  sqlite3* const db_ ABSL_PT_GUARDED_BY(mu_);
  Mutex dirty_mu_;  // Apart from mu_, which is held during a sync.
  Batch dirty_ ABSL_GUARDED_BY(dirty_mu_);
  bool flush_queued_ ABSL_GUARDED_BY(dirty_mu_) = false;
  bool failing_ ABSL_GUARDED_BY(dirty_mu_) = false;
};

}  // namespace salve

#endif  // SALVE_AGENT_STATE_STORE_H_
