#include "probes/tls.h"

#include <dirent.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "probes/numeric_address.h"

namespace salve {
namespace {

constexpr int kFolderEntriesMax = 10000;
constexpr int kDhBitsMax = 4096;  // 20 ms; grows with the third power.

constexpr int kGroupTooLarge = 1;  // Among the reasons that OpenSSL leaves to its users.

using SecurityCallback = int (*)(const SSL*, const SSL_CTX*, int, int, int, void*, void*);

// `usual` is OpenSSL's own callback, which has no use for data.
int AllowsGroup(const SSL* ssl, const SSL_CTX* context, int operation, int bits, int nid,
                void* object, void* usual) {
  if (operation == SSL_SECOP_TMP_DH && object != nullptr &&
      EVP_PKEY_get_bits(static_cast<EVP_PKEY*>(object)) > kDhBitsMax) {
    ERR_raise(ERR_LIB_USER, kGroupTooLarge);  // OpenSSL will add that the key is too small.
    return 0;
  }
  return reinterpret_cast<SecurityCallback>(usual)(ssl, context, operation, bits, nid, object,
                                                   nullptr);
}

void UseSystemAuthorities(SSL_CTX* context) {
  if (HasHashedCertificates(X509_get_default_cert_dir())) {
    SSL_CTX_set_default_verify_dir(context);
  } else {
    SSL_CTX_set_default_verify_paths(context);
  }
}

}  // namespace

void LimitKeyExchange(SSL_CTX* context) {
  static ERR_STRING_DATA reasons[] = {
      {ERR_PACK(0, 0, kGroupTooLarge), "the server's Diffie-Hellman group has more than 4096 bits"},
      {0, nullptr}};
  static const int loaded = ERR_load_strings(ERR_LIB_USER, reasons);
  static_cast<void>(loaded);
  const SecurityCallback usual = SSL_CTX_get_security_callback(context);
  SSL_CTX_set0_security_ex_data(context, reinterpret_cast<void*>(usual));
  SSL_CTX_set_security_callback(context, &AllowsGroup);
}

bool HasHashedCertificates(const char* folder) {
  DIR* opened = opendir(folder);
  if (opened == nullptr) return false;
  bool found = false;
  for (int i = 0; i < kFolderEntriesMax && !found; ++i) {
    const dirent* entry = readdir(opened);
    if (entry == nullptr) break;
    found = absl::EndsWith(entry->d_name, ".0");
  }
  closedir(opened);
  return found;
}

TlsClient::TlsClient(Options options) : options_(std::move(options)) {}

absl::Status TlsClient::LoadContext() {
  struct stat status = {};
  if (!options_.ca_file.empty()) stat(options_.ca_file.c_str(), &status);
  const timespec changed = status.st_mtim;
  if (context_ != nullptr && changed.tv_sec == loaded_at_.tv_sec &&
      changed.tv_nsec == loaded_at_.tv_nsec) {
    return absl::OkStatus();
  }
  ERR_clear_error();
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (context_ == nullptr) return absl::ResourceExhaustedError("no memory for TLS");
  LimitKeyExchange(context_.get());
  SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE);
  SSL_CTX_set_verify(context_.get(), options_.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (options_.ca_file.empty()) {
    UseSystemAuthorities(context_.get());
  } else if (SSL_CTX_load_verify_locations(context_.get(), options_.ca_file.c_str(), nullptr) !=
             1) {
    context_.reset();
    ERR_clear_error();
    return absl::UnavailableError(absl::StrCat("cannot use the CA file '", options_.ca_file, "'"));
  }
  loaded_at_ = changed;
  return absl::OkStatus();
}

absl::StatusOr<TlsSession> TlsClient::NewSession(int fd) {
  RETURN_IF_ERROR(LoadContext());
  ERR_clear_error();
  TlsSession session(SSL_new(context_.get()));
  if (session == nullptr || SSL_set_fd(session.get(), fd) != 1) {
    return absl::ResourceExhaustedError("no memory for TLS");
  }
  RETURN_IF_ERROR(SetName(session.get()));
  return session;
}

absl::Status TlsClient::SetName(SSL* session) const {
  const std::string name = NameInCertificates(options_.server_name);
  const bool is_address = IsNumericAddress(name);
  // To OpenSSL an empty name is no error: it would check none.
  bool ok = !options_.verify || !name.empty();
  if (ok && options_.verify) {
    ok = is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), name.c_str()) == 1
                    : SSL_set1_host(session, name.c_str()) == 1;
  }
  if (ok && !is_address && !name.empty()) ok = SSL_set_tlsext_host_name(session, name.c_str()) == 1;
  if (ok) return absl::OkStatus();
  ERR_clear_error();
  return absl::InvalidArgumentError(
      absl::StrCat("a certificate can't be checked for '", options_.server_name, "'"));
}

absl::StatusOr<X509_STORE*> TlsClient::Authorities() {
  RETURN_IF_ERROR(LoadContext());
  return SSL_CTX_get_cert_store(context_.get());
}

std::string TlsErrorText(const SSL* ssl) {
  const long verified = SSL_get_verify_result(ssl);
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  if (verified != X509_V_OK && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE) {
    return absl::StrCat("certificate: ", X509_verify_cert_error_string(verified));
  }
  const char* reason = ERR_reason_error_string(error);
  return reason == nullptr ? "the connection was closed" : reason;
}

std::optional<double> CertificateDaysLeft(const SSL* ssl, absl::Time now) {
  return CertificateDaysLeft(SSL_get0_peer_certificate(ssl), now);
}

std::optional<double> CertificateDaysLeft(const X509* certificate, absl::Time now) {
  if (certificate == nullptr) return std::nullopt;
  ASN1_TIME* today = ASN1_TIME_set(nullptr, absl::ToTimeT(now));
  int days = 0, seconds = 0;
  const int ok = ASN1_TIME_diff(&days, &seconds, today, X509_get0_notAfter(certificate));
  ASN1_TIME_free(today);
  if (ok != 1) return std::nullopt;
  return days + seconds / 86400.0;
}

bool EndsTooSoon(double days_left, uint32_t min_days_left) {
  return min_days_left > 0 && days_left < min_days_left;
}

std::string EndsTooSoonText(double days_left, uint32_t min_days_left) {
  if (days_left < 0) return absl::StrFormat("the certificate ended %.1f days ago", -days_left);
  return absl::StrFormat("the certificate ends in %.1f days, expected at least %d", days_left,
                         min_days_left);
}

}  // namespace salve
