// Small servers for tests of network probes: on loopback, at ports that the kernel chooses,
// with a thread a connection.
#ifndef SALVE_PROBES_TEST_SERVERS_H_
#define SALVE_PROBES_TEST_SERVERS_H_

#include <openssl/ssl.h>
#include <sys/eventfd.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "base/mutex.h"

namespace salve {

// One accepted connection, plain or TLS; the server closes it when the handler returns.
class TestConnection {
 public:
  TestConnection(int fd, SSL* tls) : fd_(fd), tls_(tls) {}
  int fd() const { return fd_; }

  // Until an empty line, or the end. With the body that Content-Length announces.
  std::string ReadRequest();
  // False when the peer is gone.
  bool Send(const std::string& text);
  // An HTTP answer with Content-Length.
  void Answer(const std::string& status, const std::string& body, const std::string& headers = "");
  // Waits until the peer has closed: what a server that hangs does.
  void Hang();
  // Waits so long, or until the peer has closed (then false).
  bool Pause(absl::Duration duration);

 private:
  int Read(char* bytes, int size);
  const int fd_;
  SSL* const tls_;
};

class TestServer {
 public:
  using Handler = std::function<void(TestConnection&)>;

  // Listens on 127.0.0.1.
  explicit TestServer(Handler handler);
  // With TLS; PEM files.
  TestServer(Handler handler, const std::string& certificate, const std::string& key);
  // Ends all connections.
  ~TestServer();

  // From now on it offers nothing but TLS 1.2 with this finite-field group: "ffdhe6144". Its
  // certificate must be of kRsa.
  void OnlyDh(const std::string& group);

  int port() const { return port_; }
  std::string url(const std::string& path = "/") const;
  // How many connections have come.
  int connections();

 private:
  void Listen();
  void Accept();
  void Serve(int fd);

  const Handler handler_;
  SSL_CTX* tls_ = nullptr;
  int listen_fd_ = -1;
  int port_ = 0;
  Mutex mu_;
  int connections_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<int> open_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
  std::thread accepter_;
};

// Answers every connection alike.
TestServer::Handler AlwaysAnswer(std::string status, std::string body, std::string headers = "");

// A listening socket whose queue is full: connecting to it hangs, and is not refused.
class FullListener {
 public:
  FullListener();
  ~FullListener();
  int port() const { return port_; }

 private:
  std::vector<int> fds_;
  int port_ = 0;
};

// A port of 127.0.0.1 at which nobody listens.
int RefusingPort();

// Connections from here to 127.0.0.1:`port` that are in TIME_WAIT on our side.
int TimeWaitsTo(int port);

// A self-signed certificate for `name` and 127.0.0.1, written to DIR/NAME.{crt,key}.
struct TestCertificate {
  enum class Key { kEc, kRsa };
  TestCertificate(const std::string& name, absl::Duration valid_for, Key kind = Key::kEc);
  std::string certificate_file;
  std::string key_file;
};

// Answers datagrams on 127.0.0.1, from a thread of its own.
class TestUdpServer {
 public:
  // The datagrams to answer one with, in order; none: silence.
  using Handler = std::function<std::vector<std::string>(const std::string& datagram)>;

  explicit TestUdpServer(Handler handler);
  // At a port that a TestServer has: null when it is taken for UDP.
  static std::unique_ptr<TestUdpServer> At(int port, Handler handler);
  ~TestUdpServer();

  int port() const { return port_; }
  std::string address() const;  // "127.0.0.1:PORT"
  // How many datagrams have come.
  int datagrams();

 private:
  TestUdpServer(int fd, int port, Handler handler);
  void Serve();

  const Handler handler_;
  int fd_ = -1;
  int port_ = 0;
  const int stop_fd_ = eventfd(0, EFD_CLOEXEC);
  Mutex mu_;
  int datagrams_ ABSL_GUARDED_BY(mu_) = 0;
  std::thread thread_;
};

// A name server on 127.0.0.1.
class TestNameServer {
 public:
  enum class Mode { kAnswer, kSilent, kFail };

  std::string address() const { return server_.address(); }  // "127.0.0.1:PORT"
  // Names that are not set do not exist.
  void Set(const std::string& name, std::vector<std::string> v4_addresses, int ttl = 60);
  void SetMode(Mode mode);
  // Questions for the A record of `name`, so far.
  int questions(const std::string& name);

 private:
  struct Entry {
    std::vector<std::string> addresses;
    int ttl;
  };
  std::string Answer(const std::string& question);

  Mutex mu_;
  Mode mode_ ABSL_GUARDED_BY(mu_) = Mode::kAnswer;
  std::map<std::string, Entry> names_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> questions_ ABSL_GUARDED_BY(mu_);
  TestUdpServer server_{[this](const std::string& question) {
    const std::string answer = Answer(question);
    return answer.empty() ? std::vector<std::string>() : std::vector<std::string>{answer};
  }};
};

}  // namespace salve

#endif  // SALVE_PROBES_TEST_SERVERS_H_
