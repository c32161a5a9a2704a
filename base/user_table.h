// UserTable: who the users are as whom programs run. Looking one up may block (LDAP, sssd), so
// the loop only reads what was looked up before, off it.
#ifndef SALVE_BASE_USER_TABLE_H_
#define SALVE_BASE_USER_TABLE_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/worker.h"

namespace salve {

struct UserIdentity {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // All of them, `gid` too.
  std::string home;
};

// Asks the system's user database. Blocks.
// Errors: kNotFound: no such user; kUnavailable: the database does not answer.
absl::StatusOr<UserIdentity> LookUpUser(const std::string& name);

class UserTable {
 public:
  using LookUp = std::function<absl::StatusOr<UserIdentity>(const std::string&)>;

  // Without a worker it makes one of its own, when it first needs it.
  explicit UserTable(const Clock& clock, LookUp look_up = LookUpUser, Worker* worker = nullptr);

  // Looks these up, also those that are known already. Blocks; any thread.
  void Learn(const std::vector<std::string>& names) ABSL_LOCKS_EXCLUDED(mu_);

  // Never blocks. A user who was not found is looked up again, behind this call, at most once
  // in kAgainAfter: one who was added since is so found.
  // Errors: as LookUpUser said it; kUnavailable: it is being looked up.
  absl::StatusOr<UserIdentity> Find(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

  static constexpr absl::Duration kAgainAfter = absl::Seconds(60);

 private:
  struct Entry {
    absl::StatusOr<UserIdentity> answer;
    Instant asked;
  };
  void LearnBehind(const std::string& name);

  const Clock& clock_;
  const LookUp look_up_;
  Mutex mu_;
  std::map<std::string, Entry> entries_
      ABSL_GUARDED_BY(mu_);             // As many as the configuration names.
  Worker* worker_;                      // Loop thread.
  std::unique_ptr<Worker> own_worker_;  // Last: its tasks use the rest.
};

}  // namespace salve

#endif  // SALVE_BASE_USER_TABLE_H_
