#include "base/certificate_files.h"

#include "base/test_certificates.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

class CertificateFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    const TestAuthority::Files files = authority_.Issue("a", {.common_name = "a"});
    files_ = {files.certificate, files.key, authority_.ca_file()};
  }
  absl::StatusCode Refusal(const CertificateFiles& files) {
    return ReadCertificates(files, now_).status().code();
  }

  const absl::Time now_ = absl::Now();
  TestAuthority authority_;
  CertificateFiles files_;
};

TEST_F(CertificateFilesTest, ReadsAPairAndWhenItEnds) {
  const absl::StatusOr<CertificateSet> set = ReadCertificates(files_, now_);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->certificate, ReadWhole(files_.certificate));
  EXPECT_EQ(set->key, ReadWhole(files_.key));
  EXPECT_EQ(set->ca, ReadWhole(files_.ca));
  EXPECT_GT(set->valid_until, now_ + absl::Minutes(50));
}

TEST_F(CertificateFilesTest, RefusesWhatGrpcWouldTakeWithoutAWord) {
  EXPECT_EQ(Refusal({"/nonexistent/a", files_.key, files_.ca}), absl::StatusCode::kNotFound);
  EXPECT_EQ(Refusal({files_.key, files_.key, files_.ca}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal({files_.certificate, files_.ca, files_.ca}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal({files_.certificate, files_.key, files_.key}),
            absl::StatusCode::kInvalidArgument);
  const TestAuthority::Files other = authority_.Issue("b", {.common_name = "b"});
  EXPECT_EQ(ReadCertificates({files_.certificate, other.key, files_.ca}, now_).status().message(),
            other.key + ": is not the key of " + files_.certificate);
}

TEST_F(CertificateFilesTest, RefusesACertificateOutOfItsTime) {
  const absl::Time end = ReadCertificates(files_, now_)->valid_until;
  EXPECT_TRUE(ReadCertificates(files_, end - absl::Seconds(1)).ok());
  EXPECT_EQ(ReadCertificates(files_, end).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadCertificates(files_, now_ - absl::Hours(2)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(CertificateFilesTest, TheStateChangesWhenAFileIsReplacedOrGone) {
  const std::string before = StateOf(files_);
  EXPECT_EQ(StateOf(files_), before);
  authority_.Issue("a", {.common_name = "a"});
  const std::string after = StateOf(files_);
  EXPECT_NE(after, before);
  files_.key = "/nonexistent/a";
  EXPECT_NE(StateOf(files_), after);
}

}  // namespace
}  // namespace salve
