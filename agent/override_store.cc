#include "agent/override_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fault.h"
#include "base/host.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unfinished_files.h"
#include "config/override_xml.h"

namespace salve {
namespace {

constexpr char kShared[] = "the shared overrides";  // As messages name them.
constexpr int kSharedTries = 20;
constexpr absl::Duration kSharedRetry = absl::Milliseconds(100);

// Whether a file is still the one that was read: another inode, size or time is another file.
std::string StampOf(const std::string& path) {
  struct stat s;
  if (stat(path.c_str(), &s) != 0) return absl::StrCat("errno ", errno);
  return absl::StrCat(s.st_dev, "/", s.st_ino, "/", s.st_size, "/", s.st_mtim.tv_sec, ".",
                      s.st_mtim.tv_nsec, "/", s.st_ctim.tv_sec, ".", s.st_ctim.tv_nsec);
}

absl::StatusOr<std::string> ReadOverridesFile(const std::string& path) {
  // One byte over the bound, so that the parser sees it.
  absl::StatusOr<std::string> text = ReadFile(path, kOverridesBytesMax + 1);
  if (!text.ok() && text.status().code() == absl::StatusCode::kNotFound) return std::string();
  return text;
}

// An override of a version ends 365 days after it was made. One that does not say when that was,
// written by hand, was there when its text was last written, if no earlier end is given.
void Date(std::vector<Override>& set, absl::Time written) {
  for (Override& one : set) {
    const bool has_no_date = !one.version.empty() && one.created == absl::InfinitePast();
    if (has_no_date && one.expiration > written + kVersionOverrideLife) one.created = written;
  }
}

// The last change of the file; `now` when it says a later time, or nothing.
absl::Time WrittenAt(const std::string& path, absl::Time now) {
  struct stat s;
  if (stat(path.c_str(), &s) != 0) return now;
  return std::min(now, absl::TimeFromTimespec(s.st_mtim));
}

absl::StatusOr<std::vector<Override>> ParseFile(const std::string& text, const std::string& path,
                                                absl::Time now) {
  ASSIGN_OR_RETURN(std::vector<Override> set, ParseOverrides(text, path));
  Date(set, WrittenAt(path, now));
  return set;
}

// For a start at which the original can't be had. On the worker.
void WriteCopy(const std::string& path, const std::string& text) {
  if (ReadOverridesFile(path).value_or("") == text) return;
  const absl::Status status = WriteFileAtomically(path, text, 0640);
  if (!status.ok()) LogError(absl::StrCat("the copy of the overrides: ", status.message()));
}

absl::Status Faulty(const absl::Status& status) {
  return absl::FailedPreconditionError(
      absl::StrCat("what is there must be repaired first: ", status.message()));
}

// Takes out what ended long ago, and makes the text of the rest.
absl::StatusOr<std::string> TextOf(std::vector<Override>& set, absl::Time now) {
  std::erase_if(set, [now](const Override& one) { return one.End() + kEndedOverrideKept < now; });
  std::string text = OverridesXml(set);
  if (text.size() <= kOverridesBytesMax) return text;
  return absl::FailedPreconditionError(
      absl::StrCat("there are too many overrides: with this one they take ", text.size(),
                   " bytes, and at most ", kOverridesBytesMax, " are allowed"));
}

// A set by key. Views: the set must outlive it.
std::map<std::string, const Override*> ByKey(const std::vector<Override>& set) {
  std::map<std::string, const Override*> by_key;
  for (const Override& one : set) by_key[one.Key()] = &one;
  return by_key;
}

}  // namespace

struct OverrideStore::Kept {
  OverrideScope scope;
  std::string file;  // Empty: shared text.
  std::string copy;
  Set set;
  std::string fault;     // Of what is there now; empty when `set` is it.
  std::string stamp;     // Of the file that `set` or `fault` comes from.
  std::string doubtful;  // The stamp of a file that was missing or faulty at the last look.
  std::optional<std::string> shared;  // The shared text, once it is known.
  std::string seen_text;              // Of shared text: what was seen last,
  absl::Time seen_first;              // and since when.
  bool is_shared = false;

  std::string name() const { return is_shared ? kShared : file; }
};

struct OverrideStore::Seen {
  std::string stamp;
  bool missing = false;
  absl::StatusOr<Set> set;
};

OverrideStore::OverrideStore(EventLoop& loop, Worker& worker, OverrideStoreOptions options,
                             Listener listener)
    : loop_(loop), worker_(worker), options_(std::move(options)), listener_(std::move(listener)) {
  kept_[0] = std::make_unique<Kept>();
  kept_[0]->scope = OverrideScope::kLocal;
  kept_[0]->file = options_.local_file;
  kept_[0]->copy = options_.local_copy;
  kept_[1] = std::make_unique<Kept>();
  kept_[1]->scope = OverrideScope::kGlobal;
  kept_[1]->file = options_.global_file;
  kept_[1]->copy = options_.global_copy;
  kept_[1]->is_shared = options_.shared != nullptr;
}

OverrideStore::~OverrideStore() {
  *alive_ = false;
  loop_.CancelTimer(tick_);
}

void OverrideStore::Load() {
  for (const auto& kept : kept_) {
    if (kept->scope == OverrideScope::kLocal) RemoveUnfinished(kept->file);
    RemoveUnfinished(kept->copy);
    LoadFile(*kept);
  }
  Number();
  if (options_.shared != nullptr) {
    options_.shared->Watch([this, alive = alive_](const std::string& text) {
      if (*alive) OnSharedText(text);
    });
  }
  tick_ = loop_.CallAfter(kOverrideLookInterval, [this] { Tick(); });
}

void OverrideStore::LoadFile(Kept& kept) {
  absl::Status refused;
  if (!kept.is_shared) {
    kept.stamp = StampOf(kept.file);
    absl::StatusOr<std::string> text = ReadOverridesFile(kept.file);
    absl::StatusOr<Set> set = text.ok() ? ParseFile(*text, kept.file, loop_.clock().WallNow())
                                        : absl::StatusOr<Set>(text.status());
    if (set.ok()) {
      kept.set = *std::move(set);
      KeepCopy(kept, *std::move(text));
      return;
    }
    refused = set.status();
  }
  // What the agent held last holds on.
  const absl::StatusOr<std::string> copy = ReadOverridesFile(kept.copy);
  const absl::StatusOr<Set> set = copy.ok() ? ParseFile(*copy, kept.copy, loop_.clock().WallNow())
                                            : absl::StatusOr<Set>(copy.status());
  if (set.ok()) {
    kept.set = *set;
    // The copy was written when this text was seen first.
    kept.seen_text = *copy;
    kept.seen_first = WrittenAt(kept.copy, loop_.clock().WallNow());
  } else {
    LogError(absl::StrCat("the copy of the last overrides: ", set.status().message()));
  }
  if (!refused.ok()) Reject(kept, std::string(refused.message()));
}

std::vector<std::string> OverrideStore::faults() const {
  std::vector<std::string> faults;
  for (const auto& kept : kept_) {
    if (!kept->fault.empty()) faults.push_back(kept->fault);
  }
  return faults;
}

// ---------------------------------------------------------------------------------------------
// Watching.

void OverrideStore::Tick() {
  tick_ = loop_.CallAfter(kOverrideLookInterval, [this] { Tick(); });
  const std::vector<bool> before = ended_;
  LookAtTime();
  if (ended_ != before) {
    for (size_t i = 0; i < ended_.size(); ++i) {
      if (!ended_[i] || before[i]) continue;
      Tell(OverrideNews::Kind::kExpired, "", all_[i].scope, all_[i].override);
    }
    listener_.on_change();
  }
  LookAtFiles();
}

void OverrideStore::LookAtFiles() {
  if (std::exchange(looking_, true)) return;  // The worker is slow: one look at a time.
  struct Look {
    Kept* kept;
    std::string file, copy, stamp;
  };
  std::vector<Look> looks;
  for (const auto& kept : kept_) {
    if (!kept->is_shared) looks.push_back({kept.get(), kept->file, kept->copy, kept->stamp});
  }
  worker_.Post([this, alive = alive_, &loop = loop_, now = loop_.clock().WallNow(),
                looks = std::move(looks)] {
    std::vector<std::pair<Kept*, Seen>> changed;
    for (const Look& look : looks) {
      Seen seen{.stamp = StampOf(look.file), .missing = false, .set = Set()};
      if (seen.stamp == look.stamp) continue;
      const absl::StatusOr<std::string> text = ReadOverridesFile(look.file);
      seen.missing = text.ok() && text->empty();
      seen.set = text.ok() ? ParseFile(*text, look.file, now) : absl::StatusOr<Set>(text.status());
      // What is missing may only be so for a moment.
      if (seen.set.ok() && !seen.missing) WriteCopy(look.copy, *text);
      changed.emplace_back(look.kept, std::move(seen));
    }
    loop.Post([this, alive, changed = std::move(changed)]() mutable {
      if (!*alive) return;
      looking_ = false;
      for (auto& [kept, seen] : changed) OnLook(*kept, std::move(seen));
    });
  });
}

void OverrideStore::OnLook(Kept& kept, Seen seen) {
  if ((seen.missing || !seen.set.ok()) && kept.doubtful != seen.stamp) {
    kept.doubtful = seen.stamp;
    return;
  }
  kept.doubtful.clear();
  kept.stamp = seen.stamp;
  if (!seen.set.ok()) return Reject(kept, std::string(seen.set.status().message()));
  kept.fault.clear();
  if (seen.missing) KeepCopy(kept, "");
  TakeUp(kept, *std::move(seen.set), kept.name());
}

void OverrideStore::OnSharedText(const std::string& text) {
  Kept& kept = Of(OverrideScope::kGlobal);
  kept.shared = text;
  absl::StatusOr<Set> set = ParseOverrides(text, kShared);
  if (!set.ok()) return Reject(kept, std::string(set.status().message()));
  if (kept.seen_text != text) {
    kept.seen_text = text;
    kept.seen_first = loop_.clock().WallNow();
  }
  Date(*set, kept.seen_first);
  kept.fault.clear();
  KeepCopy(kept, text);
  TakeUp(kept, *std::move(set), kShared);
}

void OverrideStore::Reject(Kept& kept, const std::string& fault) {
  if (kept.fault == fault) return;  // Said once.
  kept.fault = fault;
  listener_.on_news({.kind = OverrideNews::Kind::kRejectedFile,
                     .who = "",
                     .what = kept.name(),
                     .why = absl::StrCat(fault, "; the overrides before it stay in force"),
                     .health_set = "",
                     .item = ""});
}

void OverrideStore::KeepCopy(const Kept& kept, std::string text) {
  worker_.Post([path = kept.copy, text = std::move(text)] { WriteCopy(path, text); });
}

// ---------------------------------------------------------------------------------------------
// Changing.

absl::Status OverrideStore::CheckScope(OverrideScope scope) const {
  if (scope == OverrideScope::kLocal || options_.shared != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("without a coordinator that servers share, global overrides are in ",
                   options_.global_file, " of each server: distribute that file instead"));
}

void OverrideStore::Add(OverrideScope scope, Override override, AddDone done) {
  auto replaced = std::make_shared<std::optional<Override>>();
  const std::string who = override.created_by;
  Change change = [override = std::move(override), replaced](Set& set) {
    const std::string key = override.Key();
    replaced->reset();
    const auto there =
        std::find_if(set.begin(), set.end(), [&](const Override& one) { return one.Key() == key; });
    if (there != set.end()) {
      *replaced = *there;
      set.erase(there);
    }
    set.push_back(override);
    return absl::OkStatus();
  };
  Write(scope, who, std::move(change),
        [replaced, done = std::move(done)](absl::Status status) mutable {
          if (!status.ok()) return done(status);
          done(*replaced);
        });
}

void OverrideStore::Remove(OverrideScope scope, Override like, std::string who, RemoveDone done) {
  auto removed = std::make_shared<Override>();
  Change change = [like = std::move(like), scope, removed](Set& set) -> absl::Status {
    std::vector<std::string> others;
    std::vector<Override> meant;
    const std::string key = like.Key();
    for (const Override& one : set) {
      if (one.Key() == key) {
        meant = {one};
        break;
      }
      Override same = one;
      same.version.clear();
      if (like.version.empty() && same.Key() == key) meant.push_back(one);
      others.push_back(absl::StrCat("'", one.Text(), "'"));
    }
    if (meant.size() > 1) {
      return absl::InvalidArgumentError("there is one for each of several versions: say which");
    }
    if (meant.empty()) {
      const size_t more = others.size() > 5 ? others.size() - 5 : 0;
      others.resize(others.size() - more);
      return absl::NotFoundError(
          absl::StrCat("there is no such ", OverrideScopeName(scope), " override; there ",
                       others.size() == 1 ? "is " : "are ",
                       others.empty() ? "none" : absl::StrJoin(others, ", "),
                       more > 0 ? absl::StrCat(" and ", more, " more") : ""));
    }
    *removed = meant.front();
    std::erase(set, *removed);
    return absl::OkStatus();
  };
  Write(scope, std::move(who), std::move(change),
        [removed, done = std::move(done)](absl::Status status) mutable {
          if (!status.ok()) return done(status);
          done(*removed);
        });
}

void OverrideStore::Write(OverrideScope scope, std::string who, Change change,
                          absl::AnyInvocable<void(absl::Status)> done) {
  Kept& kept = Of(scope);
  if (kept.is_shared) {
    return WriteShared(kept, std::move(who), std::move(change), std::move(done), kSharedTries);
  }
  if (absl::Status status = CheckScope(scope); !status.ok()) return done(status);
  WriteFile(kept, std::move(who), std::move(change), std::move(done));
}

void OverrideStore::WriteFile(Kept& kept, std::string who, Change change,
                              absl::AnyInvocable<void(absl::Status)> done) {
  worker_.Post([this, alive = alive_, &loop = loop_, &kept, file = kept.file, copy = kept.copy,
                now = loop_.clock().WallNow(), who = std::move(who), change = std::move(change),
                done = std::move(done)]() mutable {
    // What a person wrote since the last look must not be lost, even if it is faulty.
    Seen seen{.stamp = "", .missing = false, .set = Set()};
    const absl::Status status = [&]() -> absl::Status {
      ASSIGN_OR_RETURN(const std::string before, ReadOverridesFile(file));
      absl::StatusOr<Set> set = ParseFile(before, file, now);
      if (!set.ok()) return Faulty(set.status());
      RETURN_IF_ERROR(change(*set));
      ASSIGN_OR_RETURN(const std::string text, TextOf(*set, now));
      FaultPoint("overrides.write.before");
      RETURN_IF_ERROR(WriteFileAtomically(file, text, 0640));
      FaultPoint("overrides.written");
      WriteCopy(copy, text);
      seen.stamp = StampOf(file);
      seen.set = *std::move(set);
      return absl::OkStatus();
    }();
    loop.Post([this, alive, &kept, who, status, done = std::move(done),
               seen = std::move(seen)]() mutable {
      if (!*alive) return;
      if (status.ok()) OnWritten(kept, std::move(seen), who);
      done(status);
    });
  });
}

void OverrideStore::OnWritten(Kept& kept, Seen seen, const std::string& who) {
  kept.stamp = seen.stamp;
  kept.doubtful.clear();
  kept.fault.clear();
  TakeUp(kept, *std::move(seen.set), who);
}

void OverrideStore::WriteShared(Kept& kept, std::string who, Change change,
                                absl::AnyInvocable<void(absl::Status)> done, int tries_left) {
  if (!kept.shared.has_value()) {
    return done(absl::UnavailableError("the group's coordinator has not answered yet"));
  }
  absl::StatusOr<Set> set = ParseOverrides(*kept.shared, kShared);
  if (!set.ok()) return done(Faulty(set.status()));
  Date(*set, kept.seen_first);
  if (absl::Status status = change(*set); !status.ok()) return done(status);
  absl::StatusOr<std::string> text = TextOf(*set, loop_.clock().WallNow());
  if (!text.ok()) return done(text.status());
  options_.shared->Replace(
      *kept.shared, *text,
      [this, alive = alive_, &kept, who = std::move(who), change = std::move(change),
       done = std::move(done), text = *text, set = *set, tries_left](absl::Status status) mutable {
        if (!*alive) return;
        if (status.code() == absl::StatusCode::kAborted && tries_left > 0) {
          // Another server was first: with its text once more, as soon as that is known here.
          loop_.CallAfter(kSharedRetry, [this, alive, &kept, who, change, tries_left,
                                         done = std::move(done)]() mutable {
            if (*alive) WriteShared(kept, who, change, std::move(done), tries_left - 1);
          });
          return;
        }
        if (status.code() == absl::StatusCode::kAborted) {
          status = absl::UnavailableError("other servers change the shared overrides all the time");
        }
        if (status.ok()) {
          kept.shared = text;
          kept.fault.clear();
          KeepCopy(kept, text);
          TakeUp(kept, std::move(set), who);
        }
        done(status);
      });
}

// ---------------------------------------------------------------------------------------------
// What holds.

void OverrideStore::TakeUp(Kept& kept, Set set, const std::string& who) {
  const Set before = std::exchange(kept.set, std::move(set));
  bool changed = false;
  const auto old = ByKey(before);
  const auto now = ByKey(kept.set);
  for (const auto& [key, its] : now) {
    const Override& one = *its;
    const auto same = old.find(key);
    if (same != old.end() && *same->second == one) continue;
    changed = true;
    Tell(OverrideNews::Kind::kAdded, one.created_by.empty() ? who : one.created_by, kept.scope,
         one);
  }
  const absl::Time wall = loop_.clock().WallNow();
  for (const auto& [key, its] : old) {
    const Override& one = *its;
    if (now.contains(key)) continue;
    changed = true;
    if (one.End() > wall) Tell(OverrideNews::Kind::kRemoved, who, kept.scope, one);
  }
  if (!changed) return;
  Number();
  listener_.on_change();
}

void OverrideStore::Number() {
  std::map<std::string, std::optional<Instant>> deadlines;
  for (const End& end : ends_) deadlines[end.id] = end.deadline;
  all_.clear();
  ends_.clear();
  for (const auto& kept : kept_) {
    for (const Override& one : kept->set) {
      all_.push_back({kept->scope, one});
      std::string id = absl::StrCat(OverrideScopeName(kept->scope), "\n", one.Key(), "\n",
                                    absl::ToUnixNanos(one.End()));
      const auto known = deadlines.find(id);
      ends_.push_back(
          {std::move(id), one.End(), known == deadlines.end() ? std::nullopt : known->second});
    }
  }
  LookAtTime();
}

void OverrideStore::LookAtTime() {
  const absl::Time wall = loop_.clock().WallNow();
  const Instant now = loop_.Now();
  ended_.assign(all_.size(), false);
  for (size_t i = 0; i < all_.size(); ++i) {
    End& end = ends_[i];
    if (wall < end.wall && !end.deadline.has_value()) end.deadline = now + (end.wall - wall);
    ended_[i] = wall >= end.wall || now >= *end.deadline;
  }
}

void OverrideStore::Tell(OverrideNews::Kind kind, const std::string& who, OverrideScope scope,
                         const Override& override) {
  listener_.on_news(
      {.kind = kind,
       .who = who,
       .what = absl::StrCat(
           OverrideScopeName(scope), " override of ", override.Text(), ", until ",
           absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", override.End(), absl::UTCTimeZone())),
       .why = override.reason,
       .health_set = override.identity.health_set,
       .item = override.identity.item});
}

}  // namespace salve
