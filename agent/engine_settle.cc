// The settle after an action: when it ends the attempt is judged, also in the next life of the
// agent. A bad look counts only after it, and no attempt stays without a judgement because the
// agent was restarted meanwhile.
#include <algorithm>

#include "agent/engine_items.h"

namespace salve {

void Engine::Settle(const MonitorPtr& item, size_t index, const std::string& key, Instant end) {
  item->chain.Settling(index, end);
  Save(*item);
  parts_.loop.CallAt(std::max(end, parts_.loop.Now()), [this, alive = alive_, item, index, key] {
    if (*alive) OnSettled(item, index, key);
  });
}

// Of attempts that an earlier life did not judge: the settle goes on. One whose action ended
// unseen begins its settle now; one whose action still runs is left to CloseOutlived.
void Engine::ResumeSettles() {
  const Instant now = parts_.loop.Now();
  for (const auto& [name, item] : monitors_) {
    for (size_t i = 0; i < item->responders.size(); ++i) {
      const ResponderChain::Phase phase = item->chain.phase(i);
      const bool settles = phase == ResponderChain::Phase::kSettling;
      const bool ran = phase == ResponderChain::Phase::kRunning;
      if (!settles && !ran) continue;
      if (ran && outlived_.contains(item->chain.attempt_id(i))) continue;
      // The configuration may say less now, and a record may say anything.
      const Instant longest = now + item->responders[i].definition.settle;
      const std::string key = KeyOf(*item->responders[i].action);
      Suppress(key);
      Settle(item, i, key, settles ? std::min(item->chain.settle_end(i), longest) : longest);
    }
  }
}

// The settle of an attempt that outlived the agent, if its responder is still there.
bool Engine::SettleOutlived(const std::string& attempt_id, const std::string& key) {
  for (const auto& [name, item] : monitors_) {
    for (size_t i = 0; i < item->responders.size(); ++i) {
      if (item->chain.phase(i) != ResponderChain::Phase::kRunning) continue;
      if (item->chain.attempt_id(i) != attempt_id) continue;
      Settle(item, i, key, parts_.loop.Now() + item->responders[i].definition.settle);
      return true;
    }
  }
  return false;
}

}  // namespace salve
