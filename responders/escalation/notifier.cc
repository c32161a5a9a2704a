#include "responders/escalation/notifier.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "channels/event_text.h"
#include "config/rules.h"
#include "responders/escalation/letter_record.pb.h"

namespace salve {
namespace {

constexpr absl::Duration kRetryMax = absl::Hours(1);
constexpr size_t kSubjectBytesMax = 300;
constexpr size_t kMessageBytesMax = 4096;
constexpr size_t kErrorBytesMax = 1024;
constexpr size_t kDigestBytesMax = 16 * 1024;
constexpr size_t kDigestLineBytesMax = 400;
constexpr char kKeyPrefix[] = "letter/";

// One line of a digest.
std::string DigestLine(const Notice& notice) {
  std::string line =
      absl::StrCat(absl::FormatTime(absl::RFC3339_sec, notice.time, absl::UTCTimeZone()), "  ",
                   notice.subject, notice.message.empty() ? "" : ": ", notice.message);
  std::replace_if(line.begin(), line.end(), absl::ascii_iscntrl, ' ');
  return CleanText(line, kDigestLineBytesMax) + "\n";
}

Notice Bounded(Notice notice) {
  notice.subject = CleanText(notice.subject, kSubjectBytesMax);
  notice.message = CleanText(notice.message, kMessageBytesMax);
  notice.error = CleanText(notice.error, kErrorBytesMax);
  return notice;
}

}  // namespace

struct Notifier::Entry {
  std::string id;
  Notice notice;
  int attempts = 0;
  int merged = 0;  // Notices in it, when it is a digest.
  Instant not_before;
  bool collecting = false;  // Waits for room in the window; takes what comes until then.
};

struct Notifier::Line {
  config::Destination destination;
  std::deque<Entry> entries;
  std::deque<Instant> begun;  // When letters of the last window were let in.
  DeliveryId delivery = DeliveryId::kNone;
  std::string delivering;  // Id of the entry.
  TimerId timer = TimerId::kNone;
};

Notifier::Notifier(Parts parts) : parts_(std::move(parts)) {}

Notifier::~Notifier() {
  *alive_ = false;
  for (auto& [name, line] : lines_) {
    parts_.loop.CancelTimer(line->timer);
    parts_.transport.Cancel(line->delivery);
  }
}

void Notifier::Restore(const std::map<std::string, std::string>& kept) {
  for (auto it = kept.lower_bound(kKeyPrefix);
       it != kept.end() && absl::StartsWith(it->first, kKeyPrefix); ++it) {
    responders::LetterRecord record;
    Entry entry;
    entry.id = it->first.substr(sizeof(kKeyPrefix) - 1);
    if (!record.ParseFromString(it->second)) continue;
    entry.notice.kind = static_cast<Notice::Kind>(std::clamp(record.kind(), 0, 2));
    entry.notice.subject = record.subject();
    entry.notice.message = record.message();
    entry.notice.health_set = record.health_set();
    entry.notice.monitor = record.monitor();
    entry.notice.state = record.state();
    entry.notice.error = record.error();
    entry.notice.incident_id = record.incident_id();
    entry.notice.time = absl::FromUnixNanos(record.time_ns());
    entry.attempts = record.attempts();
    entry.merged = record.merged();
    restored_[record.destination()].push_back(std::move(entry));
  }
}

void Notifier::Configure(const AgentDefinition& agent) {
  server_ = agent.server;
  group_ = agent.group;
  settings_ = agent.config.escalation();
  std::map<std::string, std::unique_ptr<Line>> lines;
  for (const config::Destination& destination : agent.config.destination()) {
    const auto old = lines_.find(destination.name());
    std::unique_ptr<Line>& line = lines[destination.name()];
    line = old == lines_.end() ? std::make_unique<Line>() : std::move(old->second);
    line->destination = destination;
    const auto kept = restored_.find(destination.name());
    if (kept == restored_.end()) continue;
    line->entries = std::move(kept->second);
    restored_.erase(kept);
  }
  for (auto& [name, entries] : restored_) {
    lines_[name] = std::make_unique<Line>();
    lines_[name]->destination.set_name(name);
    lines_[name]->entries = std::move(entries);
  }
  restored_.clear();
  for (auto& [name, gone] : lines_) {
    if (gone == nullptr) continue;
    parts_.loop.CancelTimer(gone->timer);
    parts_.transport.Cancel(gone->delivery);
    for (const Entry& entry : gone->entries) {
      GiveUp(*gone, entry, "the destination is no longer configured");
    }
  }
  lines_ = std::move(lines);
  for (const auto& [name, line] : lines_) PumpSoon(name);
}

std::vector<std::string> Notifier::Send(const Notice& notice) {
  const Notice bounded = Bounded(notice);
  std::vector<std::string> names;
  for (auto& [name, line] : lines_) {
    if (!notice.to.empty() &&
        std::find(notice.to.begin(), notice.to.end(), name) == notice.to.end()) {
      continue;
    }
    names.push_back(name);
    Accept(*line, bounded);
    PumpSoon(name);
  }
  return names;
}

size_t Notifier::waiting() const {
  size_t count = 0;
  for (const auto& [name, line] : lines_) count += line->entries.size();
  return count;
}

// Forgets the letters that the window has left behind.
void Notifier::MakeRoom(Line& line) const {
  const Instant now = parts_.loop.Now();
  const absl::Duration window = DurationOf(settings_, "digest_window");
  while (!line.begun.empty() && now - line.begun.front() >= window) line.begun.pop_front();
}

void Notifier::Accept(Line& line, const Notice& notice) {
  MakeRoom(line);
  if (!line.entries.empty() && line.entries.back().collecting) {
    Merge(line.entries.back(), notice);
    Keep(line, line.entries.back());
    return;
  }
  const Instant now = parts_.loop.Now();
  Entry entry;
  entry.id = NewId(parts_.loop.clock().WallNow(), parts_.random);
  entry.notice = notice;
  entry.not_before = now;
  const bool is_room = line.begun.size() < static_cast<size_t>(NumberOf(settings_, "digest_after"));
  entry.collecting = !is_room || line.entries.size() >= kWaitingMax;
  if (!entry.collecting) {
    line.begun.push_back(now);
  } else if (!line.begun.empty()) {
    entry.not_before = line.begun.front() + DurationOf(settings_, "digest_window");
  }
  Keep(line, entry);
  line.entries.push_back(std::move(entry));
}

void Notifier::Merge(Entry& digest, const Notice& notice) {
  if (digest.merged == 0) {
    const Notice first = std::move(digest.notice);
    digest.notice = Notice();
    digest.notice.kind = Notice::Kind::kDigest;
    digest.notice.message = DigestLine(first);
    digest.merged = 1;
  }
  ++digest.merged;
  digest.notice.time = notice.time;
  digest.notice.subject = absl::StrCat(digest.merged, " messages of ", server_);
  if (digest.notice.message.size() < kDigestBytesMax) digest.notice.message += DigestLine(notice);
}

// Whether an earlier letter of the same incident has not arrived yet.
bool Notifier::IsBlocked(const Line& line, size_t index) const {
  const std::string& incident = line.entries[index].notice.incident_id;
  return !incident.empty() &&
         std::any_of(line.entries.begin(), line.entries.begin() + static_cast<ptrdiff_t>(index),
                     [&](const Entry& entry) { return entry.notice.incident_id == incident; });
}

// One destination a turn: a delivery that begins may start a thread, and many destinations at once
// would hold the loop up.
void Notifier::PumpSoon(const std::string& name) {
  due_.push_back(name);
  if (due_.size() == 1) PostPump();
}

void Notifier::PostPump() {
  parts_.loop.Post([this, alive = alive_] {
    if (!*alive) return;
    const auto line = lines_.find(due_.front());
    due_.pop_front();
    if (!due_.empty()) PostPump();
    if (line != lines_.end()) Pump(*line->second);
  });
}

void Notifier::Pump(Line& line) {
  if (line.delivery != DeliveryId::kNone) return;
  parts_.loop.CancelTimer(std::exchange(line.timer, TimerId::kNone));
  const Instant now = parts_.loop.Now();
  Instant next = Instant::InfiniteFuture();
  for (size_t i = 0; i < line.entries.size(); ++i) {
    Entry& entry = line.entries[i];
    if (IsBlocked(line, i)) continue;
    if (entry.not_before <= now) return Begin(line, entry);
    next = std::min(next, entry.not_before);
  }
  if (next == Instant::InfiniteFuture()) return;
  line.timer = parts_.loop.CallAt(next, [this, &line] {
    line.timer = TimerId::kNone;
    PumpSoon(line.destination.name());
  });
}

void Notifier::Begin(Line& line, Entry& entry) {
  if (std::exchange(entry.collecting, false)) {
    MakeRoom(line);
    line.begun.push_back(parts_.loop.Now());
  }
  ++entry.attempts;
  Letter letter{entry.id, entry.notice};
  letter.notice.server = server_;
  letter.notice.group = group_;
  if (entry.merged > 0) {
    const std::string& lines = entry.notice.message;
    const auto told = std::count(lines.begin(), lines.end(), '\n');
    if (told < entry.merged)
      absl::StrAppend(&letter.notice.message, "and ", entry.merged - told, " more\n");
  }
  line.delivering = entry.id;
  line.delivery = parts_.transport.Start(
      line.destination, letter, parts_.loop.Now() + DurationOf(settings_, "timeout"),
      [this, &line, id = entry.id](absl::StatusOr<std::string> answer) {
        OnEnd(line, id, std::move(answer));
      });
}

void Notifier::OnEnd(Line& line, const std::string& id, absl::StatusOr<std::string> answer) {
  line.delivery = DeliveryId::kNone;
  const auto entry = std::find_if(line.entries.begin(), line.entries.end(),
                                  [&](const Entry& e) { return e.id == id; });
  const int attempts_max = static_cast<int>(NumberOf(settings_, "attempts_max"));
  if (answer.ok()) {
    Tell(5, line, *entry, *std::move(answer));
    Forget(*entry);
    line.entries.erase(entry);
  } else if (entry->attempts >= attempts_max) {
    GiveUp(line, *entry, std::string(answer.status().message()));
    line.entries.erase(entry);
  } else {
    absl::Duration wait = DurationOf(settings_, "retry_after");
    for (int i = 1; i < entry->attempts && wait < kRetryMax; ++i) wait *= 2;
    wait = std::min(wait, kRetryMax);
    entry->not_before = parts_.loop.Now() + wait;
    Tell(6, line, *entry,
         absl::StrCat(answer.status().message(), "; tried again in ", absl::FormatDuration(wait)));
    Keep(line, *entry);
  }
  Pump(line);
}

void Notifier::GiveUp(const Line& line, const Entry& entry, const std::string& why) {
  Tell(7, line, entry, why);
  LogError(absl::StrCat("'", entry.notice.subject, "' could not be told to ",
                        line.destination.name(), ": ", why));
  Forget(entry);
}

void Notifier::Tell(int event_id, const Line& line, const Entry& entry, std::string message) {
  v1::Event event;
  event.set_channel(v1::Monitoring);
  event.set_event_id(event_id);
  event.set_level(event_id == 5 ? v1::Information : event_id == 6 ? v1::Warning : v1::Error);
  event.set_incident_id(entry.notice.incident_id);
  event.set_health_set(entry.notice.health_set);
  event.set_name(entry.notice.monitor);
  v1::MonitoringEvent& monitoring = *event.mutable_monitoring();
  monitoring.set_health_set(entry.notice.health_set);
  monitoring.set_monitor(entry.notice.monitor);
  monitoring.set_subject(entry.notice.subject);
  monitoring.set_message(std::move(message));
  monitoring.set_destination(line.destination.name());
  monitoring.set_attempt(entry.attempts);
  monitoring.set_merged(entry.merged);
  parts_.events.Append(std::move(event));
}

void Notifier::Keep(const Line& line, const Entry& entry) {
  responders::LetterRecord record;
  record.set_destination(line.destination.name());
  record.set_kind(static_cast<int>(entry.notice.kind));
  record.set_subject(entry.notice.subject);
  record.set_message(entry.notice.message);
  record.set_health_set(entry.notice.health_set);
  record.set_monitor(entry.notice.monitor);
  record.set_state(entry.notice.state);
  record.set_error(entry.notice.error);
  record.set_incident_id(entry.notice.incident_id);
  record.set_time_ns(absl::ToUnixNanos(entry.notice.time));
  record.set_attempts(entry.attempts);
  record.set_merged(entry.merged);
  parts_.keep(kKeyPrefix + entry.id, record.SerializeAsString());
}

void Notifier::Forget(const Entry& entry) { parts_.keep(kKeyPrefix + entry.id, ""); }

}  // namespace salve
