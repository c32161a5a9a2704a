#include "responders/escalation/secret.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

class SecretTest : public ::testing::Test {
 protected:
  std::string File(const std::string& text, mode_t mode = 0600) {
    const std::string path = absl::StrCat(dir_, "/token");
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return path;
  }
  const std::string dir_ = [] {
    std::string dir = absl::StrCat(getenv("TEST_TMPDIR"), "/secret-XXXXXX");
    EXPECT_NE(mkdtemp(dir.data()), nullptr);
    return dir;
  }();
};

TEST_F(SecretTest, IsTheFirstLine) {
  EXPECT_EQ(ReadSecret(File("s3cret\r\nmore\n"), "")->text, "s3cret");
  EXPECT_EQ(ReadSecret(File("s3cret"), "")->text, "s3cret");
  EXPECT_EQ(ReadSecret(File("s3cret"), "")->warning, "");
}

TEST_F(SecretTest, ComesFromTheCredentialsOfSystemd) {
  File("s3cret\n");
  EXPECT_EQ(ReadSecret("credential:token", dir_)->text, "s3cret");
  EXPECT_EQ(ReadSecret("credential:token", "").status().message(),
            "credential:token: systemd has given no credentials ($CREDENTIALS_DIRECTORY)");
}

TEST_F(SecretTest, WarnsOfAFileThatEverybodyCanRead) {
  EXPECT_EQ(ReadSecret(File("s", 0640), "")->warning, "");
  const std::string file = File("s", 0644);
  EXPECT_EQ(ReadSecret(file, "")->warning, file + " holds a secret and can be read by everybody");
}

TEST_F(SecretTest, RefusesWhatIsNoSecretWithoutTellingIt) {
  for (const std::string text : {"", "\nx", "a\tb", "a\x01"}) {
    const auto secret = ReadSecret(File(text), "");
    EXPECT_EQ(secret.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(secret.status().message(),
              dir_ + "/token: its first line is empty, has a control character or more than 4 KiB");
  }
  EXPECT_TRUE(ReadSecret(File(std::string(4096, 'x')), "").ok());
  EXPECT_FALSE(ReadSecret(File(std::string(4097, 'x')), "").ok());
}

TEST_F(SecretTest, NeverWaitsForWhatIsNoFile) {
  EXPECT_EQ(ReadSecret(dir_ + "/none", "").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadSecret(dir_, "").status().message(), dir_ + ": is no regular file");
  ASSERT_EQ(mkfifo((dir_ + "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(ReadSecret(dir_ + "/fifo", "").status().message(), dir_ + "/fifo: is no regular file");
}

}  // namespace
}  // namespace salve
