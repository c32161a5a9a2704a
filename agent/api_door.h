// ApiDoor: lets a call in or not, before any handler sees it, and says who makes it. One for
// each listener, so that no service and no method can forget the check. Thread-safe.
#ifndef SALVE_AGENT_API_DOOR_H_
#define SALVE_AGENT_API_DOOR_H_

#include <grpc/grpc_security.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agent/api_role.h"
#include "base/mutex.h"
#include "config/config.pb.h"

namespace salve {

class ApiDoor {
 public:
  virtual ~ApiDoor() = default;

  // Whether this peer may call `method` ("/package.Service/Method").
  // Errors: kUnauthenticated: it shows no certificate; kPermissionDenied: its role is none or too
  // low; kUnimplemented: there is no such method.
  virtual absl::Status Admit(const grpc_auth_context* peer, absl::string_view method) const = 0;

  // Who makes a change, for the records: "admin.sock:ada", "remote:CN=ada,O=Example". `user` is
  // what the client says of itself; only a local one is believed.
  virtual std::string Who(const grpc_auth_context* peer, absl::string_view user) const = 0;
};

// Of a Unix socket, PATH/`name`: who may open it has `role`.
std::unique_ptr<ApiDoor> NewSocketDoor(std::string name, Role role);

// Of TCP with TLS: the role is that of the names in the client's certificate, whose chain TLS has
// checked.
class RemoteDoor final : public ApiDoor {
 public:
  explicit RemoteDoor(config::Remote rules) : rules_(std::move(rules)) {}

  // Holds from the next call on, also on open connections.
  void SetRules(config::Remote rules) ABSL_LOCKS_EXCLUDED(mu_);

  absl::Status Admit(const grpc_auth_context* peer, absl::string_view method) const override
      ABSL_LOCKS_EXCLUDED(mu_);
  std::string Who(const grpc_auth_context* peer, absl::string_view user) const override;

 private:
  mutable Mutex mu_;
  config::Remote rules_ ABSL_GUARDED_BY(mu_);
};

}  // namespace salve

#endif  // SALVE_AGENT_API_DOOR_H_
