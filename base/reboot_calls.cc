#include "base/reboot_calls.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/systemd_values.h"

namespace salve {
namespace {

// logind begins with the reboot before it answers; an answer that is late is no sign that it won't.
constexpr absl::Duration kAnswerTimeout = absl::Seconds(25);
constexpr size_t kInhibitorsToldMax = 10;

// SD_LOGIND_ROOT_CHECK_INHIBITORS: an inhibitor that came since we looked holds for root too.
constexpr uint64_t kCheckInhibitors = 1;

BusCall Logind(const char* member) {
  return {kLogind, kLogindPath, kLogindInterface, member, kAnswerTimeout};
}

// There is nobody of that name on the bus, and nobody is to be started.
bool IsNotThere(const absl::Status& status) {
  return absl::StartsWith(status.message(), "org.freedesktop.DBus.Error.ServiceUnknown:") ||
         absl::StartsWith(status.message(), "org.freedesktop.DBus.Error.NameHasNoOwner:");
}

// It was asked for, and nobody said no. Who is asked goes down with the rest, and so does the bus:
// perhaps before the answer has come.
bool IsAnswerLost(const absl::Status& status) {
  for (const char* what :
       {"org.freedesktop.DBus.Error.NoReply:", "org.freedesktop.DBus.Error.Disconnected:",
        "org.freedesktop.DBus.Error.Timeout:", "no answer within "}) {
    if (absl::StartsWith(status.message(), what)) return true;
  }
  return false;
}

// What blocks a shutdown, of ListInhibitors' answer: "dpkg (upgrade under way, pid 71)".
absl::StatusOr<std::vector<std::string>> BlockersIn(sd_bus_message* message) {
  std::vector<std::string> blockers;
  const char *what, *who, *why, *mode;
  uint32_t uid = 0, pid = 0;
  int read = sd_bus_message_enter_container(message, 'a', "(ssssuu)");
  while (read >= 0 && (read = sd_bus_message_read(message, "(ssssuu)", &what, &who, &why, &mode,
                                                  &uid, &pid)) > 0) {
    const std::vector<absl::string_view> all = absl::StrSplit(what, ':');
    if (absl::string_view(mode) != "block" || std::count(all.begin(), all.end(), "shutdown") == 0) {
      continue;
    }
    blockers.push_back(absl::StrCat(who, " (", why, ", pid ", pid, ")"));
  }
  if (read < 0) return absl::UnavailableError("logind sent inhibitors of another form");
  return blockers;
}

}  // namespace

RebootCalls::~RebootCalls() {
  for (auto& [id, request] : requests_) loop_.CancelTimer(request.timer);
}

void RebootCalls::Reboot(bool force, Instant deadline, RebootDone done) {
  const uint64_t id = ++last_id_;
  Request& request = requests_[id];
  request.force = force;
  request.done = std::move(done);
  if (link_->is_down()) {
    request.timer = loop_.CallAfter(absl::ZeroDuration(), [this, id] {
      Finish(id, absl::UnavailableError("neither logind nor systemd can be asked now"));
    });
    return;
  }
  request.timer = loop_.CallAt(deadline, [this, id] {
    Finish(id, absl::DeadlineExceededError("the reboot was not accepted in time"));
  });
  if (link_->bus() != nullptr) Begin(id);
}

void RebootCalls::Up(BusLink&) {
  std::vector<uint64_t> waiting;
  for (const auto& [id, request] : requests_) {
    if (!request.begun) waiting.push_back(id);
  }
  for (const uint64_t id : waiting) Begin(id);
}

void RebootCalls::Down() {
  std::vector<uint64_t> lost;
  for (const auto& [id, request] : requests_) lost.push_back(id);
  for (const uint64_t id : lost) {
    const bool was_asked = requests_.at(id).asked;
    Finish(id, was_asked ? absl::OkStatus()
                         : absl::UnavailableError("the connection to systemd broke"));
  }
}

void RebootCalls::Begin(uint64_t id) {
  Request& request = requests_.at(id);
  request.begun = true;
  if (!link_->is_message_bus()) return AskSystemd(id);
  if (request.force) return AskLogind(id);
  // logind itself passes over inhibitors of whoever has our own user id.
  link_->bus()->Call(Logind("ListInhibitors"),
                     [this, id](const Reply& reply) { TakeInhibitors(id, reply); });
}

void RebootCalls::TakeInhibitors(uint64_t id, const Reply& reply) {
  if (!requests_.contains(id)) return;
  if (!reply.ok()) {
    if (IsNotThere(reply.status())) return AskSystemd(id);
    return Finish(id, reply.status());
  }
  absl::StatusOr<std::vector<std::string>> blockers = BlockersIn(*reply);
  if (!blockers.ok()) return Finish(id, blockers.status());
  if (blockers->empty()) return AskLogind(id);
  if (blockers->size() > kInhibitorsToldMax) {
    const size_t more = blockers->size() - kInhibitorsToldMax;
    blockers->resize(kInhibitorsToldMax);
    blockers->push_back(absl::StrCat(more, " more"));
  }
  Finish(id, absl::FailedPreconditionError(
                 absl::StrCat("a reboot is inhibited by ", absl::StrJoin(*blockers, ", "))));
}

void RebootCalls::AskLogind(uint64_t id) {
  requests_.at(id).asked = true;
  link_->bus()->Call(
      Logind("RebootWithFlags"),
      [this, id](const Reply& reply) {
        if (!requests_.contains(id)) return;
        // Before systemd 246.
        const bool is_old =
            !reply.ok() &&
            absl::StartsWith(reply.status().message(), "org.freedesktop.DBus.Error.UnknownMethod:");
        if (is_old) return AskOldLogind(id);
        TakeAnswer(id, reply);
      },
      "t", requests_.at(id).force ? uint64_t{0} : kCheckInhibitors);
}

void RebootCalls::AskOldLogind(uint64_t id) {
  link_->bus()->Call(
      Logind("Reboot"), [this, id](const Reply& reply) { TakeAnswer(id, reply); }, "b", 0);
}

void RebootCalls::AskSystemd(uint64_t id) {
  requests_.at(id).asked = true;
  link_->bus()->Call(
      {kSystemd, kSystemdPath, kManagerInterface, "StartUnit", kAnswerTimeout},
      [this, id](const Reply& reply) { End(id, reply.status()); }, "ss", "reboot.target",
      "replace-irreversibly");
}

void RebootCalls::TakeAnswer(uint64_t id, const Reply& reply) {
  if (!requests_.contains(id)) return;
  if (!reply.ok() && IsNotThere(reply.status())) return AskSystemd(id);
  End(id, reply.status());
}

void RebootCalls::End(uint64_t id, const absl::Status& answer) {
  Finish(id, IsAnswerLost(answer) ? absl::OkStatus() : answer);
}

void RebootCalls::Finish(uint64_t id, const absl::Status& status) {
  auto node = requests_.extract(id);
  if (node.empty()) return;
  loop_.CancelTimer(node.mapped().timer);
  node.mapped().done(status);
}

}  // namespace salve
