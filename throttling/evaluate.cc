#include "throttling/evaluate.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "config/override_apply.h"
#include "config/override_xml.h"
#include "google/protobuf/util/json_util.h"
#include "throttling/attempt.h"
#include "throttling/evaluate.pb.h"
#include "throttling/limit_overrides.h"
#include "throttling/limits.h"
#include "throttling/local_throttle.h"

namespace salve {
namespace {

namespace json = google::protobuf::util;

constexpr size_t kLineBytesMax = 64 << 20;
constexpr absl::Duration kDefaultTimeout = absl::Minutes(2);
// The line of the what-if tool is the wall clock.
constexpr absl::Time kOrigin = absl::UnixEpoch();

absl::StatusOr<absl::Time> ParseQueryTime(absl::string_view name, const std::string& text) {
  absl::Time time;
  std::string error;
  if (text.empty()) return absl::InvalidArgumentError(absl::StrCat("'", name, "' is missing"));
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error) || time == absl::InfiniteFuture() ||
      time == absl::InfinitePast()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", name, "' is '", text, "', which is no time such as 2015-02-10T22:40:00.1234567Z"));
  }
  return time;
}

absl::StatusOr<AttemptResult> ParseResult(const std::string& text) {
  if (text.empty()) return AttemptResult::kSucceeded;
  for (const AttemptResult result : {AttemptResult::kSucceeded, AttemptResult::kFailed,
                                     AttemptResult::kTimedOut, AttemptResult::kCrashed}) {
    if (absl::EqualsIgnoreCase(text, AttemptResultName(result))) return result;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'result' is '", text, "'; it must be Succeeded, Failed, TimedOut or Crashed"));
}

absl::StatusOr<Attempt> ParseAttempt(const throttling::EvaluateAttempt& entry) {
  Attempt attempt;
  ASSIGN_OR_RETURN(attempt.action, ParseAction(entry.action()));
  if (entry.resource().empty()) return absl::InvalidArgumentError("'resource' is missing");
  attempt.resource = entry.resource();
  attempt.requester = entry.requester();
  ASSIGN_OR_RETURN(attempt.start_wall, ParseQueryTime("start", entry.start()));
  attempt.timeout = kDefaultTimeout;
  if (!entry.deadline().empty()) {
    ASSIGN_OR_RETURN(const absl::Time deadline, ParseQueryTime("deadline", entry.deadline()));
    attempt.timeout = deadline - attempt.start_wall;
  }
  if (!entry.end().empty()) {
    attempt.state = AttemptState::kFinished;
    ASSIGN_OR_RETURN(attempt.end_wall, ParseQueryTime("end", entry.end()));
  }
  ASSIGN_OR_RETURN(attempt.result, ParseResult(entry.result()));
  return attempt;
}

absl::Status FromJson(absl::string_view line, google::protobuf::Message& message) {
  const auto status = json::JsonStringToMessage(std::string(line), &message);
  if (status.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrReplaceAll(
      absl::string_view(status.message().data(), status.message().size()), {{"\n", " "}}));
}

absl::StatusOr<EvaluateOverrides> ReadOverrides(const EvaluateOptions& options) {
  if (options.overrides_file.empty() != options.responders_file.empty()) {
    return absl::InvalidArgumentError("--overrides and --responders belong together");
  }
  if (options.overrides_file.empty()) return EvaluateOverrides();
  ASSIGN_OR_RETURN(const std::string xml, ReadFile(options.overrides_file, kOverridesBytesMax + 1));
  ASSIGN_OR_RETURN(std::vector<Override> overrides, ParseOverrides(xml, options.overrides_file));
  ASSIGN_OR_RETURN(const std::string responders, ReadFile(options.responders_file, kLineBytesMax));
  absl::StatusOr<EvaluateOverrides> read =
      EvaluateOverrides::Create(std::move(overrides), responders, options.version);
  if (read.ok()) return read;
  return absl::InvalidArgumentError(
      absl::StrCat(options.responders_file, ": ", read.status().message()));
}

// The attempts of the query's key and their history.
struct Past {
  std::deque<Attempt> attempts;  // Their addresses stay.
  KeyHistory history;
};

absl::Status AddAttempts(const throttling::EvaluateQuery& query, RecoveryAction action,
                         Past& past) {
  for (int i = 0; i < query.ledger_size(); ++i) {
    absl::StatusOr<Attempt> attempt = ParseAttempt(query.ledger(i));
    if (!attempt.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("ledger[", i, "]: ", attempt.status().message()));
    }
    if (attempt->action != action || !absl::EqualsIgnoreCase(attempt->resource, query.resource())) {
      continue;
    }
    const Attempt& kept = past.attempts.emplace_back(*std::move(attempt));
    if (kept.state == AttemptState::kFinished) {
      past.history.AddFinished(kept.start_wall - kOrigin, kept.end_wall - kOrigin, &kept);
    } else {
      past.history.AddRunning(kept.start_wall - kOrigin, kept.deadline_wall() - kOrigin, &kept);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<throttling::EvaluateAnswer> Decide(const Policy& policy,
                                                  const EvaluateOverrides& overrides,
                                                  const throttling::EvaluateQuery& query) {
  ASSIGN_OR_RETURN(const absl::Time now, ParseQueryTime("now", query.now()));
  ASSIGN_OR_RETURN(const RecoveryAction action, ParseAction(query.action()));
  if (query.resource().empty()) return absl::InvalidArgumentError("'resource' is missing");
  if (query.requester().empty()) return absl::InvalidArgumentError("'requester' is missing");
  Past past;
  RETURN_IF_ERROR(AddAttempts(query, action, past));

  throttling::EvaluateAnswer answer;
  answer.set_id(query.id());
  std::vector<Check> failed;
  const std::string type =
      query.requester_type().empty() ? ResponderTypeName(action) : query.requester_type();
  static const Policy& no_built_in = *new Policy();
  const RequesterKey key = {action, query.resource(), type, query.requester()};
  const LimitOverrides limits = overrides.Of(key, now);
  const std::optional<EffectiveLimits> effective =
      Resolve(policy, no_built_in, key, {.overrides = &limits});
  if (effective.has_value()) {
    const LocalVerdict verdict = CheckLocal(effective->limits, past.history, now - kOrigin);
    answer.set_identity(effective->identity);
    answer.set_local(LocalResultXml(verdict, kOrigin, /*real_attempt=*/true));
    failed.assign(verdict.failed.begin(), verdict.failed.end());
  } else {
    failed.push_back(Check::kNoThrottlePolicy);
  }
  answer.set_passed(failed.empty());
  for (const Check check : failed) answer.add_checks_failed(std::string(CheckName(check)));
  if (!failed.empty()) {
    answer.set_message(RefusalMessage(action, query.resource(), query.requester(), failed));
  }
  return answer;
}

// Reads a line without its break. Returns false at the end. A line that is too long comes back
// cut, one byte over the bound.
bool ReadLine(std::istream& in, std::string& line) {
  line.clear();
  std::streambuf* buffer = in.rdbuf();
  int c = buffer->sbumpc();
  if (c == EOF) return false;
  for (; c != EOF && c != '\n'; c = buffer->sbumpc()) {
    if (line.size() <= kLineBytesMax) line.push_back(static_cast<char>(c));
  }
  return true;
}

}  // namespace

absl::StatusOr<EvaluateOverrides> EvaluateOverrides::Create(std::vector<Override> overrides,
                                                            absl::string_view responders,
                                                            absl::string_view version) {
  EvaluateOverrides made;
  const std::string here = CanonicalVersion(version).value_or("");
  for (Override& override : overrides) {
    if (override.item_type != ItemType::kResponder) continue;
    if (!override.version.empty() && CanonicalVersion(override.version).value_or("?") != here) {
      continue;
    }
    made.overrides_.push_back(std::move(override));
  }
  // What holds for one target stands last, and so wins.
  std::stable_sort(made.overrides_.begin(), made.overrides_.end(),
                   [](const Override& a, const Override& b) {
                     const bool a_aims = !a.identity.target.empty();
                     const bool b_aims = !b.identity.target.empty();
                     return a_aims != b_aims ? b_aims : a.created < b.created;
                   });
  size_t number = 0;
  for (const absl::string_view line : absl::StrSplit(responders, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    throttling::EvaluateResponder parsed;
    absl::Status status = FromJson(line, parsed);
    if (status.ok() && (parsed.health_set().empty() || parsed.name().empty())) {
      status = absl::InvalidArgumentError("'healthSet' or 'name' is missing");
    }
    if (status.ok() && !parsed.action().empty()) status = ParseAction(parsed.action()).status();
    if (!status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", status.message()));
    }
    made.responders_.push_back(
        {parsed.health_set(), parsed.name(), parsed.type(), parsed.action(), parsed.resource()});
  }
  return made;
}

std::vector<const EvaluateOverrides::Responder*> EvaluateOverrides::RespondersOf(
    const RequesterKey& key) const {
  // As in the agent, the name says who asks: it is unique on a server. Where it is there for
  // several resources, the lines that fit the query count.
  const auto matches = [](const std::string& written, absl::string_view asked) {
    return written.empty() || absl::EqualsIgnoreCase(written, asked);
  };
  std::vector<const Responder*> named, fitting;
  for (const Responder& responder : responders_) {
    if (!absl::EqualsIgnoreCase(responder.name, key.responder_name)) continue;
    named.push_back(&responder);
    if (matches(responder.type, key.responder_type) &&
        matches(responder.action, ActionName(key.action)) &&
        matches(responder.resource, key.resource)) {
      fitting.push_back(&responder);
    }
  }
  return fitting.empty() ? named : fitting;
}

LimitOverrides EvaluateOverrides::Of(const RequesterKey& key, absl::Time now) const {
  LimitOverrides limits;
  const std::vector<const Responder*> responders = RespondersOf(key);
  for (const Override& override : overrides_) {
    if (now >= override.End()) continue;
    for (const Responder* responder : responders) {
      ItemIdentity identity = override.identity;
      // Besides the target of a for_each, the resource may be named.
      if (absl::EqualsIgnoreCase(identity.target, responder->resource)) identity.target.clear();
      if (!MeansItem(identity, responder->health_set, responder->name)) continue;
      AddLimitOverride({OverrideScope::kLocal, override}, limits);
    }
  }
  return limits;
}

absl::StatusOr<std::string> EvaluateQuery(const Policy& policy, const EvaluateOverrides& overrides,
                                          absl::string_view query) {
  throttling::EvaluateQuery parsed;
  RETURN_IF_ERROR(FromJson(query, parsed));
  ASSIGN_OR_RETURN(const throttling::EvaluateAnswer answer, Decide(policy, overrides, parsed));
  json::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string line;
  if (!json::MessageToJsonString(answer, &line, options).ok()) {
    return absl::InvalidArgumentError("the answer is not UTF-8");
  }
  return line;
}

int EvaluateThrottle(const EvaluateOptions& options, std::istream& queries, std::ostream& out,
                     std::ostream& err) {
  const absl::StatusOr<Policy> policy = ReadPolicyFile(options.policy_file);
  if (!policy.ok()) {
    err << std::string(policy.status().message()) << "\n";
    return 2;
  }
  const absl::StatusOr<EvaluateOverrides> overrides = ReadOverrides(options);
  if (!overrides.ok()) {
    err << std::string(overrides.status().message()) << "\n";
    return 2;
  }
  int exit_status = 0;
  size_t number = 0;
  std::string line;
  while (ReadLine(queries, line)) {
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    absl::StatusOr<std::string> answer =
        line.size() > kLineBytesMax
            ? absl::InvalidArgumentError(absl::StrCat("longer than ", kLineBytesMax, " bytes"))
            : EvaluateQuery(*policy, *overrides, line);
    if (answer.ok()) {
      out << *answer << "\n";
    } else {
      err << "line " << number << ": " << std::string(answer.status().message()) << "\n";
      exit_status = 2;
    }
  }
  out.flush();
  return exit_status;
}

}  // namespace salve
