// TcpAcceptor: listens at one address and accepts connections, on a thread of its own, no more
// than so many at a time. gRPC has no such bound of its own, and a flood must not take the
// descriptors and the memory of an agent that has to heal.
#ifndef SALVE_AGENT_TCP_ACCEPTOR_H_
#define SALVE_AGENT_TCP_ACCEPTOR_H_

#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "config/listen_address.h"

namespace salve {

class TcpAcceptor {
 public:
  // Binds; port 0: any (port() tells). Connections wait in the kernel until Start.
  // Errors: kUnavailable: it can't be bound, with the reason.
  static absl::StatusOr<std::unique_ptr<TcpAcceptor>> Listen(const ListenAddress& address,
                                                             int connections_max);
  ~TcpAcceptor();  // Stops.
  TcpAcceptor(const TcpAcceptor&) = delete;
  TcpAcceptor& operator=(const TcpAcceptor&) = delete;

  // Gives each connection (non-blocking) to `take`, which owns it then; on the acceptor's thread.
  // One beyond `connections_max` is closed at once. Call it once.
  void Start(std::function<void(int fd)> take);
  // No call of `take` from the return on. Does not close what was taken.
  void Stop();

  int fd() const { return listener_.get(); }
  int port() const { return port_; }
  // Of the connections that were given out, those that are open still.
  int connections() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  TcpAcceptor(UniqueFd listener, UniqueFd stop, int port, int connections_max);
  void Run(const std::function<void(int fd)>& take);
  bool Accept(const std::function<void(int fd)>& take);
  void ForgetClosed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const UniqueFd listener_;
  const UniqueFd stop_;
  const int port_;
  const size_t connections_max_;
  Mutex mu_;
  // Descriptor and inode: a descriptor that is closed, or is another socket now, has another or
  // no inode. Its owner does not say when it closes it.
  std::map<int, uint64_t> open_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace salve

#endif  // SALVE_AGENT_TCP_ACCEPTOR_H_
