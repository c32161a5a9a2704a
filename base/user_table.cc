#include "base/user_table.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

constexpr size_t kEntryBytesMax = 1 << 20;
constexpr int kGroupsMax = 65536;  // The kernel's NGROUPS_MAX.

std::vector<gid_t> GroupsOf(const std::string& name, gid_t gid) {
  std::vector<gid_t> groups(64);
  int count = static_cast<int>(groups.size());
  while (getgrouplist(name.c_str(), gid, groups.data(), &count) < 0) {
    // Some libraries say how many there are, others leave the count.
    if (static_cast<int>(groups.size()) >= kGroupsMax) break;
    groups.resize(std::max<size_t>(count, groups.size() * 2));
    count = static_cast<int>(groups.size());
  }
  groups.resize(std::min<size_t>(count, groups.size()));
  return groups;
}

}  // namespace

absl::StatusOr<UserIdentity> LookUpUser(const std::string& name) {
  std::vector<char> buffer(4096);
  passwd entry = {};
  passwd* found = nullptr;
  int error = getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  while (error == ERANGE && buffer.size() < kEntryBytesMax) {
    buffer.resize(buffer.size() * 2);
    error = getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  }
  if (found != nullptr) {
    return UserIdentity{.name = name,
                        .uid = entry.pw_uid,
                        .gid = entry.pw_gid,
                        .groups = GroupsOf(name, entry.pw_gid),
                        .home = entry.pw_dir};
  }
  // "Not there" comes as one of these, too (getpwnam(3)).
  if (error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM) {
    return absl::NotFoundError(absl::StrCat("there is no user '", name, "' on this server"));
  }
  return absl::UnavailableError(
      absl::StrCat("user '", name, "': the user database does not answer: ", strerror(error)));
}

UserTable::UserTable(const Clock& clock, LookUp look_up, Worker* worker)
    : clock_(clock), look_up_(std::move(look_up)), worker_(worker) {}

void UserTable::Learn(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    absl::StatusOr<UserIdentity> answer = look_up_(name);  // Without the lock: it may take long.
    MutexLock lock(&mu_);
    entries_.insert_or_assign(name, Entry{std::move(answer), clock_.Now()});
  }
}

absl::StatusOr<UserIdentity> UserTable::Find(const std::string& name) {
  absl::StatusOr<UserIdentity> answer =
      absl::UnavailableError(absl::StrCat("user '", name, "' is being looked up"));
  {
    MutexLock lock(&mu_);
    const Instant now = clock_.Now();
    const auto [entry, is_new] = entries_.try_emplace(name, Entry{answer, now});
    if (!is_new) {
      answer = entry->second.answer;
      if (answer.ok() || now - entry->second.asked < kAgainAfter) return answer;
      entry->second.asked = now;
    }
  }
  LearnBehind(name);
  return answer;
}

void UserTable::LearnBehind(const std::string& name) {
  if (worker_ == nullptr) {
    own_worker_ = std::make_unique<ThreadWorker>();
    worker_ = own_worker_.get();
  }
  worker_->Post([this, name] { Learn({name}); });
}

}  // namespace salve
