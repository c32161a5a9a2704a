// FakeAcceptors: the list that the test gives.
#ifndef SALVE_QUEUE_FAKE_ACCEPTORS_H_
#define SALVE_QUEUE_FAKE_ACCEPTORS_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "queue/acceptors.h"

namespace salve {

class FakeAcceptors final : public Acceptors {
 public:
  void Set(std::vector<Acceptor> list) {
    list_ = std::move(list);
    if (changed_) changed_();
  }
  std::vector<Acceptor> List() const override { return list_; }
  std::string Source() const override { return "list"; }
  void Watch(std::function<void()> changed) override { changed_ = std::move(changed); }
  void Offer(const std::string& address) override { offered = address; }

  std::string offered;

 private:
  std::vector<Acceptor> list_;
  std::function<void()> changed_;
};

}  // namespace salve

#endif  // SALVE_QUEUE_FAKE_ACCEPTORS_H_
