// Acceptors of a list in the configuration; while that is empty, those of somebody else, or none.
#ifndef SALVE_QUEUE_LIST_ACCEPTORS_H_
#define SALVE_QUEUE_LIST_ACCEPTORS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/config.pb.h"
#include "queue/acceptors.h"

namespace salve {

class ListAcceptors final : public Acceptors {
 public:
  // `server`: this one, which is never listed. `otherwise`: null: none.
  ListAcceptors(std::string server, std::unique_ptr<Acceptors> otherwise);

  // Takes up queue.acceptor; again after a reload.
  void Configure(const config::Queue& queue);

  std::vector<Acceptor> List() const override;
  std::string Source() const override;
  void Watch(std::function<void()> changed) override;
  // Published for the other servers, where there is such a place, whatever the list here says.
  void Offer(const std::string& address) override;

 private:
  const std::string server_;
  const std::unique_ptr<Acceptors> otherwise_;
  bool is_configured_ = false;
  std::vector<Acceptor> list_;
  std::function<void()> changed_;
};

}  // namespace salve

#endif  // SALVE_QUEUE_LIST_ACCEPTORS_H_
