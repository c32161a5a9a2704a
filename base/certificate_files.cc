#include "base/certificate_files.h"

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

absl::StatusOr<CertificateSet> ReadCertificates(const CertificateFiles& files, absl::Time now) {
  const ClearErrors clear;
  CertificateSet set;
  ASSIGN_OR_RETURN(set.certificate, ReadFile(files.certificate));
  ASSIGN_OR_RETURN(set.key, ReadFile(files.key));
  ASSIGN_OR_RETURN(set.ca, ReadFile(files.ca));
  ASSIGN_OR_RETURN(const Certificate certificate,
                   FirstCertificate(set.certificate, files.certificate));
  RETURN_IF_ERROR(FirstCertificate(set.ca, files.ca).status());
  const Bio bio = BioOf(set.key);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(files.key, ": holds no PEM key, or one with a passphrase"));
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(files.key, ": is not the key of ", files.certificate));
  }
  const absl::Time from = TimeOf(X509_get0_notBefore(certificate.get()));
  set.valid_until = TimeOf(X509_get0_notAfter(certificate.get()));
  if (now < from || now >= set.valid_until) {
    return absl::InvalidArgumentError(absl::StrCat(
        files.certificate, ": is valid from ", InWords(from), " to ", InWords(set.valid_until)));
  }
  return set;
}

std::string StateOf(const CertificateFiles& files) {
  std::string state;
  for (const std::string& path : {files.certificate, files.key, files.ca}) {
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

}  // namespace salve
