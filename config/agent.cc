#include "config/agent.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "api/events.pb.h"
#include "config/components.h"
#include "config/destinations.h"
#include "config/item_faults.h"
#include "config/names.h"
#include "config/queue.h"
#include "config/remote.h"
#include "config/rules.h"

namespace salve {
namespace {

constexpr size_t kVersionLengthMax = 100;
constexpr int kEndpointsMax = 16;
constexpr size_t kPrefixLengthMax = 200;

void CheckName(const std::string& field, const std::string& name, ItemFaults& faults) {
  if (IsValidName(name)) return;
  faults.Add(field, absl::StrCat(Quoted(name), " is no name: letters, digits and . _ - are ",
                                 "allowed, 100 of them at most"));
}

void CheckServer(const config::Agent& agent, const std::string& server, ItemFaults& faults) {
  if (!agent.server().empty() || IsValidName(server)) return CheckName("server", server, faults);
  faults.Add("server", absl::StrCat("the host's name ", Quoted(server),
                                    " is no name for a server: write one here"));
}

void CheckVersion(const std::string& version, ItemFaults& faults) {
  if (version.size() <= kVersionLengthMax &&
      std::all_of(version.begin(), version.end(), absl::ascii_isprint)) {
    return;
  }
  faults.Add("version", absl::StrCat(Quoted(version), " is no version: at most ", kVersionLengthMax,
                                     " printable ASCII characters are allowed"));
}

void CheckEtcd(const config::Agent& agent, ItemFaults& faults) {
  const config::EtcdCoordinator& etcd = agent.coordinator().etcd();
  const std::string path = "coordinator.etcd";
  if (agent.group().empty()) {
    faults.Add(path, "a coordinator that servers share needs a group: write one beside it");
  }
  if (etcd.endpoint().empty()) faults.Add(path + ".endpoint", "is needed");
  if (etcd.endpoint_size() > kEndpointsMax) {
    faults.Add(path + ".endpoint", absl::StrCat("there are more than ", kEndpointsMax));
  }
  bool tls = false;
  for (int i = 0; i < etcd.endpoint_size(); ++i) {
    const std::string& url = etcd.endpoint(i);
    absl::string_view rest = url;
    const bool is_https = absl::ConsumePrefix(&rest, "https://");
    tls |= is_https;
    absl::ConsumeSuffix(&rest, "/");
    const bool is_url = (is_https || absl::ConsumePrefix(&rest, "http://")) && !rest.empty() &&
                        std::all_of(rest.begin(), rest.end(), absl::ascii_isgraph) &&
                        !absl::StrContains(rest, '/');
    if (!is_url) {
      faults.Add(absl::StrCat(path, ".endpoint[", i, "]"),
                 absl::StrCat(Quoted(url),
                              " is no endpoint: write http://HOST:PORT or "
                              "https://HOST:PORT"));
    }
  }
  const std::string& prefix = etcd.prefix();
  if (!prefix.empty() &&
      (prefix.front() != '/' || prefix.back() == '/' || prefix.size() > kPrefixLengthMax ||
       !std::all_of(prefix.begin(), prefix.end(), absl::ascii_isgraph))) {
    faults.Add(path + ".prefix", absl::StrCat(Quoted(prefix), " is no prefix: it begins with /, ",
                                              "does not end with it and holds no space"));
  }
  const std::pair<const char*, const std::string*> files[] = {
      {"ca_file", &etcd.ca_file()},
      {"certificate_file", &etcd.certificate_file()},
      {"key_file", &etcd.key_file()},
      {"password_file", &etcd.password_file()}};
  for (const auto& [name, file] : files) {
    if (!file->empty() && file->front() != '/') {
      faults.Add(absl::StrCat(path, ".", name),
                 absl::StrCat(Quoted(*file), " is no path from / on"));
    }
    if (!file->empty() && !tls && file != &etcd.password_file()) {
      faults.Add(absl::StrCat(path, ".", name), "is of no use: no endpoint is https");
    }
  }
  if (etcd.certificate_file().empty() != etcd.key_file().empty()) {
    faults.Add(path, "certificate_file and key_file are needed both or not at all");
  }
  if (etcd.user().empty() != etcd.password_file().empty()) {
    faults.Add(path, "user and password_file are needed both or not at all");
  }
}

// A group of servers that each know only themselves would let a common fault act on all of
// them at once, which is what a group is there to prevent.
void CheckCoordinator(const config::Agent& agent, ItemFaults& faults) {
  if (agent.coordinator().has_etcd()) CheckEtcd(agent, faults);
  const bool is_local = !agent.has_coordinator() || agent.coordinator().has_local();
  if (agent.has_coordinator()) faults.CheckHasOne(agent.coordinator(), "kind", "coordinator");
  if (!agent.group().empty() && is_local) {
    faults.Add("group",
               absl::StrCat("a group needs a coordinator that its servers share: with a local one "
                            "each server of ",
                            Quoted(agent.group()),
                            " would be a group of its own, and a common "
                            "fault could act on all of them at once"));
  }
}

// A floor that counts nobody would be none.
void CheckHealthFloor(const config::Agent& agent, ItemFaults& faults) {
  if (agent.min_healthy_percent() == 0 ||
      (!agent.group().empty() && agent.coordinator().has_etcd())) {
    return;
  }
  faults.Add("min_healthy_percent",
             "needs a group and a coordinator that its servers share: nobody else's health is "
             "known here, and a floor that counts nobody would be none");
}

std::vector<std::string> ChannelNames() {
  const auto* type = v1::Channel_descriptor();
  std::vector<std::string> names;
  for (int i = 0; i < type->value_count(); ++i) {
    if (type->value(i)->number() != 0) names.push_back(type->value(i)->name());
  }
  return names;
}

void CheckChannel(const std::string& path, const std::string& name, ItemFaults& faults) {
  const std::vector<std::string> known = ChannelNames();
  if (std::find(known.begin(), known.end(), name) != known.end()) return;
  if (name.empty()) return faults.Add(path, "is needed");
  faults.Add(path, absl::StrCat("there is no channel ", Quoted(name), DidYouMean(name, known)));
}

template <typename Names>
void CheckChannels(const std::string& path, const Names& names, ItemFaults& faults) {
  absl::flat_hash_set<std::string> seen;
  for (int i = 0; i < names.size(); ++i) {
    const std::string element = absl::StrCat(path, "[", i, "]");
    if (names[i] != "*") CheckChannel(element, names[i], faults);
    if (!seen.insert(names[i]).second) {
      faults.Add(element, absl::StrCat(Quoted(names[i]), " is there twice"));
    }
  }
}

void CheckExports(const config::Channels& channels, ItemFaults& faults) {
  absl::flat_hash_set<std::string> seen;
  for (int i = 0; i < channels.retention_size(); ++i) {
    const std::string path = absl::StrCat("channels.retention[", i, "].channel");
    const std::string& name = channels.retention(i).channel();
    CheckChannel(path, name, faults);
    if (!seen.insert(name).second) faults.Add(path, absl::StrCat(Quoted(name), " is there twice"));
  }
  if (channels.has_journal() && channels.journal().channel().empty()) {
    faults.Add("channels.journal", "needs a channel; \"*\" is all of them");
  }
  CheckChannels("channels.journal.channel", channels.journal().channel(), faults);
  CheckChannels("channels.jsonl.channel", channels.jsonl().channel(), faults);
  if (channels.has_jsonl() && !absl::StartsWith(channels.jsonl().path(), "/")) {
    faults.Add("channels.jsonl.path",
               absl::StrCat(Quoted(channels.jsonl().path()), " is no path from / on"));
  }
}

}  // namespace

AgentDefinition ReadAgent(config::Agent agent, const Place& place, const std::string& host_name,
                          ErrorList& errors) {
  ItemFaults faults("", place, errors);
  CheckRanges(agent, place,
              [&](const std::string& path, const std::string& why) { faults.Add(path, why); });
  AgentDefinition definition;
  definition.server = agent.server().empty() ? host_name : agent.server();
  definition.group = agent.group();
  definition.version = agent.version();
  definition.boot_grace = DurationOf(agent, "boot_grace");
  definition.stop_timeout = DurationOf(agent, "stop_timeout");
  definition.max_children = static_cast<int>(NumberOf(agent, "max_children"));
  CheckServer(agent, definition.server, faults);
  if (!agent.group().empty()) CheckName("group", agent.group(), faults);
  CheckVersion(agent.version(), faults);
  if (!agent.exec_user().empty() && !IsValidUserName(agent.exec_user())) {
    faults.Add("exec_user", absl::StrCat(Quoted(agent.exec_user()), " is no name of a user"));
  }
  CheckCoordinator(agent, faults);
  CheckHealthFloor(agent, faults);
  CheckExports(agent.channels(), faults);
  CheckDestinations(agent, faults);
  CheckQueue(agent, faults);
  CheckComponents(agent, faults);
  if (agent.has_remote()) CheckRemote(agent.remote(), faults);
  definition.config = std::move(agent);
  return definition;
}

}  // namespace salve
