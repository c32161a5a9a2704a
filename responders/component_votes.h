// ComponentVotes: the components of this server as its responders concern them: in service, or
// voted out of it. Any vote for offline wins. Lives on the loop's thread; no call blocks.
#ifndef SALVE_RESPONDERS_COMPONENT_VOTES_H_
#define SALVE_RESPONDERS_COMPONENT_VOTES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace salve {

struct OfflineVote {
  std::string component;
  std::string requester;  // A responder's name, or "operator:<who>".
  std::string reason;
  absl::Duration duration = absl::InfiniteDuration();  // Then it ends by itself.
};

class ComponentVotes {
 public:
  virtual ~ComponentVotes() = default;

  // Adds a vote for offline, or replaces that of the same requester.
  // Errors: kNotFound: no such component, with the nearest names.
  virtual absl::Status VoteOffline(const OfflineVote& vote) = 0;
  // Takes back a requester's vote; none is no error. Errors: as VoteOffline.
  virtual absl::Status TakeBack(const std::string& component, const std::string& requester,
                                const std::string& why) = 0;
  // Takes back the votes of all responders, and says whose they were; those of people stay.
  // Errors: as VoteOffline.
  virtual absl::StatusOr<std::vector<std::string>> TakeBackOfResponders(
      const std::string& component, const std::string& why) = 0;
  // Whether nobody votes for offline. Errors: as VoteOffline.
  virtual absl::StatusOr<bool> IsOnline(const std::string& component) const = 0;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_COMPONENT_VOTES_H_
