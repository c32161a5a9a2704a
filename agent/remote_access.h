// RemoteAccess: keeps the API served over TCP as the configuration says: binds, waits for what is
// missing and tries again, takes up renewed certificates and changed roles. Trouble here is said
// and never stops the agent: it heals without. On the loop; a worker of its own reads and binds.
#ifndef SALVE_AGENT_REMOTE_ACCESS_H_
#define SALVE_AGENT_REMOTE_ACCESS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "agent/api_parts.h"
#include "api/events.pb.h"
#include "base/event_loop.h"
#include "config/config.pb.h"

namespace salve {

class ThreadWorker;

class RemoteAccess {
 public:
  // Files are looked at, and what did not work is tried, so often.
  static constexpr absl::Duration kLookEvery = absl::Seconds(5);

  // Says what happened, for the Agent channel (event id as in api/events.proto) and the log.
  using Say = std::function<void(int event_id, v1::Level level, std::string message)>;

  // `parts` and what `say` uses must outlive it.
  RemoteAccess(ApiParts parts, Say say);
  // Ends the calls that run (at most a second).
  ~RemoteAccess();
  RemoteAccess(const RemoteAccess&) = delete;
  RemoteAccess& operator=(const RemoteAccess&) = delete;

  // Takes up a configuration that was checked; without `listen` it is off. New roles hold at once;
  // another address or other files begin anew, which ends the calls that run.
  void Configure(const config::Remote& remote);

  // Why remote clients have no access, or not as the files say; empty when all is well or off.
  std::string trouble() const { return trouble_; }
  // Whether it serves now.
  bool is_serving() const { return serving_; }

 private:
  struct Served;
  struct Report;
  void Look();
  void Take(const Report& report);
  void Drop();

  const ApiParts parts_;
  const Say say_;
  config::Remote remote_;
  std::shared_ptr<Served> served_;  // The worker's, while a look is under way.
  bool looking_ = false;
  bool serving_ = false;
  std::string trouble_;
  TimerId timer_ = TimerId::kNone;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<ThreadWorker> worker_;
};

}  // namespace salve

#endif  // SALVE_AGENT_REMOTE_ACCESS_H_
