#include "queue/list_acceptors.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace salve {

ListAcceptors::ListAcceptors(std::string server, std::unique_ptr<Acceptors> otherwise)
    : server_(std::move(server)), otherwise_(std::move(otherwise)) {}

void ListAcceptors::Configure(const config::Queue& queue) {
  const std::vector<Acceptor> before = List();
  is_configured_ = !queue.acceptor().empty();
  list_.clear();
  for (const config::QueueAcceptor& acceptor : queue.acceptor()) {
    if (absl::EqualsIgnoreCase(acceptor.server(), server_)) continue;
    list_.push_back({acceptor.server(), acceptor.address()});
  }
  std::sort(list_.begin(), list_.end(),
            [](const Acceptor& a, const Acceptor& b) { return a.server < b.server; });
  if (changed_ && List() != before) changed_();
}

std::vector<Acceptor> ListAcceptors::List() const {
  if (is_configured_ || otherwise_ == nullptr) return list_;
  return otherwise_->List();
}

std::string ListAcceptors::Source() const {
  if (is_configured_) return "list";
  return otherwise_ == nullptr ? "none" : otherwise_->Source();
}

void ListAcceptors::Watch(std::function<void()> changed) {
  changed_ = std::move(changed);
  if (otherwise_ == nullptr) return;
  otherwise_->Watch([this] {
    if (!is_configured_) changed_();
  });
}

void ListAcceptors::Offer(const std::string& address) {
  if (otherwise_ != nullptr) otherwise_->Offer(address);
}

}  // namespace salve
