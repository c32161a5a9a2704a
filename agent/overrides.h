// Overrides: what people ask about overrides, answered: each is checked against the configuration,
// kept by the store, laid over the engine, and recorded. Lives on the loop's thread.
#ifndef SALVE_AGENT_OVERRIDES_H_
#define SALVE_AGENT_OVERRIDES_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/engine.h"
#include "agent/override_store.h"
#include "api/salve.pb.h"
#include "base/event_loop.h"
#include "base/worker.h"
#include "channels/event_log.h"

namespace salve {

class Overrides {
 public:
  // All must outlive it.
  struct Parts {
    EventLoop& loop;
    Worker& worker;
    EventLog& events;
    Engine& engine;
  };
  Overrides(Parts parts, OverrideStoreOptions options);

  // Reads what there is and gives it to the engine. Blocks. Once, before the engine's first Apply.
  void Load();

  // Errors (through `done`): kInvalidArgument: what is wrong with it; kNotFound: no such item, with
  // the nearest names; else as OverrideStore::Add. In force when `done` is called.
  void Add(const v1::AddOverrideRequest& request,
           std::function<void(absl::StatusOr<v1::AddOverrideResponse>)> done);
  // Errors (through `done`): kInvalidArgument, kNotFound; else as OverrideStore::Remove.
  void Remove(const v1::RemoveOverrideRequest& request,
              std::function<void(absl::StatusOr<v1::RemoveOverrideResponse>)> done);
  v1::ListOverridesResponse List() const;

  // What is wrong with files that are refused now.
  std::vector<std::string> faults() const { return store_.faults(); }

 private:
  absl::StatusOr<ScopedOverride> Read(const v1::AddOverrideRequest& request) const;
  OverrideSet With(const ScopedOverride& one) const;
  void GiveToEngine();
  void Record(const OverrideNews& news);
  v1::Override Proto(const ScopedOverride& one) const;
  v1::Override Listed(const ScopedOverride& one) const;

  const Parts parts_;
  OverrideStore store_;
};

}  // namespace salve

#endif  // SALVE_AGENT_OVERRIDES_H_
