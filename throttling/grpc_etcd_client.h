// An etcd over gRPC: several endpoints with failover, TLS, user and password. One thread of its
// own waits for answers; everything else is on the loop's thread.
#ifndef SALVE_THROTTLING_GRPC_ETCD_CLIENT_H_
#define SALVE_THROTTLING_GRPC_ETCD_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "probes/http_client.h"
#include "throttling/etcd_client.h"

namespace salve {

struct GrpcEtcdOptions {
  std::vector<std::string> endpoints;  // "http://HOST:PORT", "https://HOST:PORT"; at least one.
  std::string ca_file;                 // PEM; empty: the system's.
  std::string certificate_file;        // PEM, with key_file; empty: none is shown.
  std::string key_file;
  std::string user;           // Empty: no authentication.
  std::string password_file;  // Its first line is the password; read again at each authentication.
};

// Connects at the first call. The certificate files are read again while an endpoint fails.
// Requires: `loop` and `http` outlive it.
// Errors: kInvalidArgument: an endpoint is no URL; of a file: as ReadFile.
absl::StatusOr<std::unique_ptr<EtcdClient>> NewGrpcEtcdClient(GrpcEtcdOptions options,
                                                              EventLoop& loop, HttpClient& http);

}  // namespace salve

#endif  // SALVE_THROTTLING_GRPC_ETCD_CLIENT_H_
