#include "base/test_certificates.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "base/check.h"

namespace salve {
namespace {

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* NewCertificate(EVP_PKEY* key, const IssueOptions& options) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  uint32_t serial = 0;
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial)) == 1);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), absl::ToInt64Seconds(options.valid_from));
  X509_gmtime_adj(X509_getm_notAfter(certificate), absl::ToInt64Seconds(options.valid_until));
  X509_set_pubkey(certificate, key);
  if (!options.common_name.empty()) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(options.common_name.c_str()),
                               -1, -1, 0);
  }
  return certificate;
}

// As a renewal should: a reader sees the old file or the new one.
template <typename Write>
void Replace(const std::string& path, const Write& write) {
  FILE* file = fopen((path + ".new").c_str(), "w");
  CHECK(file != nullptr);
  write(file);
  fclose(file);
  std::filesystem::rename(path + ".new", path);
}

void WriteFiles(const std::string& path, X509* certificate, EVP_PKEY* key) {
  Replace(path + ".crt", [&](FILE* file) { PEM_write_X509(file, certificate); });
  Replace(path + ".key", [&](FILE* file) {
    PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

}  // namespace

struct TestAuthority::Keys {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = nullptr;
};

TestAuthority::TestAuthority(const std::string& name) : keys_(new Keys) {
  char dir[] = "/tmp/salve-ca.XXXXXX";
  CHECK(mkdtemp(dir) != nullptr);
  dir_ = dir;
  keys_->certificate = NewCertificate(keys_->key, {.common_name = name});
  X509_set_issuer_name(keys_->certificate, X509_get_subject_name(keys_->certificate));
  AddExtension(keys_->certificate, keys_->certificate, NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(keys_->certificate, keys_->certificate, NID_subject_key_identifier, "hash");
  X509_sign(keys_->certificate, keys_->key, EVP_sha256());
  ca_file_ = path("ca.crt");
  WriteFiles(path("ca"), keys_->certificate, keys_->key);
}

TestAuthority::~TestAuthority() {
  X509_free(keys_->certificate);
  EVP_PKEY_free(keys_->key);
  delete keys_;
  std::error_code ignored;  // A folder of /tmp that stays is no fault of a test.
  std::filesystem::remove_all(dir_, ignored);
}

TestAuthority::Files TestAuthority::Issue(const std::string& name, const IssueOptions& options) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = NewCertificate(key, options);
  X509_set_issuer_name(certificate, X509_get_subject_name(keys_->certificate));
  if (!options.names.empty()) {
    AddExtension(certificate, keys_->certificate, NID_subject_alt_name, options.names);
  }
  X509_sign(certificate, keys_->key, EVP_sha256());
  WriteFiles(path(name), certificate, key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return {path(name + ".crt"), path(name + ".key")};
}

std::string ReadWhole(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void WriteWhole(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace salve
