// gRPC channels to an agent, and what their failures mean in words.
#ifndef SALVE_CLI_CHANNEL_H_
#define SALVE_CLI_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace salve {

// An agent elsewhere, and what to show and trust there.
struct RemoteAgent {
  std::string server;            // "HOST:PORT". Empty: none, the sockets are used.
  std::string ca_file;           // PEM, of the agent's certificate.
  std::string certificate_file;  // PEM, with key_file.
  std::string key_file;
};

// Errors: kUnavailable, kPermissionDenied: the socket can't be opened; kInvalidArgument: its path
// is empty or too long.
absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelToSocket(const std::string& path);

// Connects at the first call. Errors: kInvalidArgument: no HOST:PORT, or a file that can't be read
// or is no PEM.
absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelToServer(const RemoteAgent& agent);

// A sentence for an UNAVAILABLE of ChannelToServer, from what gRPC says of it.
std::string WhyUnreachable(const RemoteAgent& agent, const std::string& grpc_message);

}  // namespace salve

#endif  // SALVE_CLI_CHANNEL_H_
