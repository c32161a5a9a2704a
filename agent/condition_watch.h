// ConditionWatch: looks again and again at the paths that the conditions of the health sets name,
// and says when they mean something else. Lives on the loop's thread; the worker looks.
#ifndef SALVE_AGENT_CONDITION_WATCH_H_
#define SALVE_AGENT_CONDITION_WATCH_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/event_loop.h"
#include "base/worker.h"
#include "config/definition.h"
#include "config/found_paths.h"

namespace salve {

inline constexpr absl::Duration kConditionLookInterval = absl::Minutes(1);

class ConditionWatch {
 public:
  // Both are called on the loop. `on_change`: what is there now; it is not told again until it
  // changes once more. `on_trouble`: why nothing could be told, once for a run of looks that
  // failed: what was known before is believed meanwhile.
  struct Listener {
    std::function<void(FoundPaths)> on_change;
    std::function<void(const absl::Status&)> on_trouble;
  };
  // Loop and worker must outlive the watch.
  ConditionWatch(EventLoop& loop, Worker& worker, Listener listener);
  ~ConditionWatch();
  ConditionWatch(const ConditionWatch&) = delete;
  ConditionWatch& operator=(const ConditionWatch&) = delete;

  // Watches these from now on, and `found` is what is known of them. Without any it sleeps.
  void Configure(PathPatterns patterns, FoundPaths found);

 private:
  void Schedule();
  void Look();
  void OnLook(absl::StatusOr<FoundPaths> found);

  EventLoop& loop_;
  Worker& worker_;
  const Listener listener_;
  PathPatterns patterns_;
  FoundPaths known_;
  uint64_t configured_ = 0;  // How often; a look of an earlier configuration says nothing.
  bool looking_ = false;     // The worker is at it.
  bool in_trouble_ = false;
  TimerId tick_ = TimerId::kNone;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// What has become otherwise by conditions, in words: "Nginx applies here now", "Php has now 8.2";
// "" when nothing has. Sets that only one of the two has are passed over.
std::string DescribeConditionChanges(const std::vector<HealthSetDefinition>& before,
                                     const std::vector<HealthSetDefinition>& after);

}  // namespace salve

#endif  // SALVE_AGENT_CONDITION_WATCH_H_
