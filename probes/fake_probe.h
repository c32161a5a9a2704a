// FakeProbe: a Probe that sees what the test says. Beside its interface, for tests of the
// scheduler and of the stages above.
#ifndef SALVE_PROBES_FAKE_PROBE_H_
#define SALVE_PROBES_FAKE_PROBE_H_

#include <functional>
#include <string>
#include <utility>

#include "probes/probe.h"

namespace salve {

class FakeProbe final : public Probe {
 public:
  // What the next looks see. At first, success.
  void Say(Observation next) { next_ = std::move(next); }
  // From now on a look stays open until Finish.
  void Hang() { hang_ = true; }
  // Ends the open look with `observation`, and hangs no more. Requires: a look is open.
  void Finish(Observation observation) {
    hang_ = false;
    std::exchange(done_, nullptr)(std::move(observation));
  }
  // What an event-driven kind does when something has changed. Requires: Watch was called.
  void Change() { look_now_(); }
  // Makes it a kind that looks only when asked to.
  void MakeNotRecurrent() { recurrent_ = false; }

  int looks_started() const { return looks_started_; }
  bool is_looking() const { return done_ != nullptr; }
  Instant deadline() const { return deadline_; }  // Of the last look.

  void Start(Instant deadline, ObservationDone done) override {
    ++looks_started_;
    deadline_ = deadline;
    if (hang_) {
      done_ = std::move(done);
    } else {
      done(next_);
    }
  }
  void Watch(std::function<void()> look_now) override { look_now_ = std::move(look_now); }
  bool IsRecurrent() const override { return recurrent_; }
  absl::Status Report(bool passed, std::string error) override {
    if (recurrent_) return Probe::Report(passed, std::move(error));
    next_ = passed ? Observation{} : Failed(std::move(error));
    return absl::OkStatus();
  }

 private:
  Observation next_;
  bool hang_ = false;
  bool recurrent_ = true;
  int looks_started_ = 0;
  Instant deadline_;
  ObservationDone done_;
  std::function<void()> look_now_;
};

}  // namespace salve

#endif  // SALVE_PROBES_FAKE_PROBE_H_
