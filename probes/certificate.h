// What a certificate says, and whether it can be trusted: chain, name and time each for itself, so
// that an error can say which of them it is.
#ifndef SALVE_PROBES_CERTIFICATE_H_
#define SALVE_PROBES_CERTIFICATE_H_

#include <openssl/x509.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace salve {

struct FreeCertificate {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
// The first one is the server's, those that vouch for it follow.
using CertificateChain = std::vector<std::unique_ptr<X509, FreeCertificate>>;

// Texts are PeerWords: a stranger wrote them.
struct CertificateFacts {
  std::string subject;  // "CN=www.example.org,O=…"
  std::string issuer;
  std::string names;  // DNS names and addresses: "www.example.org, 192.0.2.1".
  std::optional<absl::Time> not_before;
  std::optional<absl::Time> not_after;
  std::string chain_fault;  // Why no known authority vouches for it; empty: one does.
  bool has_name = false;    // It is for the name that was asked for.
};

// Whether the certificate itself has begun and not ended is left out of `chain_fault`. `others`,
// from which a chain is made, may be null. `name`: a DNS name or an address.
CertificateFacts InspectCertificate(X509* certificate, STACK_OF(X509) * others,
                                    X509_STORE* authorities, const std::string& name,
                                    absl::Time now);

// All certificates in a PEM text, at most 64, at least one; what else stands there is left out.
// Errors: kInvalidArgument: there is none.
absl::StatusOr<CertificateChain> ParsePem(absl::string_view text);

}  // namespace salve

#endif  // SALVE_PROBES_CERTIFICATE_H_
