// FakeSystemd: the other end of the D-Bus connection, for tests of the real client: systemd
// as a direct peer, or systemd behind a message bus. It listens on a socket of its own and
// lives on the same loop as the client.
#ifndef SALVE_BASE_FAKE_SYSTEMD_H_
#define SALVE_BASE_FAKE_SYSTEMD_H_

#include <systemd/sd-bus.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/bus_link.h"
#include "base/event_loop.h"
#include "base/service_manager.h"
#include "base/unique_fd.h"

namespace salve {

class FakeSystemd {
 public:
  // Listens at `path`. Requires: `path` is free and shorter than 100 bytes.
  FakeSystemd(EventLoop& loop, std::string path, bool is_message_bus);
  ~FakeSystemd();

  BusAddress address() const { return {"unix:path=" + path_, is_message_bus_}; }

  // What the client asks about; a unit that is not here is not-found.
  std::map<std::string, UnitState> units;
  std::string system_state = "running";
  bool preparing_for_shutdown = false;
  // Of logind's ListInhibitors.
  struct Inhibitor {
    std::string what, who, why, mode;
  };
  std::vector<Inhibitor> inhibitors;
  bool malformed_list = false;  // ListUnitsFiltered answers with something else.
  // Answers these members with a D-Bus error: its name.
  std::map<std::string, std::string> errors;
  // Does not answer these members, until AnswerHeld.
  std::set<std::string> silent;
  // Ends a job, with this result, before RestartUnit or ReloadUnit is answered.
  std::string early_result;

  // "Member argument…" of each call of the client's, without Hello, AddMatch and RemoveMatch.
  const std::vector<std::string>& calls() const { return calls_; }
  int CountCalls(const std::string& call) const;
  uint32_t last_job() const { return last_job_; }

  // Sends PropertiesChanged of a unit: `interface` is "Service" or "Unit", and only what
  // belongs to it is in the signal. `sender` is for a liar.
  void SignalUnit(const std::string& unit, const std::string& interface,
                  const std::string& sender = "");
  // Sends PropertiesChanged of the manager, as when a unit fails or no longer does.
  void SignalFailedCount(const std::string& sender = "");
  void SignalJob(const std::string& member, uint32_t job, const std::string& unit,
                 const std::string& result = "");
  void EndJob(uint32_t job, const std::string& unit, const std::string& result);
  void SignalReloading(bool begins);
  void SignalPrepareForShutdown();
  // Another systemd process has taken the name on the bus.
  void ChangeOwner(const std::string& owner);

  // Answers the calls that were not answered, as if they came now.
  void AnswerHeld();

  // Closes the connections, as a restart does; and refuses new ones until Listen.
  void Drop();
  void StopListening();
  void Listen();

 private:
  struct Connection {
    FakeSystemd* fake;
    sd_bus* bus;
    WatchId watch;
  };

  void Accept();
  void Process(Connection& connection);
  int Answer(sd_bus_message* call);
  void AnswerRestart(sd_bus_message* call);
  void AppendList(sd_bus_message* reply, const std::string& active_state);
  void Send(sd_bus_message* message, const std::string& sender = "");
  void SendToAll(const std::string& path, const std::string& interface, const std::string& member,
                 const std::string& sender, const std::function<void(sd_bus_message*)>& append);

  EventLoop& loop_;
  const std::string path_;
  const bool is_message_bus_;
  std::string owner_;
  UniqueFd listener_;
  WatchId listen_watch_ = WatchId::kNone;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::string> calls_;
  std::vector<BusMessage> held_calls_;
  std::set<uint32_t> running_jobs_;
  uint32_t last_job_ = 100;
};

}  // namespace salve

#endif  // SALVE_BASE_FAKE_SYSTEMD_H_
