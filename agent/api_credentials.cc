#include "agent/api_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace salve {
namespace {

absl::string_view ViewOf(const grpc_slice& slice) {
  return absl::string_view(reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)),
                           GRPC_SLICE_LENGTH(slice));
}

// gRPC's own hook for authentication: it runs before a call is given to any service, built-in
// ones included. Answers at once, on gRPC's thread.
void PutToDoor(void* door, grpc_auth_context* peer, const grpc_metadata* metadata,
               size_t metadata_count, grpc_process_auth_metadata_done_cb done, void* user_data) {
  absl::string_view method;
  for (size_t i = 0; i < metadata_count; ++i) {
    if (ViewOf(metadata[i].key) == ":path") method = ViewOf(metadata[i].value);
  }
  const absl::Status status = static_cast<const ApiDoor*>(door)->Admit(peer, method);
  done(user_data, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(status.code()),
       status.ok() ? nullptr : std::string(status.message()).c_str());
}

// gRPC C++ has no public class for credentials that are made by the C API, which alone lets
// certificates change while the server runs.
class Credentials final : public grpc::ServerCredentials {
 public:
  Credentials(grpc_server_credentials* credentials, const ApiDoor& door)
      : credentials_(credentials) {
    grpc_server_credentials_set_auth_metadata_processor(
        credentials_, {PutToDoor, nullptr, const_cast<ApiDoor*>(&door)});
  }
  ~Credentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* const credentials_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> NewSocketCredentials(const ApiDoor& door) {
  return std::make_shared<Credentials>(grpc_local_server_credentials_create(UDS), door);
}

std::shared_ptr<grpc::ServerCredentials> NewTlsCredentials(const ApiDoor& door,
                                                           RemoteCertificates& certificates) {
  return std::make_shared<Credentials>(
      grpc_ssl_server_credentials_create_with_options(
          grpc_ssl_server_credentials_create_options_using_config_fetcher(
              GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY, RemoteCertificates::Fetch,
              &certificates)),
      door);
}

}  // namespace salve
