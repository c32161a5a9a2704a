#include "channels/event_writer.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "channels/event_filter.h"
#include "channels/set_aside.h"

namespace salve {
namespace {

constexpr uint64_t kIdBlock = 10'000;
constexpr int kBatchesPerTurnMax = 64;
constexpr absl::Duration kPauseBetweenSteps = absl::Milliseconds(20);
constexpr absl::Duration kDropReportPauseMax = absl::Minutes(10);
// A second damage so soon after the first is the disk's: no file is worth setting aside then.
constexpr absl::Duration kBetweenSetAsides = absl::Minutes(1);

// Event ids of the Agent channel.
constexpr int kEventsDropped = 6;
constexpr int kStoreTrouble = 7;
constexpr int kStateDamaged = 9;

bool HasContent(const std::string& path) {
  struct stat file;
  return stat(path.c_str(), &file) == 0 && file.st_size > 0;
}

// Free bytes for an ordinary user in the file's folder; nothing when that can't be said.
std::optional<uint64_t> FreeBytes(const std::string& path) {
  struct statvfs disk;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (statvfs(folder.empty() ? "." : folder.c_str(), &disk) != 0) return std::nullopt;
  return uint64_t{disk.f_bavail} * disk.f_frsize;
}

std::string Seconds(absl::Duration d) { return absl::StrCat(absl::ToInt64Seconds(d), " s"); }

}  // namespace

EventWriter::EventWriter(EventQueue& queue, EventStoreOptions options)
    : queue_(queue),
      options_(std::move(options)),
      opened_at_(options_.clock->WallNow()),
      retry_pause_(options_.retry_min),
      drop_report_pause_(options_.drop_report_interval) {}

OpenReport EventWriter::Start() {
  OpenReport report;
  const bool was_lost = !HasContent(options_.path) && options_.next_record_id > 1;
  absl::Status status = OpenFile();
  if (status.code() == absl::StatusCode::kDataLoss) {
    report.damaged = true;
    absl::StatusOr<std::string> said = ReplaceDamaged(status);
    if (said.ok()) report.messages.push_back(*said);
    status = said.status();
  } else if (status.ok() && was_lost) {
    report.damaged = true;
    report.messages.push_back(absl::StrCat(options_.path, " was lost: a new one was begun"));
  }
  const uint64_t newest = database_ == nullptr ? 0 : database_->newest_record_id();
  queue_.SkipTo(std::max(options_.next_record_id, newest + 1));
  Reserve(queue_.next_record_id());
  if (!status.ok()) {
    report.messages.push_back(absl::StrCat(options_.path, " can't be used: ", status.message()));
    GiveUp(status);
  }
  thread_ = std::make_unique<ThreadWorker>();
  thread_->Post([this] { Run(); });
  return report;
}

void EventWriter::Join() {
  thread_.reset();  // Waits for it.
  CloseFile();
  // A clean end: nobody has or will have an id from here on.
  if (options_.reserve_record_ids) options_.reserve_record_ids(queue_.next_record_id());
}

void EventWriter::Reconfigure(RetentionTable retention, std::vector<ExportRoute> exports) {
  MutexLock lock(&mu_);
  new_configuration_ = {.retention = std::move(retention), .exports = std::move(exports)};
}

void EventWriter::TakeNewConfiguration() {
  std::optional<Configuration> configuration;
  {
    MutexLock lock(&mu_);
    configuration = std::exchange(new_configuration_, std::nullopt);
  }
  if (!configuration.has_value()) return;
  options_.exports = std::move(configuration->exports);
  options_.retention = std::move(configuration->retention);
  failing_exports_.clear();
  if (upkeep_ == nullptr) return;
  if (absl::Status status = upkeep_->SetRetention(options_.retention); !status.ok()) GiveUp(status);
}

void EventWriter::Run() {
  EventQueue::Call call;
  while (!call.stop) {
    absl::Duration idle = upkeep_has_more_ ? kPauseBetweenSteps : options_.upkeep_interval;
    if (in_trouble_) idle = std::min(idle, retry_pause_);
    call = queue_.AwaitWork(options_.write_delay, idle);
    Turn(call);
  }
}

void EventWriter::Turn(EventQueue::Call call) {
  TakeNewConfiguration();
  Reserve(queue_.next_record_id());
  ReportDrops(call.stop);
  const bool waits_to_retry = in_trouble_ && clock_.Now() < retry_at_ && !call.flush && !call.stop;
  if (!waits_to_retry) WriteWaiting();
  if (call.stop && !in_trouble_) WriteWaiting();  // What the last one reported.
  ExportWaiting();
  if (call.stop) return;
  if (clock_.Now() >= look_at_) {
    look_at_ = clock_.Now() + options_.upkeep_interval;
    LookAround();
    KeepRetention();
  } else if (upkeep_has_more_) {
    KeepRetention();
  }
}

void EventWriter::Reserve(uint64_t record_id) {
  if (record_id + kIdBlock / 2 < reserved_to_) return;
  reserved_to_ = record_id + kIdBlock;
  if (options_.reserve_record_ids) options_.reserve_record_ids(reserved_to_);
}

// ---- The file ----

absl::Status EventWriter::OpenFile() {
  ASSIGN_OR_RETURN(database_, EventDatabase::Open(options_.path));
  upkeep_ = std::make_unique<EventUpkeep>(*database_);
  absl::Status status = upkeep_->SetRetention(options_.retention);
  if (!status.ok()) {
    CloseFile();
    return status;
  }
  queue_.SkipTo(database_->newest_record_id() + 1);
  generation_.store(++files_opened_);
  return absl::OkStatus();
}

void EventWriter::CloseFile() {
  generation_.store(0);
  upkeep_.reset();
  database_.reset();
}

absl::StatusOr<std::string> EventWriter::ReplaceDamaged(const absl::Status& damage) {
  CloseFile();
  const Instant now = clock_.Now();
  if (set_aside_at_.has_value() && now - *set_aside_at_ < kBetweenSetAsides) {
    return absl::UnavailableError(absl::StrCat("damaged again: ", damage.message()));
  }
  ASSIGN_OR_RETURN(const std::string aside, SetAside(options_.path, WallNow()));
  set_aside_at_ = now;
  RETURN_IF_ERROR(OpenFile());
  return absl::StrCat(options_.path, " was damaged (", damage.message(), "): set aside as ", aside,
                      ", a new one was begun");
}

absl::Status EventWriter::MendDamage(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kDataLoss) return status;
  ASSIGN_OR_RETURN(const std::string said, ReplaceDamaged(status));
  Report(kStateDamaged, v1::Error, said);
  return absl::OkStatus();
}

void EventWriter::LookAround() {
  LookAtDisk();
  if (database_ == nullptr || !database_->moved()) return;
  // SQLite would go on writing to a file that nobody will ever read.
  CloseFile();
  Report(kStateDamaged, v1::Error,
         absl::StrCat(options_.path, " was removed while in use: a new one is begun"));
}

void EventWriter::LookAtDisk() {
  const std::optional<uint64_t> free = FreeBytes(options_.path);
  if (!free.has_value()) return;
  // A little more must be free before ProbeResults are taken again than when they were refused.
  const uint64_t reserve = options_.disk_reserve_bytes;
  const uint64_t needed = disk_is_low_ ? reserve + reserve / 4 : reserve;
  const bool is_low = *free < needed;
  if (is_low == disk_is_low_) return;
  disk_is_low_ = is_low;
  queue_.AcceptProbeResults(!is_low);
  Report(kStoreTrouble, is_low ? v1::Warning : v1::Information,
         absl::StrCat(options_.path, ": the disk has ", *free >> 20, " MiB free: ProbeResults are ",
                      is_low ? "not stored until there is more" : "stored again"));
}

absl::Status EventWriter::StepRetention() {
  upkeep_has_more_ = false;
  ASSIGN_OR_RETURN(upkeep_has_more_, upkeep_->Step(WallNow()));
  return absl::OkStatus();
}

void EventWriter::KeepRetention() {
  if (database_ == nullptr || in_trouble_) return;
  absl::Status status = MendDamage(StepRetention());
  if (!status.ok()) GiveUp(status);
}

// ---- Events ----

void EventWriter::WriteWaiting() {
  absl::Status status;
  if (database_ == nullptr) {
    status = MendDamage(OpenFile());
  } else if (damaged_generation_.exchange(0) == files_opened_) {
    status = MendDamage(absl::DataLossError("a question met damage"));
  }
  if (status.ok()) status = WriteBatches();
  if (status.code() == absl::StatusCode::kDataLoss) {
    queue_.PutBack();
    status = MendDamage(status);
    if (status.ok()) status = WriteBatches();
  }
  if (!status.ok()) {
    GiveUp(status);
  } else if (in_trouble_) {
    Recover();
  }
}

absl::Status EventWriter::WriteBatches() {
  for (int i = 0; i < kBatchesPerTurnMax; ++i) {
    const EventBatch batch = queue_.Take();
    if (!batch.events->empty()) Reserve(batch.events->back().event->record_id());
    // In trouble also an empty batch is written: it shows whether the disk works again.
    RETURN_IF_ERROR(database_->Write(*batch.events, batch.synced || in_trouble_));
    queue_.Written();
    for (const QueuedEvent& queued : *batch.events) {
      if (!queued.exported) Export(*queued.event);
    }
    // At this pace also the busiest channel is kept within its bytes.
    if (upkeep_->over_bytes()) RETURN_IF_ERROR(StepRetention());
    if (batch.events->size() < options_.queue.batch_events_max) break;
  }
  return absl::OkStatus();
}

void EventWriter::GiveUp(const absl::Status& why) {
  queue_.GiveUp(why);
  if (!in_trouble_) {
    in_trouble_ = true;
    trouble_since_ = clock_.Now();
    retry_pause_ = options_.retry_min;
    Report(kStoreTrouble, v1::Error,
           absl::StrCat(options_.path, " can't be written: ", why.message(),
                        ": ProbeResults are not stored, other events wait; trying again"));
  } else {
    retry_pause_ = std::min(retry_pause_ * 2, options_.retry_max);
    // A full disk may be emptied; what else fails twice may need the file opened anew.
    if (why.code() != absl::StatusCode::kResourceExhausted) CloseFile();
  }
  retry_at_ = clock_.Now() + retry_pause_;
}

void EventWriter::Recover() {
  in_trouble_ = false;
  Report(kStoreTrouble, v1::Information,
         absl::StrCat(options_.path, " is written again after ",
                      Seconds(clock_.Now() - trouble_since_)));
  ReportDrops(/*at_once=*/true);
}

void EventWriter::ExportWaiting() {
  std::vector<SharedEvent> events = queue_.TakeSpilled();
  if (in_trouble_) {
    const std::vector<SharedEvent> waiting = queue_.TakeUnexported();
    events.insert(events.end(), waiting.begin(), waiting.end());
  }
  for (const SharedEvent& event : events) {
    Reserve(event->record_id());
    Export(*event);
    CopyToRefuge(*event);
  }
}

void EventWriter::Export(const v1::Event& event) {
  for (const ExportRoute& route : options_.exports) {
    if (route.channels.Has(event.channel())) WriteTo(route.target.get(), event);
  }
}

void EventWriter::CopyToRefuge(const v1::Event& event) {
  if (options_.refuge == nullptr) return;
  for (const ExportRoute& route : options_.exports) {
    const bool is_refuge = route.target->name() == options_.refuge->name();
    if (is_refuge && route.channels.Has(event.channel())) return;  // It has it already.
  }
  WriteTo(options_.refuge.get(), event);
}

void EventWriter::WriteTo(EventExport* target, const v1::Event& event) {
  const absl::Status status = target->Write(event);
  const std::string name = target->name();
  // Said once, not reported as an event: that one would be exported, too.
  if (status.ok() == (failing_exports_.count(name) == 0)) return;
  if (status.ok()) {
    failing_exports_.erase(name);
  } else {
    failing_exports_.insert(name);
  }
  if (!options_.say) return;
  options_.say(status.ok()
                   ? absl::StrCat("events go to ", name, " again")
                   : absl::StrCat("events can't be copied to ", name, ": ", status.message()));
}

void EventWriter::ReportDrops(bool at_once) {
  const DropCounts more = queue_.TakeDrops();
  drops_.probe_results += more.probe_results;
  drops_.others += more.others;
  const uint64_t count = drops_.probe_results + drops_.others;
  const Instant now = clock_.Now();
  if (in_trouble_ || (now < report_drops_at_ && !at_once)) return;
  if (count == 0) {
    drop_report_pause_ = options_.drop_report_interval;
    return;
  }
  report_drops_at_ = now + drop_report_pause_;
  drop_report_pause_ = std::min(drop_report_pause_ * 2, kDropReportPauseMax);
  Report(kEventsDropped, v1::Warning,
         absl::StrCat(drops_.probe_results, " ProbeResults and ", drops_.others,
                      " other events were not stored"),
         count);
  drops_ = {};
}

void EventWriter::Report(int event_id, v1::Level level, std::string message, uint64_t count) {
  if (options_.say) options_.say(message);
  v1::Event event;
  event.set_channel(v1::Agent);
  event.set_event_id(event_id);
  event.set_level(level);
  event.set_server(options_.server);
  SetTimestamp(WallNow(), event.mutable_time());
  event.mutable_agent()->set_message(std::move(message));
  event.mutable_agent()->set_count(static_cast<int64_t>(count));
  queue_.Append(std::move(event));
}

absl::Time EventWriter::WallNow() const { return std::max(opened_at_, queue_.newest_time()); }

}  // namespace salve
