#include "agent/components.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "config/names.h"

namespace salve {
namespace {

constexpr char kStateKey[] = "component/";
constexpr char kOperator[] = "operator:";
constexpr int64_t kVoteSecondsMax = 30 * 24 * 60 * 60;
// The wall clock says when a vote ends, and it may be stepped: it is asked at least so often.
constexpr absl::Duration kExpiryLookMax = absl::Minutes(1);
constexpr size_t kTextBytesMax = 1024;

absl::string_view StateName(bool online) { return online ? "online" : "offline"; }

void SetTime(absl::Time time, google::protobuf::Timestamp& out) {
  const timespec ts = absl::ToTimespec(time);
  out.set_seconds(ts.tv_sec);
  out.set_nanos(static_cast<int32_t>(ts.tv_nsec));
}

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string InBrackets(const std::string& text) {
  return text.empty() ? "" : absl::StrCat(" (", text, ")");
}

bool IsOfOperator(const std::string& requester) { return absl::StartsWith(requester, kOperator); }

std::string WhyCommandFailed(const absl::StatusOr<CommandResult>& result) {
  if (!result.ok()) return std::string(result.status().message());
  if (result->timed_out) {
    return absl::StrCat("killed after ", absl::FormatDuration(Components::kCommandTime));
  }
  if (result->signal != 0) return absl::StrCat("ended by signal ", result->signal);
  if (result->exit_code == 0) return "";
  return absl::StrCat("exit status ", result->exit_code);
}

}  // namespace

struct Components::Item {
  config::Component config;
  v1::ComponentStatus status;    // Its name, its votes, its trouble.
  std::optional<bool> followed;  // Where file and command are; unset: not known.
  bool target = true;            // Where they are being brought.
  bool busy = false;
  bool again = false;  // Configured anew meanwhile: what is under way is of the old one.
  CommandId command = CommandId::kNone;
  TimerId retry = TimerId::kNone;

  bool online() const { return status.votes().empty(); }
};

absl::Status WriteStateFile(const std::string& path, bool online) {
  struct stat there = {};
  if (lstat(path.c_str(), &there) == 0) {
    if (!S_ISREG(there.st_mode)) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": ", S_ISLNK(there.st_mode) ? "a symbolic link" : "no regular file",
                       " stands in its place and is left alone"));
    }
  } else if (errno != ENOENT) {
    return ErrnoStatus(errno, path);
  }
  return WriteFileAtomically(path, absl::StrCat(StateName(online), "\n"));
}

Components::Components(ComponentsParts parts) : parts_(std::move(parts)) {}

Components::~Components() {
  *alive_ = false;
  parts_.loop.CancelTimer(expiry_);
  for (const auto& [name, item] : items_) {
    parts_.loop.CancelTimer(item->retry);
    parts_.host.KillCommand(item->command);
  }
}

// ---------------------------------------------------------------------------------------------
// Configuration.

void Components::Configure(const Config& components) {
  std::map<std::string, ItemPtr> before;
  before.swap(items_);
  for (const config::Component& config : components) {
    const auto known = before.find(config.name());
    const ItemPtr item = known == before.end() ? std::make_shared<Item>() : known->second;
    const bool is_new = known == before.end();
    const bool changed = is_new || item->config.SerializeAsString() != config.SerializeAsString();
    item->config = config;
    if (is_new) {
      v1::ComponentStatus saved;
      if (saved.ParseFromString(parts_.state.Get(kStateKey + config.name()))) {
        *item->status.mutable_votes() = saved.votes();
      }
      item->status.set_name(config.name());
    }
    items_[config.name()] = item;
    if (!changed) continue;
    item->followed.reset();
    item->again = item->busy;
    Pursue(item);
  }
  for (const auto& [name, item] : before) {
    if (items_.contains(name)) continue;
    parts_.loop.CancelTimer(item->retry);
    parts_.host.KillCommand(item->command);
  }
  std::vector<std::string> gone;
  for (const auto& [key, value] : parts_.state.entries()) {
    absl::string_view name = key;
    if (absl::ConsumePrefix(&name, kStateKey) && !items_.contains(std::string(name))) {
      gone.push_back(key);
    }
  }
  for (const std::string& key : gone) parts_.state.Put(key, "");
  Expire();
}

void Components::KeepVotesOf(const std::set<std::pair<std::string, std::string>>& voters) {
  for (const auto& [name, item] : items_) {
    std::vector<std::string> orphans;
    for (const v1::ComponentVote& vote : item->status.votes()) {
      const bool is_orphan =
          !IsOfOperator(vote.requester()) && !voters.contains({name, vote.requester()});
      if (is_orphan) orphans.push_back(vote.requester());
    }
    for (const std::string& requester : orphans) {
      TakeBack(name, requester, "neither its responder nor an incident of it is there any more")
          .IgnoreError();
    }
  }
}

absl::StatusOr<Components::ItemPtr> Components::Find(const std::string& component) const {
  const auto found = items_.find(component);
  if (found != items_.end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [name, item] : items_) known.push_back(name);
  return absl::NotFoundError(
      absl::StrCat("no component '", component, "'", DidYouMean(component, known)));
}

// ---------------------------------------------------------------------------------------------
// Votes.

bool Components::Remove(Item& item, const std::string& requester) {
  auto& votes = *item.status.mutable_votes();
  const auto kept = std::remove_if(votes.begin(), votes.end(), [&](const v1::ComponentVote& vote) {
    return vote.requester() == requester;
  });
  const bool removed = kept != votes.end();
  votes.erase(kept, votes.end());
  return removed;
}

absl::Status Components::VoteOffline(const OfflineVote& vote) {
  ASSIGN_OR_RETURN(const ItemPtr item, Find(vote.component));
  const bool was_online = item->online();
  const absl::Time now = parts_.loop.clock().WallNow();
  v1::ComponentVote entry;
  entry.set_requester(vote.requester);
  entry.set_reason(vote.reason.substr(0, kTextBytesMax));
  SetTime(now, *entry.mutable_since());
  if (vote.duration != absl::InfiniteDuration()) {
    SetTime(now + vote.duration, *entry.mutable_until());
  }
  Remove(*item, vote.requester);
  *item->status.add_votes() = entry;
  Changed(item, was_online, vote.requester,
          absl::StrCat(
              "vote of ", vote.requester, InBrackets(entry.reason()),
              entry.has_until() ? absl::StrCat(" for ", absl::FormatDuration(vote.duration)) : ""));
  return absl::OkStatus();
}

absl::Status Components::TakeBack(const std::string& component, const std::string& requester,
                                  const std::string& why) {
  ASSIGN_OR_RETURN(const ItemPtr item, Find(component));
  if (!Remove(*item, requester)) return absl::OkStatus();
  Changed(item, /*was_online=*/false, requester,
          absl::StrCat("the vote of ", requester, " was taken back", InBrackets(why)));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Components::TakeBackOfResponders(
    const std::string& component, const std::string& why) {
  ASSIGN_OR_RETURN(const ItemPtr item, Find(component));
  std::vector<std::string> taken;
  for (const v1::ComponentVote& vote : item->status.votes()) {
    if (!IsOfOperator(vote.requester())) taken.push_back(vote.requester());
  }
  for (const std::string& requester : taken) RETURN_IF_ERROR(TakeBack(component, requester, why));
  return taken;
}

absl::StatusOr<bool> Components::IsOnline(const std::string& component) const {
  ASSIGN_OR_RETURN(const ItemPtr item, Find(component));
  return item->online();
}

bool Components::HasVote(const std::string& component, const std::string& requester) const {
  const auto found = items_.find(component);
  if (found == items_.end()) return false;
  const auto& votes = found->second->status.votes();
  return std::any_of(votes.begin(), votes.end(),
                     [&](const v1::ComponentVote& vote) { return vote.requester() == requester; });
}

absl::StatusOr<v1::VoteResponse> Components::Vote(const v1::VoteRequest& request) {
  const std::string requester =
      absl::StrCat(kOperator, request.user().empty() ? "unknown" : request.user());
  const int64_t seconds = request.duration_seconds();
  if (seconds < 0 || seconds > kVoteSecondsMax || (!request.offline() && seconds != 0)) {
    return absl::InvalidArgumentError(request.offline()
                                          ? "duration: is not in [1s, 720h]"
                                          : "duration: taking back a vote takes none");
  }
  if (request.offline()) {
    RETURN_IF_ERROR(
        VoteOffline({request.component(), requester, request.reason(),
                     seconds == 0 ? absl::InfiniteDuration() : absl::Seconds(seconds)}));
  } else {
    RETURN_IF_ERROR(TakeBack(request.component(), requester, request.reason()));
  }
  ASSIGN_OR_RETURN(const ItemPtr item, Find(request.component()));
  v1::VoteResponse response;
  *response.mutable_component() = item->status;
  response.mutable_component()->set_online(item->online());
  return response;
}

v1::ListComponentsResponse Components::List() const {
  v1::ListComponentsResponse response;
  for (const auto& [name, item] : items_) {
    v1::ComponentStatus& out = *response.add_components();
    out = item->status;
    out.set_online(item->online());
  }
  return response;
}

void Components::Changed(const ItemPtr& item, bool was_online, const std::string& who,
                         const std::string& what) {
  const bool online = item->online();
  Save(*item);
  parts_.tell({absl::StrCat("component ", item->status.name(), " ",
                            online == was_online ? "stays " : "is ", StateName(online), ": ", what),
               who});
  Expire();
  Pursue(item);
}

void Components::Save(const Item& item) {
  v1::ComponentStatus saved;
  *saved.mutable_votes() = item.status.votes();
  parts_.state.Put(kStateKey + item.status.name(), saved.SerializeAsString());
}

// Ends the votes whose time is over, and sets the timer for the next.
void Components::Expire() {
  parts_.loop.CancelTimer(std::exchange(expiry_, TimerId::kNone));
  const absl::Time now = parts_.loop.clock().WallNow();
  absl::Time next = absl::InfiniteFuture();
  std::vector<std::pair<ItemPtr, std::string>> ended;
  for (const auto& [name, item] : items_) {
    for (const v1::ComponentVote& vote : item->status.votes()) {
      if (!vote.has_until()) continue;
      if (TimeOf(vote.until()) <= now) {
        ended.emplace_back(item, vote.requester());
      } else {
        next = std::min(next, TimeOf(vote.until()));
      }
    }
  }
  // Their end calls us again, with fewer of them.
  for (const auto& [item, requester] : ended) {
    if (!Remove(*item, requester)) continue;
    Changed(item, /*was_online=*/false, requester,
            absl::StrCat("the time of the vote of ", requester, " is over"));
  }
  if (!ended.empty() || next == absl::InfiniteFuture()) return;
  expiry_ = parts_.loop.CallAfter(std::min(next - now, kExpiryLookMax), [this] { Expire(); });
}

// ---------------------------------------------------------------------------------------------
// What follows.

void Components::Pursue(const ItemPtr& item) {
  if (item->busy || item->followed == item->online()) return;
  parts_.loop.CancelTimer(std::exchange(item->retry, TimerId::kNone));
  item->busy = true;
  item->target = item->online();
  if (item->config.state_file().empty()) return RunCommandOf(item);
  parts_.files.Post([this, alive = alive_, loop = &parts_.loop, weak = std::weak_ptr<Item>(item),
                     path = item->config.state_file(), online = item->target] {
    const absl::Status status = WriteStateFile(path, online);
    loop->Post([this, alive, weak, status] {
      const ItemPtr written = *alive ? weak.lock() : nullptr;
      if (written == nullptr) return;
      status.ok() ? RunCommandOf(written) : Stuck(written, std::string(status.message()));
    });
  });
}

void Components::RunCommandOf(const ItemPtr& item) {
  const auto& argv = item->target ? item->config.online_command() : item->config.offline_command();
  if (argv.empty()) return Reached(item);
  Command command;
  command.argv = {argv.begin(), argv.end()};
  command.environment = {absl::StrCat("SALVE_COMPONENT=", item->status.name()),
                         absl::StrCat("SALVE_STATE=", StateName(item->target))};
  command.output_bytes_max = kTextBytesMax;
  command.kill_leftovers = false;  // A command may rightly leave a daemon behind.
  const absl::StatusOr<StartedCommand> started =
      parts_.host.RunCommand(command, parts_.loop.Now() + kCommandTime,
                             [this, alive = alive_, weak = std::weak_ptr<Item>(item)](
                                 absl::StatusOr<CommandResult> result) {
                               const ItemPtr ended = *alive ? weak.lock() : nullptr;
                               if (ended != nullptr) CommandEnded(ended, result);
                             });
  if (!started.ok()) return Stuck(item, std::string(started.status().message()));
  item->command = started->id;
}

void Components::CommandEnded(const ItemPtr& item, const absl::StatusOr<CommandResult>& result) {
  item->command = CommandId::kNone;
  const std::string why = WhyCommandFailed(result);
  if (why.empty()) return Reached(item);
  Stuck(item, absl::StrCat(item->target ? "online_command" : "offline_command", ": ", why));
}

void Components::Reached(const ItemPtr& item) {
  item->busy = false;
  item->followed = item->target;
  if (std::exchange(item->again, false)) item->followed.reset();
  if (!item->status.trouble().empty()) {
    item->status.clear_trouble();
    parts_.tell({absl::StrCat("component ", item->status.name(), ": its file and command follow ",
                              "again, it is ", StateName(item->target)),
                 ""});
  }
  Pursue(item);
}

void Components::Stuck(const ItemPtr& item, std::string why) {
  item->busy = false;
  item->again = false;
  item->followed.reset();  // Half of it may be done.
  if (item->status.trouble() != why) {
    parts_.tell({absl::StrCat("component ", item->status.name(), " can't be made ",
                              StateName(item->target), ": ", why),
                 "", /*is_trouble=*/true});
    item->status.set_trouble(std::move(why));
  }
  if (item->online() != item->target) return Pursue(item);
  item->retry = parts_.loop.CallAfter(kRetryAfter, [this, weak = std::weak_ptr<Item>(item)] {
    if (const ItemPtr stuck = weak.lock()) Pursue(stuck);
  });
}

}  // namespace salve
