// RemoteCertificates: what the TCP listener shows and trusts, read from three PEM files, and
// replaced while it serves when they change. Thread-safe; Refresh reads files and may block.
#ifndef SALVE_AGENT_REMOTE_CERTIFICATES_H_
#define SALVE_AGENT_REMOTE_CERTIFICATES_H_

#include <grpc/grpc_security.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/certificate_files.h"
#include "base/mutex.h"

namespace salve {

class RemoteCertificates {
 public:
  explicit RemoteCertificates(CertificateFiles files) : files_(std::move(files)) {}

  // Reads the files if they have changed, and takes what they hold: true. False: nothing new. What
  // can't be used changes nothing: the old set goes on, and as long as the files stay so each
  // further call is the error. The first call that meets them so is not: a renewal that writes one
  // file after the other may be under way.
  // Errors: kNotFound, kPermissionDenied: a file can't be read; kInvalidArgument: no PEM, no pair,
  // or a certificate out of its time at `now`.
  absl::StatusOr<bool> Refresh(absl::Time now) ABSL_LOCKS_EXCLUDED(mu_);

  bool has_set() const ABSL_LOCKS_EXCLUDED(mu_);
  // When the certificate that is shown ends; nullopt without one.
  std::optional<absl::Time> valid_until() const ABSL_LOCKS_EXCLUDED(mu_);

  // gRPC asks this before each handshake; `self` is a RemoteCertificates.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);

 private:
  const CertificateFiles files_;
  mutable Mutex mu_;
  std::string seen_ ABSL_GUARDED_BY(mu_);     // The StateOf that `status_` is about.
  std::string pending_ ABSL_GUARDED_BY(mu_);  // One that could not be used once.
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  std::optional<CertificateSet> set_ ABSL_GUARDED_BY(mu_);
  uint64_t generation_ ABSL_GUARDED_BY(mu_) = 0;  // Of set_.
  uint64_t given_ ABSL_GUARDED_BY(mu_) = 0;       // The generation that gRPC has.
};

}  // namespace salve

#endif  // SALVE_AGENT_REMOTE_CERTIFICATES_H_
