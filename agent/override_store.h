// OverrideStore: the overrides of this server and of all servers, wherever they are kept: files
// that people edit, or a text that the group shares. Watches them, changes them, and says when one
// ends. What they mean for the items is the engine's. Lives on the loop's thread; files are read
// and written on the worker.
#ifndef SALVE_AGENT_OVERRIDE_STORE_H_
#define SALVE_AGENT_OVERRIDE_STORE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/worker.h"
#include "config/override.h"
#include "throttling/shared_text.h"

namespace salve {

// How often files are looked at. What is missing or faulty is believed at the second look: an
// editor may be in the middle of it.
inline constexpr absl::Duration kOverrideLookInterval = absl::Milliseconds(250);
// An override that ended so long ago is dropped when its file is written next.
inline constexpr absl::Duration kEndedOverrideKept = absl::Hours(7 * 24);

struct OverrideStoreOptions {
  std::string local_file;   // STATE_DIR/overrides.xml
  std::string global_file;  // CONFIG_DIR/global-overrides.xml; not looked at with `shared`.
  // The last sets that were good, for a start at which they can't be had.
  std::string local_copy;
  std::string global_copy;
  SharedText* shared = nullptr;  // Null: the global ones are in `global_file`.
};

// What happened to an override, for the records.
struct OverrideNews {
  enum class Kind { kAdded = 1, kRemoved = 2, kExpired = 3, kRejectedFile = 4 };  // Event ids.
  Kind kind;
  std::string who;
  std::string what;
  std::string why;
  std::string health_set;  // Of the override; empty of a file.
  std::string item;
};

class OverrideStore {
 public:
  // All of these are called on the loop, never inside a constructor.
  struct Listener {
    std::function<void()> on_change;  // overrides() or ended() is another.
    std::function<void(const OverrideNews&)> on_news;
  };
  // Loop and worker must outlive the store.
  OverrideStore(EventLoop& loop, Worker& worker, OverrideStoreOptions options, Listener listener);
  ~OverrideStore();
  OverrideStore(const OverrideStore&) = delete;
  OverrideStore& operator=(const OverrideStore&) = delete;

  // Reads all there is, at once: the only call that blocks. Then begins to watch. Once, before
  // any other call; on_change is not called, on_news is for a file that is refused.
  void Load();

  // Local ones first. Those that have ended stay for a while.
  const std::vector<ScopedOverride>& overrides() const { return all_; }
  // Which of them have ended, as numbered.
  const std::vector<bool>& ended() const { return ended_; }
  // What is wrong with files that are refused now.
  std::vector<std::string> faults() const;

  // Whether overrides of this scope can be changed here at all. Errors: kFailedPrecondition: global
  // ones are in a file that others distribute.
  absl::Status CheckScope(OverrideScope scope) const;

  // Adds, or replaces one with the same key; calls `done` once, when it is kept and on_change has
  // been called. `done` gets the one that was replaced.
  // Errors of `done`: kFailedPrecondition: global ones are in a file, or the file that is there
  //   now is faulty, or there are too many of them; kUnavailable: the group does not answer;
  //   kPermissionDenied, kResourceExhausted: the file can't be written.
  using AddDone = absl::AnyInvocable<void(absl::StatusOr<std::optional<Override>>)>;
  void Add(OverrideScope scope, Override override, AddDone done);

  // Removes the one with the key of `like`; when `like` has no version, the only one of all
  // versions. Errors of `done`: kNotFound, with what there is instead; as Add.
  using RemoveDone = absl::AnyInvocable<void(absl::StatusOr<Override>)>;
  void Remove(OverrideScope scope, Override like, std::string who, RemoveDone done);

 private:
  using Set = std::vector<Override>;
  using Change = std::function<absl::Status(Set&)>;
  struct Kept;  // Where one scope's overrides are kept, and what was last seen there.
  struct Seen;  // What one look at a file gave.

  Kept& Of(OverrideScope scope) { return *kept_[scope == OverrideScope::kLocal ? 0 : 1]; }
  void LoadFile(Kept& kept);
  void Tick();
  void LookAtFiles();
  void OnLook(Kept& kept, Seen seen);
  void OnSharedText(const std::string& text);
  // Applies `change` where the scope is kept; then takes the new set up.
  void Write(OverrideScope scope, std::string who, Change change,
             absl::AnyInvocable<void(absl::Status)> done);
  void WriteFile(Kept& kept, std::string who, Change change,
                 absl::AnyInvocable<void(absl::Status)> done);
  void WriteShared(Kept& kept, std::string who, Change change,
                   absl::AnyInvocable<void(absl::Status)> done, int tries_left);

  void OnWritten(Kept& kept, Seen seen, const std::string& who);
  void TakeUp(Kept& kept, Set set, const std::string& who);
  void Reject(Kept& kept, const std::string& fault);
  void KeepCopy(const Kept& kept, std::string text);
  void Number();      // Fills all_, ends_ and ended_ from what is kept.
  void LookAtTime();  // Fills ended_.
  void Tell(OverrideNews::Kind kind, const std::string& who, OverrideScope scope,
            const Override& override);

  EventLoop& loop_;
  Worker& worker_;
  const OverrideStoreOptions options_;
  const Listener listener_;
  std::unique_ptr<Kept> kept_[2];
  std::vector<ScopedOverride> all_;
  std::vector<bool> ended_;
  // When the one of the same number ends.
  struct End {
    std::string id;  // Its key and its end: another end is another override.
    absl::Time wall;
    // By the uptime, from the first time that the wall clock said that it has not ended: so a clock
    // that is set back prolongs nothing.
    std::optional<Instant> deadline;
  };
  std::vector<End> ends_;
  bool looking_ = false;  // The worker is at the files.
  TimerId tick_ = TimerId::kNone;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace salve

#endif  // SALVE_AGENT_OVERRIDE_STORE_H_
