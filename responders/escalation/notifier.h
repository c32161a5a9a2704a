// Notifier: brings notices to the destinations of salve.textproto. To each destination one letter
// at a time; one that does not arrive is tried again after a time that doubles, up to an hour, and
// given up after `attempts_max`. A letter of an incident never overtakes an earlier one of it.
//
// Never more than `digest_after` letters go to a destination in a `digest_window`: what comes
// beyond is merged into one, which goes when the window has room again. At 100 waiting letters the
// next ones are merged, too; nothing is dropped but lines of a digest beyond 16 KiB, which says how
// many. Each step is a Monitoring event: 5 delivered, 6 not delivered, 7 given up.
//
// What has not arrived outlives the agent. Lives on the loop's thread.
#ifndef SALVE_RESPONDERS_ESCALATION_NOTIFIER_H_
#define SALVE_RESPONDERS_ESCALATION_NOTIFIER_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/ids.h"
#include "channels/event_log.h"
#include "config/definition.h"
#include "responders/escalation/transport.h"
#include "responders/notice.h"

namespace salve {

class Notifier {
 public:
  static constexpr size_t kWaitingMax = 100;  // Of one destination.

  struct Parts {
    EventLoop& loop;
    Transport& transport;
    EventLog& events;
    RandomSource& random;
    // Keeps bytes under a key beyond the agent's life; empty bytes remove it.
    std::function<void(const std::string& key, std::string bytes)> keep;
  };

  explicit Notifier(Parts parts);
  // What has not arrived stays kept.
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Takes up what an earlier life has kept; keys of others are passed over. Before Configure.
  void Restore(const std::map<std::string, std::string>& kept);
  // Takes up other destinations. What waits for one that is gone is given up.
  void Configure(const AgentDefinition& agent);

  // Queues a notice for its destinations. Returns their names: those that there are.
  std::vector<std::string> Send(const Notice& notice);

  // Letters that wait or are on their way.
  size_t waiting() const;

 private:
  struct Entry;
  struct Line;  // A destination with what waits for it.

  void Accept(Line& line, const Notice& notice);
  void Merge(Entry& digest, const Notice& notice);
  void PumpSoon(const std::string& name);
  void PostPump();
  void Pump(Line& line);
  void Begin(Line& line, Entry& entry);
  void OnEnd(Line& line, const std::string& id, absl::StatusOr<std::string> answer);
  void GiveUp(const Line& line, const Entry& entry, const std::string& why);
  void Tell(int event_id, const Line& line, const Entry& entry, std::string message);
  void Keep(const Line& line, const Entry& entry);
  void Forget(const Entry& entry);
  bool IsBlocked(const Line& line, size_t index) const;
  void MakeRoom(Line& line) const;

  Parts parts_;
  std::string server_;
  std::string group_;
  config::Escalation settings_;
  std::map<std::string, std::unique_ptr<Line>> lines_;  // By destination.
  std::map<std::string, std::deque<Entry>> restored_;   // Until Configure.
  std::deque<std::string> due_;  // Destinations to be looked at, each in a turn of its own.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ESCALATION_NOTIFIER_H_
