#include "monitors/combination.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "config/combination.h"

namespace salve {
namespace {

constexpr size_t kTextBytesMax = 1000;

enum class Says { kAlert, kNoAlert, kNothing };

Says WhatItSays(const MonitorStatus& status) {
  switch (status.state) {
    case config::UNAVAILABLE:
    case config::UNINITIALIZED:
    case config::DISABLED:
    case config::REPAIRING:
      return Says::kNothing;
    default:
      return status.alert ? Says::kAlert : Says::kNoAlert;
  }
}

}  // namespace

void CombinationGraph::Take(const std::vector<HealthSetDefinition>& sets) {
  std::map<std::string, Node> before;
  before.swap(nodes_);
  over_.clear();
  order_.clear();
  for (const HealthSetDefinition& set : sets) {
    if (!set.active()) continue;
    for (const MonitorDefinition& definition : set.monitors) {
      std::vector<std::string> inputs = salve::InputsOf(definition);
      if (inputs.empty()) continue;
      const std::string name = FullName(definition);
      Node& node = nodes_[name];
      node.all = definition.config.has_all_of();
      if (const auto old = before.find(name); old != before.end()) {
        node.counted = std::move(old->second.counted);
      }
      for (const std::string& input : inputs) over_[input].push_back(name);
      node.inputs = std::move(inputs);
    }
  }
  std::map<std::string, size_t> waits_for;
  std::vector<std::string> ready;
  for (const auto& [name, node] : nodes_) {
    waits_for[name] = std::count_if(node.inputs.begin(), node.inputs.end(),
                                    [&](const auto& input) { return nodes_.contains(input); });
    if (waits_for[name] == 0) ready.push_back(name);
  }
  while (!ready.empty()) {
    const std::string name = std::move(ready.back());
    ready.pop_back();
    order_.push_back(name);
    for (const std::string& over : over_[name]) {
      if (--waits_for[over] == 0) ready.push_back(over);
    }
  }
}

std::vector<std::string> CombinationGraph::Over(const std::string& monitor) const {
  std::vector<std::string> over;
  std::set<std::string> above;
  std::vector<std::string> open = {monitor};
  while (!open.empty()) {
    const auto found = over_.find(open.back());
    open.pop_back();
    if (found == over_.end()) continue;
    for (const std::string& name : found->second) {
      if (above.insert(name).second) open.push_back(name);
    }
  }
  if (above.empty()) return over;
  for (const std::string& name : order_) {
    if (above.contains(name)) over.push_back(name);
  }
  return over;
}

const std::vector<std::string>& CombinationGraph::InputsOf(const std::string& monitor) const {
  static const std::vector<std::string>& none = *new std::vector<std::string>;
  const auto found = nodes_.find(monitor);
  return found == nodes_.end() ? none : found->second.inputs;
}

InputsLook CombinationGraph::Look(const std::string& combination, const Ask& ask) {
  Node& node = nodes_.at(combination);
  InputsLook look;
  look.text = node.all ? "all of: " : "any of: ";
  size_t alerts = 0;
  size_t silent = 0;
  bool some_not_yet = false;
  for (const std::string& name : node.inputs) {
    const Input input = ask(name);
    uint64_t& counted = node.counted[name];
    const bool is_new = input.status.bad_looks != counted;
    counted = input.status.bad_looks;
    if (&name != &node.inputs.front()) look.text += ", ";
    absl::StrAppend(&look.text, name, " is ", config::HealthState_Name(input.status.state));
    switch (WhatItSays(input.status)) {
      case Says::kAlert:
        ++alerts;
        if (is_new && input.status.fresh) look.fresh = true;
        if (input.record_id != 0) look.record_ids.push_back(input.record_id);
        break;
      case Says::kNoAlert:
        break;
      case Says::kNothing:
        ++silent;
        some_not_yet |= input.status.state == config::UNINITIALIZED;
    }
  }
  if (look.text.size() > kTextBytesMax) look.text = look.text.substr(0, kTextBytesMax) + " …";
  std::sort(look.record_ids.begin(), look.record_ids.end());
  const size_t well = node.inputs.size() - alerts - silent;
  const bool decided = silent == 0 || (node.all ? well > 0 : alerts > 0);
  const bool alert = node.all ? well == 0 : alerts > 0;
  look.outcome = !decided ? Outcome::kRejected : alert ? Outcome::kFailed : Outcome::kSucceeded;
  look.too_early = !decided && some_not_yet;
  return look;
}

}  // namespace salve
