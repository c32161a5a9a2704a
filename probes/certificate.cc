#include "probes/certificate.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "absl/strings/str_cat.h"
#include "probes/dialogue.h"
#include "probes/numeric_address.h"

namespace salve {
namespace {

constexpr size_t kCertificatesMax = 64;
constexpr size_t kNamesBytesMax = 256;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;

std::string TextOf(const X509_NAME* name) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || name == nullptr) return "";
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &bytes);
  return PeerWords(absl::string_view(bytes, static_cast<size_t>(size)));
}

std::optional<absl::Time> TimeOf(const ASN1_TIME* time) {
  std::tm parts = {};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return absl::FromTM(parts, absl::UTCTimeZone());
}

std::string AddressOf(const ASN1_OCTET_STRING* bytes) {
  const unsigned char* at = ASN1_STRING_get0_data(bytes);
  const int size = ASN1_STRING_length(bytes);
  if (size == 4) return absl::StrCat(at[0], ".", at[1], ".", at[2], ".", at[3]);
  if (size != 16) return "";
  std::string text;
  for (int i = 0; i < 16; i += 2) {
    absl::StrAppend(&text, i == 0 ? "" : ":", absl::Hex(at[i] << 8 | at[i + 1]));
  }
  return text;
}

std::string NamesOf(const X509* certificate) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string text;
  for (int i = 0; i < sk_GENERAL_NAME_num(names) && text.size() < kNamesBytesMax; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    std::string one;
    if (name->type == GEN_DNS) {
      one = std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                        static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      one = AddressOf(name->d.iPAddress);
    }
    if (!one.empty()) absl::StrAppend(&text, text.empty() ? "" : ", ", one);
  }
  GENERAL_NAMES_free(names);
  return PeerWords(text, {}, kNamesBytesMax);
}

// Lets pass that the certificate itself has ended or not begun: that is said for itself.
int OnVerified(int ok, X509_STORE_CTX* context) {
  const int error = X509_STORE_CTX_get_error(context);
  const bool is_own_time =
      X509_STORE_CTX_get_error_depth(context) == 0 &&
      (error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID);
  if (ok == 1 || !is_own_time) return ok;
  X509_STORE_CTX_set_error(context, X509_V_OK);
  return 1;
}

std::string ChainFault(X509* certificate, STACK_OF(X509) * others, X509_STORE* authorities,
                       absl::Time now) {
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  if (context == nullptr || X509_STORE_CTX_init(context, authorities, certificate, others) != 1) {
    X509_STORE_CTX_free(context);
    return "no memory to check it";
  }
  X509_STORE_CTX_set_default(context, "ssl_server");
  X509_STORE_CTX_set_time(context, 0, absl::ToTimeT(now));
  X509_STORE_CTX_set_verify_cb(context, &OnVerified);
  std::string fault;
  if (X509_verify_cert(context) != 1) {
    fault = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
    const X509* at = X509_STORE_CTX_get_current_cert(context);
    if (X509_STORE_CTX_get_error_depth(context) > 0 && at != nullptr) {
      absl::StrAppend(&fault, " (", TextOf(X509_get_subject_name(at)), ")");
    }
  }
  X509_STORE_CTX_free(context);
  ERR_clear_error();
  return fault;
}

bool HasName(X509* certificate, const std::string& host) {
  const std::string name = NameInCertificates(host);
  if (IsNumericAddress(name)) return X509_check_ip_asc(certificate, name.c_str(), 0) == 1;
  return X509_check_host(certificate, name.data(), name.size(), 0, nullptr) == 1;
}

}  // namespace

CertificateFacts InspectCertificate(X509* certificate, STACK_OF(X509) * others,
                                    X509_STORE* authorities, const std::string& name,
                                    absl::Time now) {
  CertificateFacts facts;
  facts.subject = TextOf(X509_get_subject_name(certificate));
  facts.issuer = TextOf(X509_get_issuer_name(certificate));
  facts.names = NamesOf(certificate);
  facts.not_before = TimeOf(X509_get0_notBefore(certificate));
  facts.not_after = TimeOf(X509_get0_notAfter(certificate));
  facts.chain_fault = ChainFault(certificate, others, authorities, now);
  facts.has_name = HasName(certificate, name);
  ERR_clear_error();
  return facts;
}

absl::StatusOr<CertificateChain> ParsePem(absl::string_view text) {
  const Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  CertificateChain chain;
  while (bio != nullptr && chain.size() < kCertificatesMax) {
    // Other blocks, as a key, are passed over; a passphrase is never asked for.
    X509* certificate = PEM_read_bio_X509(
        bio.get(), nullptr, [](char*, int, int, void*) { return 0; }, nullptr);
    if (certificate == nullptr) break;
    chain.emplace_back(certificate);
  }
  ERR_clear_error();
  if (chain.empty()) return absl::InvalidArgumentError("there is no certificate in it");
  return chain;
}

}  // namespace salve
