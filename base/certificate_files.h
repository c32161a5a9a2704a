// What one side of a TLS connection shows and trusts, read from three PEM files and checked: gRPC
// would take a bad file without a word and fail later. Blocks.
#ifndef SALVE_BASE_CERTIFICATE_FILES_H_
#define SALVE_BASE_CERTIFICATE_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace salve {

struct CertificateFiles {
  std::string certificate;  // Path of the chain that is shown.
  std::string key;          // Of its key, without a passphrase.
  std::string ca;           // Of the authorities that the other side is checked against.
  friend bool operator==(const CertificateFiles&, const CertificateFiles&) = default;
};

struct CertificateSet {
  std::string certificate;
  std::string key;
  std::string ca;
  absl::Time valid_until;  // Of the certificate that is shown.
};

// Errors: kNotFound, kPermissionDenied: a file can't be read; kInvalidArgument: no PEM, no pair, or
// a certificate out of its time at `now`. All name the file.
absl::StatusOr<CertificateSet> ReadCertificates(const CertificateFiles& files, absl::Time now);

// The same text for as long as no file is replaced or written to.
std::string StateOf(const CertificateFiles& files);

}  // namespace salve

#endif  // SALVE_BASE_CERTIFICATE_FILES_H_
