// TLS from the client's side, over a non-blocking socket.
#ifndef SALVE_PROBES_TLS_H_
#define SALVE_PROBES_TLS_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace salve {

// Whether `folder` has certificates under hashed names. Of such a folder OpenSSL reads only the
// issuers it needs, where one file of all authorities holds the loop for 20 ms and more, and takes
// a megabyte, for each context.
bool HasHashedCertificates(const char* folder);

// No more than 4096 bits of a finite-field Diffie-Hellman group from a server: OpenSSL would take
// 10,000, with which anybody on the way holds the loop for half a second. For a client's context
// that nobody has limited yet.
void LimitKeyExchange(SSL_CTX* context);

struct FreeTls {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using TlsSession = std::unique_ptr<SSL, FreeTls>;

// What sessions to one target have in common. Reads its CA file when it is first needed, and
// again when that has changed.
class TlsClient {
 public:
  struct Options {
    bool verify = true;
    std::string ca_file;      // PEM; empty: the system's.
    std::string server_name;  // Asked for and checked: a name, or an address.
  };
  explicit TlsClient(Options options);

  // A session on `fd`, which must outlive it; the handshake is the caller's to drive by
  // SSL_connect. Errors: kUnavailable: the CA file can't be read; kInvalidArgument: the name can't
  // be checked; kResourceExhausted.
  absl::StatusOr<TlsSession> NewSession(int fd);

  // What it trusts; lives as long as this and no longer than to the next call. Errors:
  // kUnavailable, kResourceExhausted, as above.
  absl::StatusOr<X509_STORE*> Authorities();

 private:
  absl::Status LoadContext();
  // What is asked for, and checked unless nothing is.
  absl::Status SetName(SSL* session) const;

  const Options options_;
  std::unique_ptr<SSL_CTX, FreeTls> context_;
  timespec loaded_at_ = {};  // Modification time of the CA file that is loaded.
};

// Why the last operation on `ssl` failed: the certificate's fault first.
std::string TlsErrorText(const SSL* ssl);

// Days until the peer's certificate ends, negative when it has; nothing when it has shown none.
std::optional<double> CertificateDaysLeft(const SSL* ssl, absl::Time now);
std::optional<double> CertificateDaysLeft(const X509* certificate, absl::Time now);

// Whether a certificate with `days_left` fails a check for `min_days_left`; 0: there is none, and
// also one that has ended passes, as whoever does not verify has asked for.
bool EndsTooSoon(double days_left, uint32_t min_days_left);
// "the certificate ends in 6.3 days, expected at least 14", "the certificate ended 2.0 days ago"
std::string EndsTooSoonText(double days_left, uint32_t min_days_left);

}  // namespace salve

#endif  // SALVE_PROBES_TLS_H_
