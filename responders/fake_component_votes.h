// FakeComponentVotes: votes as a test sees them, without effects. Knows the components "web" and
// "db". One thread only.
#ifndef SALVE_RESPONDERS_FAKE_COMPONENT_VOTES_H_
#define SALVE_RESPONDERS_FAKE_COMPONENT_VOTES_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "responders/component_votes.h"

namespace salve {

class FakeComponentVotes final : public ComponentVotes {
 public:
  // By component and requester.
  std::map<std::pair<std::string, std::string>, OfflineVote> votes;

  absl::Status VoteOffline(const OfflineVote& vote) override {
    if (!Has(vote.component)) return NotThere(vote.component);
    votes[{vote.component, vote.requester}] = vote;
    return absl::OkStatus();
  }
  absl::Status TakeBack(const std::string& component, const std::string& requester,
                        const std::string&) override {
    if (!Has(component)) return NotThere(component);
    votes.erase({component, requester});
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<std::string>> TakeBackOfResponders(const std::string& component,
                                                                const std::string&) override {
    if (!Has(component)) return NotThere(component);
    std::vector<std::string> taken;
    for (const auto& [key, vote] : votes) {
      const bool is_of_responder = !absl::StartsWith(key.second, "operator:");
      if (key.first == component && is_of_responder) taken.push_back(key.second);
    }
    for (const std::string& requester : taken) votes.erase({component, requester});
    return taken;
  }
  absl::StatusOr<bool> IsOnline(const std::string& component) const override {
    if (!Has(component)) return NotThere(component);
    for (const auto& [key, vote] : votes) {
      if (key.first == component) return false;
    }
    return true;
  }

 private:
  static bool Has(const std::string& component) { return component == "web" || component == "db"; }
  static absl::Status NotThere(const std::string& component) {
    return absl::NotFoundError(absl::StrCat("no component '", component, "'"));
  }
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_FAKE_COMPONENT_VOTES_H_
