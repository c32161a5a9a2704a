#include "probes/test_script_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace salve {

ScriptServer::ScriptServer(Script script, Options options)
    : script_(std::move(script)), options_(std::move(options)) {
  if (!options_.certificate_file.empty()) {
    tls_ = SSL_CTX_new(TLS_server_method());
    CHECK(SSL_CTX_use_certificate_chain_file(tls_, options_.certificate_file.c_str()) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(tls_, options_.key_file.c_str(), SSL_FILETYPE_PEM) == 1);
  }
  if (options_.unix_socket.empty()) {
    listen_fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    CHECK(bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    CHECK(getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  } else {
    listen_fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    CHECK(options_.unix_socket.size() < sizeof address.sun_path);
    memcpy(address.sun_path, options_.unix_socket.data(), options_.unix_socket.size());
    CHECK(bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  CHECK(listen(listen_fd_, options_.backlog) == 0);
  if (options_.accepts) thread_ = std::thread([this] { Accept(); });
}

ScriptServer::~ScriptServer() {
  shutdown(listen_fd_, SHUT_RDWR);
  {
    MutexLock lock(&mu_);
    if (open_fd_ >= 0) shutdown(open_fd_, SHUT_RDWR);
  }
  if (thread_.joinable()) thread_.join();
  close(listen_fd_);
  if (!options_.unix_socket.empty()) unlink(options_.unix_socket.c_str());
  SSL_CTX_free(tls_);
}

std::string ScriptServer::fault() {
  MutexLock lock(&mu_);
  return fault_;
}

int ScriptServer::connections() {
  MutexLock lock(&mu_);
  return connections_;
}

void ScriptServer::Accept() {
  while (true) {
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    {
      MutexLock lock(&mu_);
      ++connections_;
      open_fd_ = fd;
    }
    Serve(fd);
    MutexLock lock(&mu_);
    open_fd_ = -1;
    close(fd);
  }
}

void ScriptServer::Serve(int fd) {
  SSL* tls = nullptr;
  const bool all = std::all_of(script_.begin(), script_.end(),
                               [&](const ScriptAct& act) { return Act(act, fd, tls); });
  if (all && tls != nullptr) SSL_shutdown(tls);
  SSL_free(tls);
}

bool ScriptServer::Send(const std::string& text, int fd, SSL* tls) {
  size_t sent = 0;
  while (sent < text.size()) {
    const int n = tls == nullptr
                      ? static_cast<int>(send(fd, &text[sent], text.size() - sent, MSG_NOSIGNAL))
                      : SSL_write(tls, &text[sent], static_cast<int>(text.size() - sent));
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

bool ScriptServer::Act(const ScriptAct& act, int fd, SSL*& tls) {
  switch (act.kind) {
    case ScriptAct::Kind::kSay:
      return Send(act.text, fd, tls);
    case ScriptAct::Kind::kSayForEver:
      while (Send(act.text, fd, tls)) {
      }
      return false;
    case ScriptAct::Kind::kHear: {
      std::string heard(act.text.size(), '\0');
      size_t size = 0;
      while (size < heard.size() && act.text.compare(0, size, heard, 0, size) == 0) {
        const int room = static_cast<int>(heard.size() - size);
        const int n = tls == nullptr
                          ? static_cast<int>(recv(fd, &heard[size], heard.size() - size, 0))
                          : SSL_read(tls, &heard[size], room);
        if (n <= 0) break;
        size += static_cast<size_t>(n);
      }
      heard.resize(size);
      if (heard == act.text) return true;
      MutexLock lock(&mu_);
      fault_ = absl::StrCat("heard '", absl::CHexEscape(heard), "', expected '",
                            absl::CHexEscape(act.text), "'");
      return false;
    }
    case ScriptAct::Kind::kHearEnd: {
      char byte = 0;
      const int n =
          tls == nullptr ? static_cast<int>(recv(fd, &byte, 1, 0)) : SSL_read(tls, &byte, 1);
      const bool is_end = tls == nullptr ? n == 0 : SSL_get_error(tls, n) == SSL_ERROR_ZERO_RETURN;
      if (is_end) return true;
      MutexLock lock(&mu_);
      fault_ = "heard no end";
      return false;
    }
    case ScriptAct::Kind::kStartTls:
      tls = SSL_new(tls_);
      SSL_set_fd(tls, fd);
      return SSL_accept(tls) == 1;
    case ScriptAct::Kind::kHang: {
      pollfd waiting = {.fd = fd, .events = POLLRDHUP, .revents = 0};
      poll(&waiting, 1, -1);
      return false;
    }
  }
  return false;
}

TestSocketFolder::TestSocketFolder() { CHECK(mkdtemp(path_.data()) != nullptr); }

TestSocketFolder::~TestSocketFolder() { rmdir(path_.c_str()); }

}  // namespace salve
