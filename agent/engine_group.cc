// The group of this server, as people and other servers concern the engine.
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"

namespace salve {

void Engine::OnGroupFreed(RecoveryAction action, const std::string& resource,
                          absl::Duration spread) {
  for (const auto& [name, item] : monitors_) {
    for (size_t i = 0; i < item->responders.size(); ++i) {
      ResponderItem& responder = item->responders[i];
      if (!responder.refused_by_group || responder.action->id() != ActionName(action)) continue;
      if (!resource.empty() && !absl::EqualsIgnoreCase(responder.action->resource(), resource)) {
        continue;
      }
      responder.refused_by_group = false;
      item->chain.AskAgainAt(i, parts_.loop.Now() + spread);
      Consider(item);
    }
  }
}

void Engine::ListServers(std::function<void(absl::StatusOr<v1::ListServersResponse>)> done) {
  parts_.coordinator.ListServers([this, alive = alive_, done = std::move(done)](
                                     absl::StatusOr<std::vector<GroupMember>> members) {
    if (!*alive) return;
    if (!members.ok()) return done(members.status());
    v1::ListServersResponse response;
    response.set_group(configuration_.agent.group);
    for (const GroupMember& member : *members) {
      v1::GroupServer& server = *response.add_servers();
      server.set_name(member.name);
      server.set_alive(member.alive);
      server.set_protocol_version(member.protocol_version);
      server.set_counted(true);  // Who is not counted any more is not in the list either.
      server.set_machine_id(member.machine_id);
      server.set_agent_version(member.agent_version);
      if (member.seen > absl::UnixEpoch()) SetTime(member.seen, server.mutable_last_seen());
    }
    done(std::move(response));
  });
}

void Engine::ForgetServer(const v1::ForgetServerRequest& request,
                          std::function<void(absl::StatusOr<v1::ForgetServerResponse>)> done) {
  parts_.coordinator.ForgetServer(
      request.name(), [this, alive = alive_, request, done = std::move(done)](absl::Status status) {
        if (!*alive) return;
        if (!status.ok()) return done(status);
        AppendAgentEvent(10, v1::Information,
                         absl::StrCat("the server ", request.name(), " of the group ",
                                      configuration_.agent.group, " was forgotten"),
                         0, request.user());
        done(v1::ForgetServerResponse());
      });
}

}  // namespace salve
