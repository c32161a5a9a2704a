#include "agent/remote_certificates.h"

#include <utility>

namespace salve {

absl::StatusOr<bool> RemoteCertificates::Refresh(absl::Time now) {
  const std::string state = StateOf(files_);
  {
    MutexLock lock(&mu_);
    if (set_.has_value() && state == seen_) {
      if (!status_.ok()) return status_;
      return false;
    }
  }
  absl::StatusOr<CertificateSet> set = ReadCertificates(files_, now);
  MutexLock lock(&mu_);
  if (set.ok()) {
    seen_ = state;
    pending_.clear();
    status_ = absl::OkStatus();
    set_ = *std::move(set);
    ++generation_;
    return true;
  }
  if (!set_.has_value()) return set.status();
  if (state != pending_) {
    pending_ = state;
    return false;
  }
  seen_ = state;
  status_ = set.status();
  return status_;
}

bool RemoteCertificates::has_set() const {
  MutexLock lock(&mu_);
  return set_.has_value();
}

std::optional<absl::Time> RemoteCertificates::valid_until() const {
  MutexLock lock(&mu_);
  if (!set_.has_value()) return std::nullopt;
  return set_->valid_until;
}

grpc_ssl_certificate_config_reload_status RemoteCertificates::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  RemoteCertificates& certificates = *static_cast<RemoteCertificates*>(self);
  MutexLock lock(&certificates.mu_);
  if (!certificates.set_.has_value()) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
  if (certificates.given_ == certificates.generation_) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  const CertificateSet& set = *certificates.set_;
  const grpc_ssl_pem_key_cert_pair pair = {set.key.c_str(), set.certificate.c_str()};
  *config = grpc_ssl_server_certificate_config_create(set.ca.c_str(), &pair, 1);
  certificates.given_ = certificates.generation_;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

}  // namespace salve
