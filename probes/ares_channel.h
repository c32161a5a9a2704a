// AresChannel: one c-ares channel on the loop. It watches the sockets that c-ares opens, calls
// c-ares when they are ready or its time has come, and counts what goes wrong on them: c-ares
// itself tells no two reasons apart. What is asked over it, and what an answer means, is its
// user's. Lives on the loop's thread.
#ifndef SALVE_PROBES_ARES_CHANNEL_H_
#define SALVE_PROBES_ARES_CHANNEL_H_

#include <ares.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "base/event_loop.h"

namespace salve {

class AresChannel {
 public:
  struct Options {
    std::string servers;  // "ADDRESS:PORT,…" instead of those of /etc/resolv.conf.
    absl::Duration server_timeout = absl::Seconds(2);  // Of the first try; later ones wait longer.
    int tries = 3;                                     // Of each server.
    bool tcp = false;                                  // Never by UDP.
    // An answer that says "failed" or "refused", or that is cut, is handed out too. Otherwise the
    // next server is asked, and after the last one the query ends with ARES_ECONNREFUSED; what is
    // cut is asked for again over TCP, but for no longer than server_timeout.
    bool hands_out_failures = false;
  };

  AresChannel(EventLoop& loop, Options options);
  ~AresChannel();
  AresChannel(const AresChannel&) = delete;
  AresChannel& operator=(const AresChannel&) = delete;

  // Reads the configuration of the system anew. False: no memory, or the servers are none.
  // Requires: it is not open.
  bool Open();
  // Ends what is asked: each query's callback is called, inside this call, with
  // ARES_EDESTRUCTION. Never inside such a callback.
  void Close();

  // For c-ares' own calls; null while it is not open. After each call that begins a query, Begun.
  ares_channel get() const { return channel_; }
  void Begun() { ArmTimer(); }

  // Socket calls that failed so far, and the errno of the last one.
  uint64_t socket_errors() const { return socket_errors_; }
  int last_socket_error() const { return last_socket_error_; }

 private:
  void SetSocketFunctions();
  ssize_t Noted(ssize_t result);
  ssize_t Receive(int fd, void* bytes, size_t size, int flags, sockaddr* from,
                  socklen_t* from_size);
  ssize_t Send(int fd, const iovec* parts, int count);
  void SocketWants(int fd, bool read, bool write);
  void Process(int read_fd, int write_fd);
  void ArmTimer();

  EventLoop& loop_;
  const Options options_;
  ares_channel channel_ = nullptr;
  uint64_t socket_errors_ = 0;
  int last_socket_error_ = 0;
  int receives_left_ = 0;  // In this turn of the loop.
  absl::flat_hash_map<int, WatchId> watches_;
  TimerId timer_ = TimerId::kNone;
};

// The name servers of this machine, "ADDRESS:PORT" each, as c-ares reads them from
// /etc/resolv.conf; at most 16. Empty when there is no memory.
std::vector<std::string> SystemNameServers();

}  // namespace salve

#endif  // SALVE_PROBES_ARES_CHANNEL_H_
