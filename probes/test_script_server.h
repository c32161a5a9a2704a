// A server for tests of conversations: it says and hears what a script has, one connection after
// another, over TCP on loopback or a Unix socket, with TLS from any point on.
#ifndef SALVE_PROBES_TEST_SCRIPT_SERVER_H_
#define SALVE_PROBES_TEST_SCRIPT_SERVER_H_

#include <openssl/ssl.h>

#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace salve {

struct ScriptAct {
  enum class Kind { kSay, kSayForEver, kHear, kHearEnd, kStartTls, kHang };
  Kind kind;
  std::string text;
};
using Script = std::vector<ScriptAct>;

inline ScriptAct Says(std::string text) { return {ScriptAct::Kind::kSay, std::move(text)}; }
// Until the peer is gone.
inline ScriptAct SaysForEver(std::string text) {
  return {ScriptAct::Kind::kSayForEver, std::move(text)};
}
// Reads so many bytes; it closes the connection if they are not `text`.
inline ScriptAct Hears(std::string text) { return {ScriptAct::Kind::kHear, std::move(text)}; }
// The peer's side is closed in good order, with close_notify if there is TLS.
inline ScriptAct HearsTheEnd() { return {ScriptAct::Kind::kHearEnd, ""}; }
inline ScriptAct StartsTls() { return {ScriptAct::Kind::kStartTls, ""}; }
// Reads nothing until the peer is gone.
inline ScriptAct Hangs() { return {ScriptAct::Kind::kHang, ""}; }

class ScriptServer {
 public:
  struct Options {
    std::string certificate_file;  // PEM, for StartsTls.
    std::string key_file;
    std::string unix_socket;  // A path instead of a port.
    int backlog = 16;
    bool accepts = true;  // False: connections wait in the queue.
  };
  explicit ScriptServer(Script script) : ScriptServer(std::move(script), Options()) {}
  ScriptServer(Script script, Options options);
  // Ends the connection that is open.
  ~ScriptServer();

  int port() const { return port_; }
  // What was heard and not in the script; "" when all went by it. Of connections that have ended.
  std::string fault();
  int connections();

 private:
  void Accept();
  void Serve(int fd);
  bool Act(const ScriptAct& act, int fd, SSL*& tls);
  bool Send(const std::string& text, int fd, SSL* tls);

  const Script script_;
  const Options options_;
  SSL_CTX* tls_ = nullptr;
  int listen_fd_ = -1;
  int port_ = 0;
  Mutex mu_;
  int open_fd_ ABSL_GUARDED_BY(mu_) = -1;
  int connections_ ABSL_GUARDED_BY(mu_) = 0;
  std::string fault_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

// A folder with a short name, for Unix sockets: their paths have at most 107 bytes.
class TestSocketFolder {
 public:
  TestSocketFolder();
  ~TestSocketFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/salve-XXXXXX";
};

}  // namespace salve

#endif  // SALVE_PROBES_TEST_SCRIPT_SERVER_H_
