#include "agent/group.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "queue/etcd_acceptors.h"
#include "throttling/etcd_coordinator.h"
#include "throttling/etcd_shared_text.h"
#include "throttling/grpc_etcd_client.h"
#include "throttling/local_coordinator.h"

namespace salve {
namespace {

constexpr char kDefaultPrefix[] = "/salve";

}  // namespace

absl::StatusOr<std::unique_ptr<Group>> Group::Join(const AgentDefinition& agent, GroupParts parts) {
  auto group = std::make_unique<Group>();
  if (!agent.config.coordinator().has_etcd()) {
    group->coordinator_ = NewLocalCoordinator(parts.loop, parts.ledger);
    group->acceptors_ = std::make_unique<ListAcceptors>(agent.server, nullptr);
    group->Configure(agent);
    return group;
  }
  const config::EtcdCoordinator& config = agent.config.coordinator().etcd();
  GrpcEtcdOptions etcd;
  etcd.endpoints.assign(config.endpoint().begin(), config.endpoint().end());
  etcd.ca_file = config.ca_file();
  etcd.certificate_file = config.certificate_file();
  etcd.key_file = config.key_file();
  etcd.user = config.user();
  etcd.password_file = config.password_file();
  ASSIGN_OR_RETURN(group->etcd_, NewGrpcEtcdClient(std::move(etcd), parts.loop, parts.http));

  EtcdCoordinatorOptions options;
  options.prefix = config.prefix().empty() ? kDefaultPrefix : config.prefix();
  options.group = agent.group;
  options.server = agent.server;
  options.machine_id = parts.machine_id;
  options.boot_id = parts.boot_id;
  options.agent_version = parts.agent_version;
  options.say = parts.say;
  group->overrides_ = NewEtcdSharedText(options.prefix + "/overrides", parts.loop, *group->etcd_);
  group->pause_ = NewEtcdSharedText(
      absl::StrCat(options.prefix, "/groups/", agent.group, "/paused"), parts.loop, *group->etcd_);
  group->acceptors_ = std::make_unique<ListAcceptors>(
      agent.server,
      NewEtcdAcceptors({options.prefix, agent.group, agent.server}, parts.loop, *group->etcd_));
  group->Configure(agent);
  group->coordinator_ =
      NewEtcdCoordinator(std::move(options), parts.loop, *group->etcd_, parts.ledger, parts.random);
  return group;
}

void Group::Configure(const AgentDefinition& agent) { acceptors_->Configure(agent.config.queue()); }

bool IsSameGroup(const AgentDefinition& a, const AgentDefinition& b) {
  return a.server == b.server && a.group == b.group &&
         a.config.coordinator().SerializeAsString() == b.config.coordinator().SerializeAsString();
}

}  // namespace salve
