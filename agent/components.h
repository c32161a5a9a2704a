// Components: what of this server is in service and what is not, by votes. Any vote for offline
// wins. Each vote shows who, when and why, may end by itself, and outlives the agent (state.db).
// What follows from them is made so and kept so: a state file, and a command.
// Lives on the loop's thread; no call blocks.
#ifndef SALVE_AGENT_COMPONENTS_H_
#define SALVE_AGENT_COMPONENTS_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/state_store.h"
#include "api/salve.pb.h"
#include "base/event_loop.h"
#include "base/host.h"
#include "base/worker.h"
#include "config/config.pb.h"
#include "responders/component_votes.h"

namespace salve {

// A change as people are told of it.
struct ComponentNews {
  std::string message;  // "web is offline: vote of FrontOffline (…)"
  std::string who;      // Whose vote it was about; may be empty.
  bool is_trouble = false;
};

// All must outlive the components.
struct ComponentsParts {
  EventLoop& loop;
  Host& host;
  Worker& files;  // Writes state files: a disk may be slow.
  StateStore& state;
  std::function<void(const ComponentNews&)> tell;
};

class Components final : public ComponentVotes {
 public:
  using Config = google::protobuf::RepeatedPtrField<config::Component>;

  // A command that takes longer is killed.
  static constexpr absl::Duration kCommandTime = absl::Seconds(60);
  // What could not follow is tried again so much later.
  static constexpr absl::Duration kRetryAfter = absl::Seconds(30);

  explicit Components(ComponentsParts parts);
  ~Components() override;

  // Takes up the configured components. The votes of one that is new here come from state.db, and
  // its file and command are brought to where they should be; the votes of one that is gone are
  // forgotten.
  void Configure(const Config& components);
  // Takes back the votes of responders that are not in `voters` (component, responder): nobody is
  // left to take them back.
  void KeepVotesOf(const std::set<std::pair<std::string, std::string>>& voters);

  absl::Status VoteOffline(const OfflineVote& vote) override;
  absl::Status TakeBack(const std::string& component, const std::string& requester,
                        const std::string& why) override;
  absl::StatusOr<std::vector<std::string>> TakeBackOfResponders(const std::string& component,
                                                                const std::string& why) override;
  absl::StatusOr<bool> IsOnline(const std::string& component) const override;
  bool HasVote(const std::string& component, const std::string& requester) const;

  // For a person. Errors: kNotFound with the nearest names; kInvalidArgument: a duration outside
  // 1 s..30 days.
  absl::StatusOr<v1::VoteResponse> Vote(const v1::VoteRequest& request);
  v1::ListComponentsResponse List() const;

 private:
  struct Item;
  using ItemPtr = std::shared_ptr<Item>;

  absl::StatusOr<ItemPtr> Find(const std::string& component) const;
  bool Remove(Item& item, const std::string& requester);
  void Changed(const ItemPtr& item, bool was_online, const std::string& who,
               const std::string& what);
  void Save(const Item& item);
  void Expire();

  // Bringing file and command to where the votes are: one step at a time, the last wish wins.
  void Pursue(const ItemPtr& item);
  void RunCommandOf(const ItemPtr& item);
  void CommandEnded(const ItemPtr& item, const absl::StatusOr<CommandResult>& result);
  void Reached(const ItemPtr& item);
  void Stuck(const ItemPtr& item, std::string why);

  const ComponentsParts parts_;
  std::map<std::string, ItemPtr> items_;
  TimerId expiry_ = TimerId::kNone;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Replaces the file with "online\n" or "offline\n". What stands in its place and is no regular
// file, a symbolic link say, is left alone. Blocks.
// Errors: kFailedPrecondition: such a thing is there; else as WriteFileAtomically.
absl::Status WriteStateFile(const std::string& path, bool online);

}  // namespace salve

#endif  // SALVE_AGENT_COMPONENTS_H_
