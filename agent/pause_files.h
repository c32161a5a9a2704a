// PauseFiles: watches the files whose being there pauses all actions, so that a person can stop
// them with `touch`, without the agent's API. Lives on the loop's thread; files are read on the
// worker.
#ifndef SALVE_AGENT_PAUSE_FILES_H_
#define SALVE_AGENT_PAUSE_FILES_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/guards.h"
#include "base/event_loop.h"
#include "base/worker.h"

namespace salve {

inline constexpr char kPauseFileName[] = "actions.paused";
inline constexpr absl::Duration kPauseLookInterval = absl::Milliseconds(250);

class PauseFiles {
 public:
  // Calls `on_change` on the loop, never inside the constructor, with the files that are there, by
  // path, whenever they are others: the guard's reason is a file's first line, `since` its time of
  // change. A file whose being there can't be told pauses; that it is gone is believed at the
  // second look, since an editor may be in the middle of it. Loop and worker must outlive this.
  using OnChange = std::function<void(std::map<std::string, Guard>)>;
  PauseFiles(EventLoop& loop, Worker& worker, std::vector<std::string> paths, OnChange on_change);
  ~PauseFiles();
  PauseFiles(const PauseFiles&) = delete;
  PauseFiles& operator=(const PauseFiles&) = delete;

  // Looks at once, the only call that blocks, and begins to watch. Once.
  void Load();

 private:
  using Files = std::map<std::string, Guard>;
  static Files Look(const std::vector<std::string>& paths);
  void Tick();
  void OnLook(Files files);

  EventLoop& loop_;
  Worker& worker_;
  const std::vector<std::string> paths_;
  const OnChange on_change_;
  Files told_;
  std::string doubtful_;  // Of the look before, as one text, when a file was missing in it.
  bool looking_ = false;  // The worker is at the files.
  TimerId tick_ = TimerId::kNone;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace salve

#endif  // SALVE_AGENT_PAUSE_FILES_H_
