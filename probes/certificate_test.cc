#include "probes/certificate.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace salve {
namespace {

using Certificate = std::unique_ptr<X509, FreeCertificate>;

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(24 * 365 * 50);

Key NewKey() { return Key(EVP_EC_gen("P-256")); }

void Extend(X509* certificate, int nid, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// Signed by `issuer`, or by itself. Valid from a day before kNow on.
Certificate Make(const std::string& name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key,
                 absl::Duration valid_for, const std::string& names) {
  Certificate certificate(X509_new());
  X509* raw = certificate.get();
  X509_set_version(raw, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(raw), issuer == nullptr ? 1 : 2);
  ASN1_TIME_set(X509_getm_notBefore(raw), absl::ToTimeT(kNow - absl::Hours(24)));
  ASN1_TIME_set(X509_getm_notAfter(raw), absl::ToTimeT(kNow + valid_for));
  X509_set_pubkey(raw, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(raw), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.data()),
                             static_cast<int>(name.size()), -1, 0);
  X509_set_issuer_name(raw, X509_get_subject_name(issuer == nullptr ? raw : issuer));
  if (names.empty()) {
    Extend(raw, NID_basic_constraints, "critical,CA:TRUE");
  } else {
    Extend(raw, NID_subject_alt_name, names);
  }
  X509_sign(raw, issuer == nullptr ? key : issuer_key, EVP_sha256());
  return certificate;
}

class CertificateTest : public ::testing::Test {
 protected:
  CertificateTest() {
    X509_STORE_add_cert(authorities_, root_.get());
    sk_X509_push(others_, middle_.get());
  }
  ~CertificateTest() override {
    X509_STORE_free(authorities_);
    sk_X509_free(others_);
  }

  CertificateFacts Inspect(const std::string& name, absl::Time now = kNow) {
    return InspectCertificate(leaf_.get(), others_, authorities_, name, now);
  }

  const Key root_key_ = NewKey(), middle_key_ = NewKey(), leaf_key_ = NewKey();
  Certificate root_ = Make("Root", root_key_.get(), nullptr, nullptr, absl::Hours(1000), "");
  Certificate middle_ =
      Make("Middle", middle_key_.get(), root_.get(), root_key_.get(), absl::Hours(100), "");
  Certificate leaf_ = Make("www.example", leaf_key_.get(), middle_.get(), middle_key_.get(),
                           absl::Hours(48), "DNS:www.example,DNS:*.sub.example,IP:2001:db8::1");
  X509_STORE* authorities_ = X509_STORE_new();
  STACK_OF(X509) * others_ = sk_X509_new_null();
};

TEST_F(CertificateTest, SaysWhatStandsInIt) {
  const CertificateFacts facts = Inspect("www.example");
  EXPECT_EQ(facts.subject, "CN=www.example");
  EXPECT_EQ(facts.issuer, "CN=Middle");
  EXPECT_EQ(facts.names, "www.example, *.sub.example, 2001:db8:0:0:0:0:0:1");
  EXPECT_EQ(facts.not_before, kNow - absl::Hours(24));
  EXPECT_EQ(facts.not_after, kNow + absl::Hours(48));
  EXPECT_EQ(facts.chain_fault, "");
  EXPECT_TRUE(facts.has_name);
}

TEST_F(CertificateTest, KnowsItsNamesOnly) {
  for (const char* name : {"www.example", "WWW.example", "a.sub.example", "2001:db8::1"}) {
    EXPECT_TRUE(Inspect(name).has_name) << name;
  }
  for (const char* name : {"example", "sub.example", "a.b.sub.example", "2001:db8::2", "Middle",
                           "192.0.2.1", "www.example.evil"}) {
    EXPECT_FALSE(Inspect(name).has_name) << name;
  }
}

TEST_F(CertificateTest, TheFinalDotAndTheZoneAreNoPartOfAName) {
  leaf_ = Make("x", leaf_key_.get(), middle_.get(), middle_key_.get(), absl::Hours(48),
               "DNS:www.example,IP:fe80::1");
  for (const char* name : {"www.example.", "fe80::1%eth0", "fe80::1"}) {
    EXPECT_TRUE(Inspect(name).has_name) << name;
  }
  for (const char* name : {"other.example.", "www.example..", "fe80::2%eth0", ".", ""}) {
    EXPECT_FALSE(Inspect(name).has_name) << name;
  }
}

TEST_F(CertificateTest, AMissingLinkBreaksTheChain) {
  sk_X509_pop(others_);
  EXPECT_EQ(Inspect("x").chain_fault, "unable to get local issuer certificate");
  EXPECT_EQ(InspectCertificate(leaf_.get(), nullptr, authorities_, "x", kNow).chain_fault,
            "unable to get local issuer certificate");
}

TEST_F(CertificateTest, ItsOwnTimeIsNoFaultOfTheChainButThatOfAnIssuerIs) {
  EXPECT_EQ(Inspect("x", kNow + absl::Hours(99)).chain_fault, "");
  EXPECT_EQ(Inspect("x", kNow + absl::Hours(101)).chain_fault,
            "certificate has expired (CN=Middle)");
  EXPECT_TRUE(absl::StartsWith(Inspect("x", kNow - absl::Hours(25)).chain_fault,
                               "certificate is not yet valid (CN="));
}

TEST_F(CertificateTest, AStrangersSignatureIsAFault) {
  const Key other = NewKey();
  leaf_ = Make("www.example", leaf_key_.get(), middle_.get(), other.get(), absl::Hours(48),
               "DNS:www.example");
  EXPECT_EQ(Inspect("x").chain_fault, "certificate signature failure");
}

TEST_F(CertificateTest, ItsTextsAreFitToBeShown) {
  leaf_ = Make("a\x1b[31m\nb", leaf_key_.get(), middle_.get(), middle_key_.get(), absl::Hours(48),
               absl::StrCat("DNS:", std::string(300, 'x')));
  const CertificateFacts facts = Inspect("x");
  EXPECT_EQ(facts.subject.find('\n'), std::string::npos);
  EXPECT_EQ(facts.subject.find('\x1b'), std::string::npos);
  EXPECT_EQ(facts.names, std::string(256, 'x'));
}

std::string Pem(X509* certificate) {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio, &bytes);
  std::string text(bytes, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

TEST_F(CertificateTest, ParsesAllOfAPemText) {
  const auto chain = ParsePem(absl::StrCat("words\n", Pem(leaf_.get()), Pem(middle_.get())));
  ASSERT_TRUE(chain.ok());
  ASSERT_EQ(chain->size(), 2u);
  EXPECT_EQ(X509_cmp((*chain)[0].get(), leaf_.get()), 0);
  EXPECT_EQ(X509_cmp((*chain)[1].get(), middle_.get()), 0);
}

TEST_F(CertificateTest, APemTextIsBounded) {
  std::string text;
  for (int i = 0; i < 65; ++i) text += Pem(leaf_.get());
  EXPECT_EQ(ParsePem(text)->size(), 64u);
  for (const char* bad : {"", "-----BEGIN CERTIFICATE-----\n",
                          "-----BEGIN CERTIFICATE-----\nAAAA\n"
                          "-----END CERTIFICATE-----\n"}) {
    EXPECT_EQ(ParsePem(bad).status().message(), "there is no certificate in it");
  }
}

}  // namespace
}  // namespace salve
