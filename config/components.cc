#include "config/components.h"

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "config/errors.h"
#include "config/listen_address.h"
#include "config/names.h"

namespace salve {
namespace {

constexpr int kComponentsMax = 1000;

template <typename Argv>
void CheckCommand(const std::string& path, const Argv& argv, ItemFaults& faults) {
  if (!argv.empty() && argv[0].empty()) faults.Add(path + "[0]", "the argv begins empty");
}

}  // namespace

void CheckComponents(const config::Agent& agent, ItemFaults& faults) {
  if (agent.component_size() > kComponentsMax) {
    faults.Add("component", absl::StrCat("there are more than ", kComponentsMax));
  }
  absl::flat_hash_set<std::string> names, files;
  for (int i = 0; i < agent.component_size(); ++i) {
    const config::Component& component = agent.component(i);
    const std::string path = absl::StrCat("component[", i, "]");
    if (component.name().empty()) {
      faults.Add(path, "needs a name");
    } else if (!IsValidName(component.name())) {
      faults.Add(path + ".name", absl::StrCat(Quoted(component.name()),
                                              " is no name: letters, digits and . _ - are "
                                              "allowed, 100 of them at most"));
    } else if (!names.insert(absl::AsciiStrToLower(component.name())).second) {
      faults.Add(path + ".name", absl::StrCat(Quoted(component.name()), " is there twice"));
    }
    const std::string& file = component.state_file();
    if (!file.empty() && (!absl::StartsWith(file, "/") || absl::EndsWith(file, "/"))) {
      faults.Add(path + ".state_file", absl::StrCat(Quoted(file), " is no path from / on"));
    } else if (!file.empty() && !files.insert(file).second) {
      faults.Add(path + ".state_file",
                 absl::StrCat(Quoted(file), " is the file of another component too"));
    }
    CheckCommand(path + ".offline_command", component.offline_command(), faults);
    CheckCommand(path + ".online_command", component.online_command(), faults);
  }
  if (agent.ready_listen().empty()) return;
  const auto address = ParseListenAddress(agent.ready_listen());
  if (!address.ok()) faults.Add("ready_listen", std::string(address.status().message()));
}

void CheckComponentOf(const config::Responder& responder, const config::Agent& agent,
                      ItemFaults& faults) {
  const bool takes_offline = responder.has_take_offline();
  if (!takes_offline && !responder.has_bring_online()) return;
  const std::string& name =
      takes_offline ? responder.take_offline().component() : responder.bring_online().component();
  if (name.empty()) return;  // The kind says so.
  std::vector<std::string> known;
  for (const config::Component& component : agent.component()) {
    if (component.name() == name) return;
    known.push_back(component.name());
  }
  faults.Add(
      takes_offline ? "take_offline.component" : "bring_online.component",
      absl::StrCat("salve.textproto has no component ", Quoted(name), DidYouMean(name, known)));
}

}  // namespace salve
