// SharedText: one text that all servers of a group share and are told of, such as the global
// overrides. Kept by the group's coordinator. Lives on the loop thread.
#ifndef SALVE_THROTTLING_SHARED_TEXT_H_
#define SALVE_THROTTLING_SHARED_TEXT_H_

#include <functional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace salve {

class SharedText {
 public:
  virtual ~SharedText() = default;

  // Calls `on_text` with the text as soon as it is known and after each change, on the loop and
  // never inside this call; "" when there is none. Silent while the coordinator is away: the last
  // text holds. Once.
  virtual void Watch(std::function<void(const std::string& text)> on_text) = 0;

  // Makes it `to`, only if it still is `from`; calls `done` once, on the loop, never inside this
  // call. Errors of `done`: kAborted: it is another by now (ask again with that one);
  // kUnavailable: no answer within the coordinator's deadline, it may or may not be done.
  virtual void Replace(const std::string& from, const std::string& to,
                       absl::AnyInvocable<void(absl::Status)> done) = 0;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_SHARED_TEXT_H_
