#include "queue/adopt.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fault.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unfinished_files.h"
#include "queue/adoption.h"
#include "queue/database.h"
#include "queue/manifest.h"
#include "queue/replacement.h"
#include "queue/store_builder.h"
#include "queue/swap.h"
#include "queue/transition.h"

namespace salve {
namespace {

// What `queue db prepare` brings about and a stopped agent has left behind.
absl::Status CheckPreparation(const DatabaseSource& target) {
  int64_t waiting = 0;
  int64_t unreachable = 0;
  int64_t poison = 0;
  for (const auto& [number, state] : target.tables.queues) {
    const QueueKind kind = QueueKindOf(state.row.name).value_or(QueueKind::kSubmission);
    if (kind == QueueKind::kDead || kind == QueueKind::kInbox) continue;
    int64_t& count = kind == QueueKind::kPoison        ? poison
                     : kind == QueueKind::kUnreachable ? unreachable
                                                       : waiting;
    count += state.row.messages;
  }
  std::vector<std::string> missing;
  if (!target.tables.settings.contains(kPreparingSetting)) {
    missing.push_back("new work is not stopped: `salvectl queue db prepare --begin`");
  }
  if (waiting > 0) missing.push_back(absl::StrCat(waiting, " messages wait to be delivered"));
  if (unreachable > 0) {
    missing.push_back(
        absl::StrCat(unreachable, " messages are unreachable: resubmit or export them"));
  }
  if (poison > 0) {
    missing.push_back(absl::StrCat(poison, " messages are poison: resume, export or remove them"));
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the preparation of this server is unfinished:\n", absl::StrJoin(missing, "\n")));
}

absl::Status CheckIdentity(const DatabaseSource& pack, const AdoptOptions& options) {
  std::vector<std::string> other;
  if (pack.info.role() != kRole && !options.allow_other_role) {
    other.push_back(absl::StrCat("it is of the role ", pack.info.role(), ", this is ", kRole,
                                 ": --allow-other-role"));
  }
  if (pack.info.group() != options.agent.group && !options.allow_other_group) {
    other.push_back(absl::StrCat("it is of the group '", pack.info.group(), "', this server of '",
                                 options.agent.group, "': --allow-other-group"));
  }
  if (other.empty()) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrJoin(other, "\n"));
}

// The first of so many.
std::string Named(const std::vector<std::string>& mids, int64_t count) {
  return absl::StrCat(absl::StrJoin(mids, ", "),
                      count > static_cast<int64_t>(mids.size()) ? ", …" : "");
}

absl::Status CheckExpiry(const DatabaseSource& pack, const AdoptOptions& options) {
  if (options.extend > kAtOnce) return absl::OkStatus();
  std::vector<std::string> mids;
  int64_t count = 0;
  RETURN_IF_ERROR(ForEachMessage(*pack.db, pack.tables.queues, [&](StoredMessage stored) {
    if (!ExpiresAtOnce(stored, options.now)) return absl::OkStatus();
    if (mids.size() < kNamedMax) mids.push_back(stored.message.mid());
    ++count;
    return absl::OkStatus();
  }));
  if (count == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      count, " messages would expire at once (--extend gives them time): ", Named(mids, count)));
}

absl::Status CheckPack(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::optional<queue::Manifest> manifest, ReadManifest(folder));
  if (!manifest.has_value()) return absl::OkStatus();  // Copied by hand: its mark speaks for it.
  if (!manifest->under_change_by().empty()) {
    return absl::FailedPreconditionError(absl::StrCat(folder, ": `queue db ",
                                                      manifest->under_change_by(),
                                                      "` was not ended there: run it again"));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> faults, ManifestFaults(folder, *manifest));
  return faults.empty() ? absl::OkStatus() : absl::DataLossError(absl::StrJoin(faults, "\n"));
}

absl::Status CheckNotUnderWay(const std::string& file, const std::string& keep_as) {
  if (!FileExists(keep_as) || IsSameFile(file, keep_as)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      keep_as,
      " is there: an earlier adoption waits for its first start; start salved and stop it"));
}

// Whether this very content was adopted last: its crash sets and its older and later copies have
// the signature too, but other commits. What an earlier version wrote has none and matches nothing:
// what is known here is dropped one by one, and none of a copy's messages is lost.
bool WasAdopted(const std::optional<DatabaseSource>& target, const queue::DatabaseInfo& pack) {
  if (!target.has_value()) return false;
  const auto found = target->tables.settings.find(kAdoptedSetting);
  return found != target->tables.settings.end() &&
         absl::StartsWith(found->second, pack.signature() + " ") &&
         absl::EndsWith(found->second, absl::StrCat(" ", pack.commits()));
}

absl::Status CheckTarget(const DatabaseSource& target, const AdoptOptions& options) {
  if (target.info.server() != options.agent.server) {
    return absl::OutOfRangeError(absl::StrCat(target.info.file(), " is of the server ",
                                              target.info.server(), ", this is ",
                                              options.agent.server));
  }
  return CheckPreparation(target);
}

std::string AdoptedFile(const AdoptOptions& options) {
  return absl::StrCat(options.folder, "/", kAdoptedFile);
}

absl::Status CheckAdopter(const AdoptOptions& options, const std::string& by) {
  if (absl::StartsWith(by, options.agent.server + " ")) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      options.folder, " was adopted: by ", absl::StripAsciiWhitespace(by),
      "; a second one would send all of it again. --allow-adopted, if that one does not"));
}

absl::Status CheckNotAdopted(const AdoptOptions& options) {
  const absl::StatusOr<std::string> by = ReadFile(AdoptedFile(options));
  if (absl::IsNotFound(by.status()) || options.allow_adopted) return absl::OkStatus();
  RETURN_IF_ERROR(by.status());
  return CheckAdopter(options, *by);
}

absl::Status MakeMark(const AdoptOptions& options, const std::string& mark) {
  const std::string file = AdoptedFile(options);
  if (options.allow_adopted) return WriteFileAtomically(file, mark, 0640);
  ASSIGN_OR_RETURN(const bool is_made, MakeFileAtomically(file, mark, 0640));
  if (is_made) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string by, ReadFile(file));
  return CheckAdopter(options, by);
}

// For event 40019.
std::string Announcement(const queue::DatabaseInfo& pack, const queue::AdoptReport& report,
                         const std::vector<std::string>& known) {
  std::string text =
      absl::StrCat("the queue of ", pack.server(), " (", pack.signature(),
                   ") was adopted: ", report.messages(), " messages, ", report.host_bound(),
                   " of them host-bound; ", report.known_already(), " were known already");
  if (!known.empty()) absl::StrAppend(&text, ": ", Named(known, report.known_already()));
  return text;
}

absl::Status Build(const AdoptOptions& options, const DatabaseSource& pack,
                   const std::optional<DatabaseSource>& target, const Places& places,
                   queue::AdoptReport& report) {
  ASSIGN_OR_RETURN(
      const std::unique_ptr<StoreBuilder> builder,
      StoreBuilder::Create(places.beside, {options.agent.server, options.agent.group, kRole},
                           options.now));
  ASSIGN_OR_RETURN(const std::vector<std::string> known,
                   MergeQueues(options, pack, target ? &*target : nullptr, *builder, report));
  builder->SetSetting(kAdoptedSetting,
                      absl::StrCat(pack.info.signature(), " ", pack.info.server(), " ",
                                   TimeText(options.now), " ", pack.info.commits()));
  builder->SetSetting(kAnnounceSetting, Announcement(pack.info, report, known));
  report.set_signature(builder->signature());
  if (target.has_value()) report.set_kept_as(places.keep_as);
  return Replace(*builder, places);
}

}  // namespace

absl::Status MarkAdopted(const AdoptOptions& options) {
  const absl::Status marked =
      MakeMark(options, absl::StrCat(options.agent.server, " ", TimeText(options.now), "\n"));
  // Not before: it may be what another server is just making, which now finds this one.
  if (marked.ok()) RemoveUnfinished(AdoptedFile(options));
  if (marked.ok() || options.allow_adopted) return absl::OkStatus();
  if (absl::IsFailedPrecondition(marked)) return marked;  // Another server was quicker.
  return absl::Status(marked.code(), absl::StrCat(marked.message(),
                                                  "; on a disk that can only be read nothing "
                                                  "keeps a second server off: --allow-adopted"));
}

absl::StatusOr<queue::AdoptReport> Adopt(const AdoptOptions& options) {
  const std::string file = StateDatabase(options.state_dir);
  const Places places{file, file + ".adopting", file + ".before-adopt"};
  if (IsSameFile(options.state_dir, options.folder)) {
    return absl::FailedPreconditionError(options.folder + " is this server's own folder");
  }
  ASSIGN_OR_RETURN(const FolderLock lock,
                   FolderLock::Take(options.state_dir, FolderLock::For::kState));
  ASSIGN_OR_RETURN(const FolderLock pack_lock,
                   FolderLock::Take(options.folder, FolderLock::For::kLook));
  RETURN_IF_ERROR(CheckPack(options.folder));
  RETURN_IF_ERROR(RemoveLeftovers(places));
  ASSIGN_OR_RETURN(const DatabaseSource pack,
                   OpenSource(absl::StrCat(options.folder, "/", kQueueDatabase),
                              "`salvectl queue db recover` first"));
  ASSIGN_OR_RETURN(const std::optional<DatabaseSource> target, OpenState(options.state_dir));
  queue::AdoptReport report;
  report.set_from(pack.info.server());
  report.set_former_signature(pack.info.signature());
  if (WasAdopted(target, pack.info)) {
    report.set_signature(target->info.signature());
    report.set_was_adopted(true);
    return report;
  }
  RETURN_IF_ERROR(CheckNotAdopted(options));
  RETURN_IF_ERROR(CheckNotUnderWay(places.file, places.keep_as));
  RETURN_IF_ERROR(CheckIdentity(pack, options));
  if (target.has_value()) RETURN_IF_ERROR(CheckTarget(*target, options));
  RETURN_IF_ERROR(CheckExpiry(pack, options));
  RETURN_IF_ERROR(
      CheckRoom(options.state_dir, 2 * pack.info.bytes() + (target ? target->info.bytes() : 0)));
  // Before it is taken over: killed in between, only this server can go on.
  RETURN_IF_ERROR(MarkAdopted(options));
  FaultPoint("queue.db.adopt.begun");
  const absl::Status adopted = Build(options, pack, target, places, report);
  if (!adopted.ok()) return GiveUp(places, adopted);
  return report;
}

absl::Status FinishAdopt(const std::string& state_dir) {
  const std::string keep_as = StateDatabase(state_dir) + ".before-adopt";
  if (!FileExists(keep_as) && !FileExists(keep_as + ".mark")) return absl::OkStatus();
  RETURN_IF_ERROR(RemoveDatabase(keep_as));
  return SyncFolder(state_dir);
}

}  // namespace salve
