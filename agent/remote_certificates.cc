#include "agent/remote_certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <ctime>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"

namespace salve {
namespace {

template <auto Free>
struct FreeWith {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Bio = std::unique_ptr<BIO, FreeWith<BIO_free>>;
using Certificate = std::unique_ptr<X509, FreeWith<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;

// OpenSSL keeps errors for the thread's next caller.
struct ClearErrors {
  ~ClearErrors() { ERR_clear_error(); }
};

Bio BioOf(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Without it OpenSSL would ask at a terminal for an encrypted key's passphrase.
int NoPassphrase(char*, int, int, void*) { return 0; }

absl::StatusOr<Certificate> FirstCertificate(const std::string& text, const std::string& path) {
  const Bio bio = BioOf(text);
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr));
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": holds no PEM certificate"));
  }
  return certificate;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm broken_down = {};
  if (ASN1_TIME_to_tm(time, &broken_down) != 1) return absl::InfinitePast();
  return absl::FromTM(broken_down, absl::UTCTimeZone());
}

std::string InWords(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", time, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<RemoteCertificates::Set> RemoteCertificates::Read(absl::Time now) const {
  const ClearErrors clear;
  Set set;
  ASSIGN_OR_RETURN(set.certificate, ReadFile(paths_.certificate));
  ASSIGN_OR_RETURN(set.key, ReadFile(paths_.key));
  ASSIGN_OR_RETURN(set.client_ca, ReadFile(paths_.client_ca));
  ASSIGN_OR_RETURN(const Certificate certificate,
                   FirstCertificate(set.certificate, paths_.certificate));
  RETURN_IF_ERROR(FirstCertificate(set.client_ca, paths_.client_ca).status());
  const Bio bio = BioOf(set.key);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(paths_.key, ": holds no PEM key, or one with a passphrase"));
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(paths_.key, ": is not the key of ", paths_.certificate));
  }
  const absl::Time from = TimeOf(X509_get0_notBefore(certificate.get()));
  set.valid_until = TimeOf(X509_get0_notAfter(certificate.get()));
  if (now < from || now >= set.valid_until) {
    return absl::InvalidArgumentError(absl::StrCat(
        paths_.certificate, ": is valid from ", InWords(from), " to ", InWords(set.valid_until)));
  }
  return set;
}

// A name, for as long as no file is replaced or written to.
std::string RemoteCertificates::StateOfFiles() const {
  std::string state;
  for (const std::string& path : {paths_.certificate, paths_.key, paths_.client_ca}) {
    struct stat file = {};
    if (stat(path.c_str(), &file) != 0) {
      absl::StrAppend(&state, "- ");
      continue;
    }
    absl::StrAppend(&state, file.st_dev, ".", file.st_ino, ".", file.st_size, ".",
                    file.st_mtim.tv_sec, ".", file.st_mtim.tv_nsec, " ");
  }
  return state;
}

absl::StatusOr<bool> RemoteCertificates::Refresh(absl::Time now) {
  const std::string state = StateOfFiles();
  {
    MutexLock lock(&mu_);
    if (set_.has_value() && state == seen_) {
      if (!status_.ok()) return status_;
      return false;
    }
  }
  absl::StatusOr<Set> set = Read(now);
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
  const Set& set = *certificates.set_;
  const grpc_ssl_pem_key_cert_pair pair = {set.key.c_str(), set.certificate.c_str()};
  *config = grpc_ssl_server_certificate_config_create(set.client_ca.c_str(), &pair, 1);
  certificates.given_ = certificates.generation_;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

}  // namespace salve
