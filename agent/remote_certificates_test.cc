#include "agent/remote_certificates.h"

#include <string>

#include "base/test_certificates.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

class RemoteCertificatesTest : public testing::Test {
 protected:
  RemoteCertificatesTest() { Issue(); }

  void Issue(const IssueOptions& options = {.common_name = "web-1"}) {
    const TestAuthority::Files files = authority_.Issue("web-1", options);
    paths_ = {files.certificate, files.key, authority_.ca_file()};
  }
  absl::Status Refused(RemoteCertificates& certificates) {
    return certificates.Refresh(now_).status();
  }

  const absl::Time now_ = absl::Now();
  TestAuthority authority_;
  CertificateFiles paths_;
};

TEST_F(RemoteCertificatesTest, TakesFilesOnceUntilTheyChange) {
  RemoteCertificates certificates(paths_);
  EXPECT_FALSE(certificates.has_set());

  EXPECT_TRUE(certificates.Refresh(now_).value());
  EXPECT_FALSE(certificates.Refresh(now_).value());
  EXPECT_TRUE(certificates.has_set());
  Issue();
  EXPECT_TRUE(certificates.Refresh(now_).value());
  EXPECT_FALSE(certificates.Refresh(now_).value());
}

TEST_F(RemoteCertificatesTest, ABrokenFileKeepsTheOldSetAndIsSaidWhenItStays) {
  RemoteCertificates certificates(paths_);
  ASSERT_TRUE(certificates.Refresh(now_).value());
  const auto until = certificates.valid_until();
  WriteWhole(paths_.certificate, "-----BEGIN nonsense");

  EXPECT_EQ(certificates.Refresh(now_).value(), false);  // Perhaps it is being written.
  EXPECT_EQ(Refused(certificates),
            absl::InvalidArgumentError(paths_.certificate + ": holds no PEM certificate"));
  EXPECT_EQ(Refused(certificates).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(certificates.valid_until(), until);

  Issue();
  EXPECT_TRUE(certificates.Refresh(now_).value());
}

TEST_F(RemoteCertificatesTest, ARenewalOfOneFileAfterTheOtherIsNoFault) {
  RemoteCertificates certificates(paths_);
  ASSERT_TRUE(certificates.Refresh(now_).value());
  const std::string old_key = ReadWhole(paths_.key);
  Issue();
  const std::string new_key = ReadWhole(paths_.key);
  WriteWhole(paths_.key, old_key);

  EXPECT_EQ(certificates.Refresh(now_).value(), false);
  WriteWhole(paths_.key, new_key + "\n");
  EXPECT_TRUE(certificates.Refresh(now_).value());
}

TEST_F(RemoteCertificatesTest, SaysWhichFileCannotBeUsed) {
  RemoteCertificates missing({"/nonexistent/a", paths_.key, paths_.ca});
  EXPECT_EQ(Refused(missing).code(), absl::StatusCode::kNotFound);

  RemoteCertificates no_ca({paths_.certificate, paths_.key, paths_.key});
  EXPECT_EQ(Refused(no_ca), absl::InvalidArgumentError(paths_.key + ": holds no PEM certificate"));

  RemoteCertificates no_key({paths_.certificate, paths_.certificate, paths_.ca});
  EXPECT_EQ(Refused(no_key),
            absl::InvalidArgumentError(paths_.certificate +
                                       ": holds no PEM key, or one with a passphrase"));

  const TestAuthority::Files other = authority_.Issue("other", {.common_name = "other"});
  RemoteCertificates no_pair({paths_.certificate, other.key, paths_.ca});
  EXPECT_EQ(Refused(no_pair),
            absl::InvalidArgumentError(other.key + ": is not the key of " + paths_.certificate));
}

TEST_F(RemoteCertificatesTest, ACertificateOutOfItsTimeIsNotUsed) {
  Issue({.common_name = "web-1",
         .valid_from = absl::ZeroDuration(),
         .valid_until = absl::Minutes(10)});
  const auto at = [&](absl::Duration d) {
    RemoteCertificates certificates(paths_);
    return certificates.Refresh(now_ + d).ok();
  };

  EXPECT_FALSE(at(-absl::Seconds(3)));
  EXPECT_TRUE(at(absl::Seconds(3)));
  EXPECT_TRUE(at(absl::Minutes(10) - absl::Seconds(3)));
  EXPECT_FALSE(at(absl::Minutes(10) + absl::Seconds(3)));
}

}  // namespace
}  // namespace salve
