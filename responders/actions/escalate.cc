#include "responders/actions/escalate.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "config/text_template.h"
#include "responders/notice.h"

namespace salve {
namespace {

constexpr char kSubject[] = "{health_set}/{monitor} is {state}";
constexpr size_t kSubjectBytesMax = 1000;

absl::Status CheckText(absl::string_view path, const std::string& text, size_t bytes_max) {
  if (text.size() > bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": has more than ", bytes_max, " bytes"));
  }
  const auto parsed = TextTemplate::Parse(text, NamesOfEscalations());
  if (parsed.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", parsed.status().message()));
}

std::string Render(absl::string_view text, const Notice& notice) {
  const auto parsed = TextTemplate::Parse(text, NamesOfEscalations());
  return parsed->Render([&](absl::string_view name) { return NoticeValue(notice, name); });
}

class EscalateAction final : public Action {
 public:
  EscalateAction(const config::Escalate& config, const ActionEnvironment& environment)
      : config_(config), tell_(environment.tell) {}

  std::string id() const override { return "Escalate"; }
  std::string resource() const override {
    return config_.to().empty() ? "all destinations" : absl::StrJoin(config_.to(), ",");
  }
  bool is_disruptive() const override { return false; }
  bool is_notification() const override { return true; }
  std::string Plan() const override {
    return absl::StrCat("tells the journal and ", config_.to().empty()
                                                      ? "all destinations"
                                                      : absl::StrJoin(config_.to(), ", "));
  }
  void About(Notice incident) override { incident_ = std::move(incident); }

  void Run(Instant, RecordEffect, ActionDone done) override {
    Notice notice = incident_;
    notice.kind = Notice::Kind::kEscalation;
    notice.to.assign(config_.to().begin(), config_.to().end());
    notice.subject = Render(config_.subject().empty() ? kSubject : config_.subject(), incident_);
    // By default what the engine knows: the error and the counts.
    if (!config_.message().empty()) notice.message = Render(config_.message(), incident_);
    if (tell_) tell_(std::move(notice));
    done({ActionResult::Kind::kSucceeded, "", "", Plan()});
  }

 private:
  const config::Escalate config_;
  const std::function<void(Notice)> tell_;
  Notice incident_;
};

}  // namespace

absl::Status CheckEscalate(const config::Escalate& config) {
  RETURN_IF_ERROR(CheckText("escalate.subject", config.subject(), kSubjectBytesMax));
  return CheckText("escalate.message", config.message(), 64 << 10);
}

std::unique_ptr<Action> NewEscalate(const config::Escalate& config,
                                    const ActionEnvironment& environment) {
  return std::make_unique<EscalateAction>(config, environment);
}

}  // namespace salve
