// What a listener of the API accepts connections with: each call on them is put to a door first.
#ifndef SALVE_AGENT_API_CREDENTIALS_H_
#define SALVE_AGENT_API_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "agent/api_door.h"
#include "agent/remote_certificates.h"

namespace salve {

// Of Unix sockets. `door` must outlive the server.
std::shared_ptr<grpc::ServerCredentials> NewSocketCredentials(const ApiDoor& door);

// Of TLS. A client may come without a certificate, which the door answers; one with a certificate
// that is not of the CA, or out of its time, gets no connection. Each new connection is made with
// what `certificates` holds then. Both must outlive the server.
// Requires: `certificates` holds a set.
std::shared_ptr<grpc::ServerCredentials> NewTlsCredentials(const ApiDoor& door,
                                                           RemoteCertificates& certificates);

}  // namespace salve

#endif  // SALVE_AGENT_API_CREDENTIALS_H_
