// FakeSharedText: a text that several servers of a test share, with outages and lost races.
#ifndef SALVE_THROTTLING_FAKE_SHARED_TEXT_H_
#define SALVE_THROTTLING_FAKE_SHARED_TEXT_H_

#include <functional>
#include <string>
#include <utility>

#include "base/event_loop.h"
#include "throttling/shared_text.h"

namespace salve {

class FakeSharedText final : public SharedText {
 public:
  explicit FakeSharedText(EventLoop& loop) : loop_(loop) {}

  void Watch(std::function<void(const std::string&)> on_text) override {
    on_text_ = std::move(on_text);
    Announce();
  }
  void Replace(const std::string& from, const std::string& to,
               absl::AnyInvocable<void(absl::Status)> done) override {
    absl::Status status;
    if (is_away_) {
      status = absl::UnavailableError("no answer");
    } else if (races_to_lose_ > 0) {
      --races_to_lose_;
      status = absl::AbortedError("another was first");
    } else if (from != text_) {
      status = absl::AbortedError("it is another");
    } else {
      Set(to);
    }
    loop_.Post([done = std::move(done), status]() mutable { done(status); });
  }

  // Another server, or a person, changes it.
  void Set(std::string text) {
    text_ = std::move(text);
    Announce();
  }
  const std::string& text() const { return text_; }
  // Away: nothing is announced, nothing can be replaced. Back: what is there is announced.
  void SetAway(bool away) {
    is_away_ = away;
    Announce();
  }
  void LoseRaces(int count) { races_to_lose_ = count; }

 private:
  void Announce() {
    if (is_away_ || !on_text_) return;
    loop_.Post([this, text = text_] { on_text_(text); });
  }

  EventLoop& loop_;
  std::string text_;
  std::function<void(const std::string&)> on_text_;
  bool is_away_ = false;
  int races_to_lose_ = 0;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_FAKE_SHARED_TEXT_H_
