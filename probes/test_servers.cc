#include "probes/test_servers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"

namespace salve {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int BoundSocket(int type, int& port) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port = ntohs(address.sin_port);
  return fd;
}

std::string TestFolder() {
  const char* folder = getenv("TEST_TMPDIR");
  return folder == nullptr ? "/tmp" : folder;
}

}  // namespace

int TestConnection::Read(char* bytes, int size) {
  return tls_ == nullptr ? static_cast<int>(recv(fd_, bytes, static_cast<size_t>(size), 0))
                         : SSL_read(tls_, bytes, size);
}

std::string TestConnection::ReadRequest() {
  std::string request;
  size_t wanted = std::string::npos;
  char bytes[4096];
  while (request.size() < wanted) {
    const int n = Read(bytes, sizeof bytes);
    if (n <= 0) break;
    request.append(bytes, static_cast<size_t>(n));
    const size_t end = request.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    wanted = end + 4;
    const size_t length = request.find("Content-Length: ");
    if (length != std::string::npos) wanted += std::strtoul(&request[length + 16], nullptr, 10);
  }
  return request;
}

bool TestConnection::Send(const std::string& text) {
  size_t sent = 0;
  while (sent < text.size()) {
    const int n = tls_ == nullptr
                      ? static_cast<int>(send(fd_, &text[sent], text.size() - sent, MSG_NOSIGNAL))
                      : SSL_write(tls_, &text[sent], static_cast<int>(text.size() - sent));
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

void TestConnection::Answer(const std::string& status, const std::string& body,
                            const std::string& headers) {
  Send(absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Length: ", body.size(), "\r\n", headers,
                    "\r\n", body));
}

void TestConnection::Hang() {
  while (Pause(absl::Hours(1))) {
  }
}

bool TestConnection::Pause(absl::Duration duration) {
  pollfd waiting = {.fd = fd_, .events = POLLRDHUP, .revents = 0};
  return poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(duration))) == 0;
}

TestServer::TestServer(Handler handler) : handler_(std::move(handler)) { Listen(); }

TestServer::TestServer(Handler handler, const std::string& certificate, const std::string& key)
    : handler_(std::move(handler)), tls_(SSL_CTX_new(TLS_server_method())) {
  CHECK(SSL_CTX_use_certificate_file(tls_, certificate.c_str(), SSL_FILETYPE_PEM) == 1);
  CHECK(SSL_CTX_use_PrivateKey_file(tls_, key.c_str(), SSL_FILETYPE_PEM) == 1);
  Listen();
}

void TestServer::OnlyDh(const std::string& group) {
  EVP_PKEY_CTX* maker = EVP_PKEY_CTX_new_from_name(nullptr, "DH", nullptr);
  EVP_PKEY* parameters = nullptr;
  CHECK(EVP_PKEY_keygen_init(maker) == 1);
  CHECK(EVP_PKEY_CTX_set_group_name(maker, group.c_str()) == 1);
  CHECK(EVP_PKEY_generate(maker, &parameters) == 1);
  EVP_PKEY_CTX_free(maker);
  SSL_CTX_set_security_level(tls_, 0);  // The peer is to refuse a group, not this.
  CHECK(SSL_CTX_set0_tmp_dh_pkey(tls_, parameters) == 1);
  CHECK(SSL_CTX_set_max_proto_version(tls_, TLS1_2_VERSION) == 1);
  CHECK(SSL_CTX_set_cipher_list(tls_, "DHE-RSA-AES256-GCM-SHA384") == 1);
}

void TestServer::Listen() {
  listen_fd_ = BoundSocket(SOCK_STREAM, port_);
  CHECK(listen(listen_fd_, 1024) == 0);
  accepter_ = std::thread([this] { Accept(); });
}

TestServer::~TestServer() {
  shutdown(listen_fd_, SHUT_RDWR);
  accepter_.join();
  std::vector<std::thread> threads;
  {
    MutexLock lock(&mu_);
    for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
  close(listen_fd_);
  SSL_CTX_free(tls_);
}

std::string TestServer::url(const std::string& path) const {
  return absl::StrCat(tls_ == nullptr ? "http" : "https", "://127.0.0.1:", port_, path);
}

int TestServer::connections() {
  MutexLock lock(&mu_);
  return connections_;
}

void TestServer::Accept() {
  while (true) {
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    MutexLock lock(&mu_);
    ++connections_;
    open_.push_back(fd);
    threads_.emplace_back([this, fd] { Serve(fd); });
  }
}

void TestServer::Serve(int fd) {
  SSL* tls = nullptr;
  if (tls_ != nullptr) {
    tls = SSL_new(tls_);
    SSL_set_fd(tls, fd);
  }
  if (tls == nullptr || SSL_accept(tls) == 1) {
    TestConnection connection(fd, tls);
    handler_(connection);
    if (tls != nullptr) SSL_shutdown(tls);
  }
  SSL_free(tls);
  MutexLock lock(&mu_);
  std::erase(open_, fd);
  close(fd);
}

TestServer::Handler AlwaysAnswer(std::string status, std::string body, std::string headers) {
  return [=](TestConnection& connection) {
    connection.ReadRequest();
    connection.Answer(status, body, headers);
  };
}

FullListener::FullListener() {
  const int listener = BoundSocket(SOCK_STREAM, port_);
  CHECK(listen(listener, 0) == 0);
  fds_.push_back(listener);
  // The queue takes one more than its length; what comes then is dropped without a word.
  const sockaddr_in address = Loopback(port_);
  for (int i = 0; i < 4; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      CHECK(errno == EINPROGRESS);
    }
    fds_.push_back(fd);
  }
}

FullListener::~FullListener() {
  for (const int fd : fds_) close(fd);
}

int RefusingPort() {
  int port = 0;
  close(BoundSocket(SOCK_STREAM, port));
  return port;
}

int TimeWaitsTo(int port) {
  // sl local_address rem_address st …; the addresses in hex, state 06 is TIME_WAIT.
  std::ifstream table("/proc/net/tcp");
  const std::string remote = absl::StrFormat("0100007F:%04X 06 ", port);
  int count = 0;
  for (std::string line; std::getline(table, line);) count += absl::StrContains(line, remote);
  return count;
}

TestCertificate::TestCertificate(const std::string& name, absl::Duration valid_for, Key kind)
    : certificate_file(absl::StrCat(TestFolder(), "/", name, ".crt")),
      key_file(absl::StrCat(TestFolder(), "/", name, ".key")) {
  EVP_PKEY* key = kind == Key::kRsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -24 * 3600 * 365L);
  X509_gmtime_adj(X509_getm_notAfter(certificate), absl::ToInt64Seconds(valid_for));
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  const std::string names = absl::StrCat("DNS:", name, ",IP:127.0.0.1");
  X509_EXTENSION* extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  X509_sign(certificate, key, EVP_sha256());

  FILE* file = fopen(certificate_file.c_str(), "w");
  PEM_write_X509(file, certificate);
  fclose(file);
  file = fopen(key_file.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

TestUdpServer::TestUdpServer(int fd, int port, Handler handler)
    : handler_(std::move(handler)), fd_(fd), port_(port) {
  thread_ = std::thread([this] { Serve(); });
}

TestUdpServer::TestUdpServer(Handler handler) : handler_(std::move(handler)) {
  fd_ = BoundSocket(SOCK_DGRAM, port_);
  thread_ = std::thread([this] { Serve(); });
}

std::unique_ptr<TestUdpServer> TestUdpServer::At(int port, Handler handler) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(port);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return nullptr;
  }
  return std::unique_ptr<TestUdpServer>(new TestUdpServer(fd, port, std::move(handler)));
}

TestUdpServer::~TestUdpServer() {
  eventfd_write(stop_fd_, 1);
  thread_.join();
  close(fd_);
  close(stop_fd_);
}

std::string TestUdpServer::address() const { return absl::StrCat("127.0.0.1:", port_); }

int TestUdpServer::datagrams() {
  MutexLock lock(&mu_);
  return datagrams_;
}

void TestUdpServer::Serve() {
  pollfd waiting[] = {{fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  while (poll(waiting, 2, -1) > 0 && waiting[1].revents == 0) {
    char bytes[1500];
    sockaddr_in peer;
    socklen_t size = sizeof peer;
    const ssize_t n =
        recvfrom(fd_, bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&peer), &size);
    if (n < 0) continue;
    {
      MutexLock lock(&mu_);
      ++datagrams_;
    }
    for (const std::string& answer : handler_(std::string(bytes, static_cast<size_t>(n)))) {
      sendto(fd_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
    }
  }
}

void TestNameServer::Set(const std::string& name, std::vector<std::string> v4_addresses, int ttl) {
  MutexLock lock(&mu_);
  names_[name] = {std::move(v4_addresses), ttl};
}

void TestNameServer::SetMode(Mode mode) {
  MutexLock lock(&mu_);
  mode_ = mode;
}

int TestNameServer::questions(const std::string& name) {
  MutexLock lock(&mu_);
  return questions_[name];
}

// RFC 1035: a header of 12 bytes, the question, then the records.
std::string TestNameServer::Answer(const std::string& question) {
  if (question.size() < 17) return "";
  std::string name;
  size_t at = 12;
  while (question[at] != 0) {
    if (!name.empty()) name += '.';
    name += question.substr(at + 1, static_cast<size_t>(question[at]));
    at += static_cast<size_t>(question[at]) + 1;
  }
  const int type = question[at + 2];
  const std::string asked = question.substr(12, at + 5 - 12);

  MutexLock lock(&mu_);
  if (type == 1) ++questions_[name];
  if (mode_ == Mode::kSilent) return "";
  const auto entry = names_.find(name);
  const int code = mode_ == Mode::kFail ? 2 : entry == names_.end() ? 3 : 0;
  std::string records;
  int count = 0;
  if (code == 0 && type == 1) {
    for (const std::string& address : entry->second.addresses) {
      in_addr v4;
      CHECK(inet_pton(AF_INET, address.c_str(), &v4) == 1);
      const uint32_t ttl = htonl(static_cast<uint32_t>(entry->second.ttl));
      records += std::string("\xc0\x0c\0\x01\0\x01", 6);
      records.append(reinterpret_cast<const char*>(&ttl), 4);
      records += std::string("\0\x04", 2);
      records.append(reinterpret_cast<const char*>(&v4), 4);
      ++count;
    }
  }
  std::string header = question.substr(0, 2);
  header += std::string("\x81", 1) + static_cast<char>(0x80 | code);
  header += std::string("\0\x01\0", 3) + static_cast<char>(count) + std::string("\0\0\0\0", 4);
  return header + asked + records;
}

}  // namespace salve
