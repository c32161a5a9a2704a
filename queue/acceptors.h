// Acceptors: the servers of the group that deliver for others, and this server's own entry among
// them. From etcd under the member's lease (etcd_acceptors.h) or a list of the configuration; the
// last list that was known serves while etcd is away. Lives on the loop's thread.
#ifndef SALVE_QUEUE_ACCEPTORS_H_
#define SALVE_QUEUE_ACCEPTORS_H_

#include <functional>
#include <string>
#include <vector>

namespace salve {

struct Acceptor {
  std::string server;
  std::string address;  // "HOST:PORT" of its API.
  friend bool operator==(const Acceptor&, const Acceptor&) = default;
};

class Acceptors {
 public:
  virtual ~Acceptors() = default;

  // Sorted by server, without this one. May be empty.
  virtual std::vector<Acceptor> List() const = 0;
  // "etcd", "list", "etcd (not answering: the last known)", "none": for people.
  virtual std::string Source() const = 0;
  // Calls `changed` on the loop after each change of List. Once.
  virtual void Watch(std::function<void()> changed) = 0;
  // Whether this server accepts for others, at this address ("": it does not). Said until it is
  // known; ends with the agent.
  virtual void Offer(const std::string& address) = 0;
};

}  // namespace salve

#endif  // SALVE_QUEUE_ACCEPTORS_H_
