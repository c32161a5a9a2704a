#include "probes/tls.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/time/time.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

TEST(HasHashedCertificatesTest, IsAFolderWithHashedNames) {
  const std::string folder = ::testing::TempDir() + "/hashed";
  std::filesystem::remove_all(folder);
  EXPECT_FALSE(HasHashedCertificates(folder.c_str()));
  std::filesystem::create_directories(folder);
  EXPECT_FALSE(HasHashedCertificates(folder.c_str()));
  std::ofstream(folder + "/ca.pem").put('x');
  EXPECT_FALSE(HasHashedCertificates(folder.c_str()));
  std::ofstream(folder + "/002c0b4f.0").put('x');
  EXPECT_TRUE(HasHashedCertificates(folder.c_str()));
}

int ConnectTo(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() { signal(SIGPIPE, SIG_IGN); }

  // What the handshake came to; "" when it stands.
  std::string Handshake(const std::string& name, bool verify = true) {
    TlsClient client(
        {.verify = verify, .ca_file = certificate_.certificate_file, .server_name = name});
    const int fd = ConnectTo(server_.port());
    std::string error;
    {
      const auto session = client.NewSession(fd);
      if (!session.ok()) {
        error = session.status().ToString();
      } else if (SSL_connect(session->get()) != 1) {
        error = TlsErrorText(session->get());
      }
    }
    close(fd);
    return error;
  }

  const TestCertificate certificate_{"tls.example", absl::Hours(24), TestCertificate::Key::kRsa};
  TestServer server_{[](TestConnection&) {}, certificate_.certificate_file, certificate_.key_file};
};

// With 10,000 bits one handshake held the loop for half a second.
TEST_F(TlsTest, AHugeDhGroupDoesNotHoldTheLoop) {
  server_.OnlyDh("ffdhe4096");
  EXPECT_EQ(Handshake("tls.example"), "");
  server_.OnlyDh("ffdhe6144");
  for (const bool verify : {true, false}) {
    EXPECT_EQ(Handshake("tls.example", verify),
              "the server's Diffie-Hellman group has more than 4096 bits");
  }
}

// The limit leaves OpenSSL's own checks in force.
TEST_F(TlsTest, ASmallDhGroupIsRefusedAsBefore) {
  server_.OnlyDh("modp_1536");
  EXPECT_EQ(Handshake("tls.example", false), "dh key too small");
}

// It was not checked at all: any certificate would do.
TEST_F(TlsTest, AnAddressWithAZoneIsChecked) {
  EXPECT_EQ(Handshake("fe80::1%eth0"), "certificate: IP address mismatch");
  EXPECT_EQ(Handshake("127.0.0.1"), "");
}

// No certificate has it, so each was refused.
TEST_F(TlsTest, TheFinalDotOfANameIsNoPartOfIt) {
  EXPECT_EQ(Handshake("tls.example."), "");
  EXPECT_EQ(Handshake("other.example."), "certificate: hostname mismatch");
}

// To OpenSSL it means that none is to be checked.
TEST_F(TlsTest, ANameThatCannotBeCheckedIsAnError) {
  for (const char* name : {"", "."}) {
    EXPECT_EQ(Handshake(name), std::string("INVALID_ARGUMENT: a certificate can't be checked for "
                                           "'") +
                                   name + "'");
  }
  EXPECT_EQ(Handshake("", false), "");
}

}  // namespace
}  // namespace salve
