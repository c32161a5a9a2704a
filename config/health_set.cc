#include "config/health_set.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/combination.h"
#include "config/components.h"
#include "config/conditions.h"
#include "config/destinations.h"
#include "config/duration.h"
#include "config/expand.h"
#include "config/item.h"
#include "config/names.h"

namespace salve {
namespace {

constexpr size_t kDescriptionBytesMax = 1 << 10;
constexpr int kCombinedMax = 100;
constexpr size_t kItemsMax = 100000;
constexpr size_t kExpandedBytesMax = 256 << 20;

constexpr char kNameRule[] = "letters, digits and . _ - are allowed, 100 of them at most";
constexpr char kSampleTarget[] = "sample";

using TakenNames = absl::flat_hash_map<std::string, Place>;

// Adds a fault when `name` is none, or is taken already; takes it.
void TakeName(const std::string& name, TakenNames& taken, ItemFaults& faults) {
  if (name.empty()) return faults.Add("name", "is needed");
  if (!IsValidName(name)) {
    return faults.Add("name", absl::StrCat(Quoted(name), " is no name: ", kNameRule));
  }
  const auto [other, is_new] = taken.try_emplace(absl::AsciiStrToLower(name), faults.place());
  if (!is_new) {
    faults.Add("name", absl::StrCat("is taken at ", other->second.DescribeLine("name")));
  }
}

template <typename Items>
std::vector<std::string> NamesOf(const Items& items) {
  std::vector<std::string> names;
  for (const auto& item : items) names.push_back(item.name());
  return names;
}

// The field at `path` refers to an item of the set that is not there.
void AddUnknown(const std::string& path, const std::string& kind, const std::string& name,
                const std::vector<std::string>& known, ItemFaults& faults) {
  // All names are compared with each that is not known: not for more than are told.
  const std::string hint = faults.tells() ? DidYouMean(name, known) : "";
  faults.Add(path, absl::StrCat("the set has no ", kind, " ", Quoted(name), hint));
}

std::string NamesOfStates(const std::vector<StateTransition>& timeline) {
  return absl::StrJoin(timeline, ", ", [](std::string* out, const StateTransition& transition) {
    absl::StrAppend(out, config::HealthState_Name(transition.to));
  });
}

// A responder must answer a state that its monitor enters, and before the monitor leaves it.
void CheckMoment(const ResponderDefinition& responder, const MonitorDefinition& monitor,
                 ItemFaults& faults) {
  // Every monitor may be unable to look, at any time and for any time.
  if (responder.on == config::UNAVAILABLE) return;
  const std::vector<StateTransition>& timeline = monitor.transitions;
  for (size_t i = 0; i < timeline.size(); ++i) {
    if (timeline[i].to != responder.on) continue;
    if (i + 1 == timeline.size()) return;
    const absl::Duration stay = timeline[i + 1].after - timeline[i].after;
    if (responder.after < stay) return;
    return faults.Add(
        "after",
        absl::StrCat(DurationText(responder.after), " is never reached: the monitor leaves ",
                     config::HealthState_Name(responder.on), " after ", DurationText(stay)));
  }
  faults.Add("on", absl::StrCat("monitor ", Quoted(monitor.name), " is never ",
                                config::HealthState_Name(responder.on), ", only ",
                                NamesOfStates(timeline)));
}

}  // namespace

// Reads one set.
class HealthSetReader::SetReader {
 public:
  SetReader(const config::HealthSet& set, const Place& place, HealthSetReader& server)
      : set_(set),
        place_(place),
        server_(server),
        faults_(absl::StrCat("health set ", Quoted(set.name())), place, server.errors_),
        probe_names_(NamesOf(set.probe())),
        monitor_names_(NamesOf(set.monitor())) {
    for (int i = 0; i < set.monitor_size(); ++i) monitors_.try_emplace(monitor_names_[i], i);
    for (const std::string& name : probe_names_) probes_.insert(name);
  }

  HealthSetDefinition Read() {
    TakeName(set_.name(), server_.sets_, faults_);
    CheckDescription();
    const Conditions conditions = ReadConditions(set_, server_.world_.found, faults_);
    CheckSize(std::max<size_t>(conditions.targets.size(), 1));
    CheckItemNames();
    HealthSetDefinition definition;
    definition.name = set_.name();
    definition.group = set_.group();
    definition.enabled = !set_.has_enabled() || set_.enabled();
    definition.applicable = conditions.applicable;
    definition.depends_on.assign(set_.depends_on().begin(), set_.depends_on().end());
    definition.skipped_paths = conditions.skipped_paths;
    if (faults_.any()) return definition;
    if (!set_.for_each().glob().empty()) {
      server_.combinations_.NoteChangingTargets(set_.name(), monitor_names_);
    }
    for (const std::string& target : conditions.targets) ReadItems(target, definition);
    if (conditions.targets.empty()) CheckSample();
    return definition;
  }

 private:
  void CheckDescription() {
    if (set_.description().size() <= kDescriptionBytesMax) return;
    faults_.Add("description", absl::StrCat("has ", set_.description().size(), " bytes; at most ",
                                            kDescriptionBytesMax, " may be"));
  }

  // Where a glob has no target now its items are checked all the same: a fault must not wait for
  // the day on which what they watch is installed.
  void CheckSample() {
    is_sample_ = true;
    HealthSetDefinition sample;
    ReadItems(kSampleTarget, sample);
  }

  // Before anything is expanded: a small file may ask for very much.
  void CheckSize(size_t targets) {
    const size_t written = set_.probe_size() + set_.monitor_size() + set_.responder_size();
    server_.items_ += written * targets;
    server_.bytes_ += set_.ByteSizeLong() * targets;
    if (server_.items_ > kItemsMax) {
      faults_.Add("", absl::StrCat("is one too many: with it the server has ", server_.items_,
                                   " items; at most ", kItemsMax, " may be"));
    } else if (server_.bytes_ > kExpandedBytesMax) {
      faults_.Add("", absl::StrCat("is one too many: with it the server has ", server_.bytes_ >> 20,
                                   " MiB of items; at most ", kExpandedBytesMax >> 20, " may be"));
    }
  }

  void CheckItemNames() {
    TakenNames probes, monitors, responders;
    CheckNamesOf("probe", set_.probe(), probes);
    CheckNamesOf("monitor", set_.monitor(), monitors);
    CheckNamesOf("responder", set_.responder(), responders);
  }

  template <typename Items>
  void CheckNamesOf(const std::string& kind, const Items& items, TakenNames& taken) {
    for (int i = 0; i < items.size(); ++i) {
      ItemFaults faults = FaultsOf(kind, items[i], i, items[i].name());
      TakeName(items[i].name(), taken, faults);
      if (faults.any()) misnamed_.insert(&items[i]);
    }
  }

  void ReadItems(const std::string& target, HealthSetDefinition& into) {
    const size_t first_monitor = into.monitors.size();
    for (int i = 0; i < set_.probe_size(); ++i) {
      config::Probe probe = Expanded(set_.probe(i), target);
      ItemFaults faults = FaultsOf("probe", set_.probe(i), i, probe.name());
      Keep(ReadProbe(std::move(probe), server_.world_.checks, faults), target, into.probes);
      Note(faults, set_.probe(i));
    }
    for (int i = 0; i < set_.monitor_size(); ++i) {
      config::Monitor monitor = Expanded(set_.monitor(i), target);
      ItemFaults faults = FaultsOf("monitor", set_.monitor(i), i, monitor.name());
      const bool combines = CombinationOf(monitor) != nullptr;
      if (combines) CheckCombined(set_.monitor(i), faults);
      if (!combines) CheckProbesOf(set_.monitor(i), faults);
      Keep(ReadMonitor(std::move(monitor), server_.world_.checks, faults), target, into.monitors);
      if (combines && !faults.any()) {
        server_.combinations_.Note(into.monitors.back(), &set_.monitor(i), faults.place());
      }
      Note(faults, set_.monitor(i));
    }
    for (int i = 0; i < set_.responder_size(); ++i) {
      config::Responder responder = Expanded(set_.responder(i), target);
      ItemFaults faults = FaultsOf("responder", set_.responder(i), i, responder.name());
      const config::Responder& written = set_.responder(i);
      if (!misnamed_.contains(&written) && !is_sample_) {
        CheckNameOnServer(responder.name(), faults);
      }
      CheckDestinationsOf(responder.escalate(), server_.world_.agent, faults);
      CheckComponentOf(responder, server_.world_.agent, faults);
      ResponderDefinition definition =
          ReadResponder(std::move(responder), server_.world_.checks, faults);
      CheckMonitorOf(written, definition, into, first_monitor, faults);
      Keep(std::move(definition), target, into.responders);
      Note(faults, written);
    }
  }

  void CheckProbesOf(const config::Monitor& monitor, ItemFaults& faults) {
    if (monitor.probe().empty()) faults.Add("", "needs a probe");
    absl::flat_hash_set<std::string> seen;
    for (int i = 0; i < monitor.probe_size(); ++i) {
      const std::string& name = monitor.probe(i);
      const std::string path = absl::StrCat("probe[", i, "]");
      if (!probes_.contains(name)) {
        AddUnknown(path, "probe", name, probe_names_, faults);
      } else if (!seen.insert(name).second) {
        faults.Add(path, absl::StrCat(Quoted(name), " is there twice"));
      }
    }
  }

  void CheckCombined(const config::Monitor& monitor, ItemFaults& faults) {
    const std::string path = monitor.has_all_of() ? "all_of" : "any_of";
    const auto& combined = CombinationOf(monitor)->monitor();
    if (!monitor.probe().empty()) faults.Add("probe", "a combination has no probes of its own");
    if (combined.empty()) faults.Add(path, "needs a monitor");
    if (combined.size() > kCombinedMax) {
      faults.Add(path, absl::StrCat("has ", combined.size(), " monitors; at most ", kCombinedMax,
                                    " may be"));
    }
    absl::flat_hash_set<std::string> seen;
    for (int i = 0; i < combined.size(); ++i) {
      if (seen.insert(combined[i]).second) continue;
      faults.Add(absl::StrCat(path, ".monitor[", i, "]"),
                 absl::StrCat(Quoted(combined[i]), " is there twice"));
    }
  }

  void CheckMonitorOf(const config::Responder& written, const ResponderDefinition& responder,
                      const HealthSetDefinition& so_far, size_t first_monitor, ItemFaults& faults) {
    if (written.monitor().empty()) return faults.Add("", "needs a monitor");
    const auto found = monitors_.find(written.monitor());
    if (found == monitors_.end()) {
      return AddUnknown("monitor", "monitor", written.monitor(), monitor_names_, faults);
    }
    // What follows from a fault is not told again.
    if (faults.any() || faulty_.contains(&set_.monitor(found->second))) return;
    CheckMoment(responder, so_far.monitors[first_monitor + found->second], faults);
  }

  void CheckNameOnServer(const std::string& name, ItemFaults& faults) {
    const auto [other, is_new] =
        server_.responders_.try_emplace(absl::AsciiStrToLower(name), faults.place());
    if (is_new) return;
    faults.Add("name",
               absl::StrCat("is taken on this server at ", other->second.DescribeLine("name")));
  }

  template <typename Item>
  static Item Expanded(Item item, const std::string& target) {
    if (!target.empty()) ExpandItem(target, item);
    return item;
  }

  template <typename Item>
  ItemFaults FaultsOf(const std::string& kind, const Item& written, int index,
                      const std::string& name) {
    return ItemFaults(absl::StrCat(kind, " ", Quoted(absl::StrCat(set_.name(), "/", name))),
                      place_.In(kind, index), server_.errors_, faulty_.contains(&written));
  }

  template <typename Item>
  void Note(const ItemFaults& faults, const Item& written) {
    if (faults.any()) faulty_.insert(&written);
  }

  template <typename Definition>
  void Keep(Definition definition, const std::string& target, std::vector<Definition>& into) {
    definition.health_set = set_.name();
    definition.target = target;
    into.push_back(std::move(definition));
  }

  const config::HealthSet& set_;
  const Place& place_;
  HealthSetReader& server_;
  ItemFaults faults_;
  const std::vector<std::string> probe_names_;  // As written, in their order.
  const std::vector<std::string> monitor_names_;
  absl::flat_hash_set<std::string> probes_;
  absl::flat_hash_map<std::string, int> monitors_;
  // Items as written: those whose names are wrong, and those that have told a fault.
  absl::flat_hash_set<const void*> misnamed_;
  absl::flat_hash_set<const void*> faulty_;
  bool is_sample_ = false;
};

HealthSetDefinition HealthSetReader::Read(const config::HealthSet& set, const Place& place) {
  return SetReader(set, place, *this).Read();
}

}  // namespace salve
