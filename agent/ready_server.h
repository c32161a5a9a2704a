// ReadyServer: tells load balancers by HTTP what is in service: GET /ready/COMPONENT is 200 or 503,
// GET /ready is 200 when all are. Not a web server: one request a connection, no body, no TLS.
// Hostile clients cost little: at most 64 connections, of which the oldest gives way to the next;
// 4 KiB and 5 s a request. Lives on the loop's thread; no call blocks.
#ifndef SALVE_AGENT_READY_SERVER_H_
#define SALVE_AGENT_READY_SERVER_H_

#include <functional>
#include <list>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agent/ready_request.h"
#include "api/salve.pb.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "config/listen_address.h"

namespace salve {

class ReadyServer {
 public:
  static constexpr size_t kConnectionsMax = 64;
  static constexpr absl::Duration kRequestTime = absl::Seconds(5);
  // An address that can't be had is tried again so often.
  static constexpr absl::Duration kListenAgain = absl::Seconds(5);

  struct Parts {
    EventLoop& loop;
    std::function<v1::ListComponentsResponse()> components;
    std::function<void(const std::string& message, bool is_error)> say;
  };
  explicit ReadyServer(Parts parts);
  ~ReadyServer();

  // Listens there from now on; none is nowhere. Port 0: one that the kernel chooses.
  void Configure(const std::optional<ListenAddress>& address);
  // The agent is stopping: from now on nothing is in service.
  void Drain() { draining_ = true; }

  // Why it does not listen although it should; empty: it does.
  const std::string& trouble() const { return trouble_; }
  int port() const { return port_; }  // 0: it does not listen.
  size_t connections() const { return connections_.size(); }

 private:
  struct Connection {
    UniqueFd fd;
    WatchId watch = WatchId::kNone;
    TimerId deadline = TimerId::kNone;
    std::string received;
    std::string answer;  // What is left to send.
  };
  using ConnectionAt = std::list<Connection>::iterator;

  void Listen();
  absl::Status TryToListen(const ListenAddress& address);
  void StopListening();
  void Accept();
  bool AcceptOne();
  void Receive(ConnectionAt at);
  void Send(ConnectionAt at);
  void Close(ConnectionAt at);
  void WatchListener();
  std::string AnswerTo(const ReadyRequest& request) const;

  const Parts parts_;
  std::optional<ListenAddress> address_;
  std::string trouble_;
  bool draining_ = false;
  int port_ = 0;
  UniqueFd listener_;
  WatchId listen_watch_ = WatchId::kNone;
  TimerId again_ = TimerId::kNone;
  std::list<Connection> connections_;  // Oldest first.
};

}  // namespace salve

#endif  // SALVE_AGENT_READY_SERVER_H_
