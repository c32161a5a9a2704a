#include "responders/actions/run_command.h"

#include <memory>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace salve {
namespace {

constexpr size_t kOutputBytesMax = 4096;
constexpr size_t kPlanBytesMax = 1024;

// As a shell would read it, so that a person sees where an argument begins.
std::string Quoted(const std::string& argument) {
  const bool is_plain = !argument.empty() && absl::c_all_of(argument, [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("-_./:=@%+,", c);
  });
  return is_plain ? argument : absl::StrCat("'", absl::CHexEscape(argument), "'");
}

std::string OutputOf(const CommandResult& result) {
  std::string text = absl::StrCat(result.output, result.error_output);
  if (text.size() > kOutputBytesMax) text.resize(kOutputBytesMax);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

class CommandAction final : public Action {
 public:
  CommandAction(std::string id, std::string resource, Command command,
                const ActionEnvironment& environment)
      : id_(std::move(id)),
        resource_(std::move(resource)),
        command_(std::move(command)),
        host_(environment.host),
        services_(environment.services) {}
  ~CommandAction() override {
    *alive_ = false;
    host_.KillCommand(running_);
  }

  std::string id() const override { return id_; }
  std::string resource() const override { return resource_; }
  Readiness Check() const override {
    if (services_.IsStopping()) return {Readiness::Kind::kLeave, "the system is stopping"};
    return {};
  }

  std::string Plan() const override {
    const std::string program = absl::StrJoin(
        command_.argv, " ",
        [](std::string* out, const std::string& a) { absl::StrAppend(out, Quoted(a)); });
    return absl::StrCat("runs ", program.substr(0, kPlanBytesMax),
                        program.size() > kPlanBytesMax ? " …" : "");
  }

  void Run(Instant deadline, RecordEffect record, ActionDone done) override {
    done_ = std::move(done);
    // A command that was given up still ends later: that must not end the next run.
    const uint64_t run = ++run_;
    absl::StatusOr<StartedCommand> started = host_.RunCommand(
        command_, deadline, [this, alive = alive_, run](absl::StatusOr<CommandResult> result) {
          if (*alive && run == run_) Ended(std::move(result));
        });
    if (!started.ok()) {
      Finish({ActionResult::Kind::kFailed, "CannotStart", std::string(started.status().message()),
              ""});
      return;
    }
    running_ = started->id;
    process_ = absl::StrCat("pid=", started->process.pid, " start=", started->process.start_ticks);
    // The child waits until its pid is on disk: a crash before that leaves no effect at all.
    record(process_, [this, alive = alive_, id = running_](absl::Status recorded) {
      if (!*alive || running_ != id) return;
      if (recorded.ok()) {
        host_.ReleaseCommand(id);
        return;
      }
      host_.KillCommand(id);
      Finish({ActionResult::Kind::kFailed, "LedgerUnavailable", std::string(recorded.message()),
              "not begun"});
    });
  }

 private:
  void Ended(absl::StatusOr<CommandResult> result) {
    if (!result.ok()) {
      Finish({ActionResult::Kind::kFailed, "CannotRun", std::string(result.status().message()),
              process_});
      return;
    }
    const std::string output = OutputOf(*result);
    const std::string context =
        output.empty() ? process_ : absl::StrCat(process_, " output: ", output);
    if (result->timed_out) {
      Finish({ActionResult::Kind::kTimedOut, "TimedOut",
              "killed at its deadline with its process group", context});
    } else if (result->signal != 0) {
      Finish({ActionResult::Kind::kFailed, "Signal",
              absl::StrCat("ended by signal ", result->signal), context});
    } else if (result->exit_code != 0) {
      Finish({ActionResult::Kind::kFailed, "ExitStatus",
              absl::StrCat("exit status ", result->exit_code), context});
    } else {
      Finish({ActionResult::Kind::kSucceeded, "", "", context});
    }
  }

  void Finish(ActionResult result) {
    running_ = CommandId::kNone;
    ActionDone done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

  const std::string id_;
  const std::string resource_;
  const Command command_;
  Host& host_;
  ServiceManager& services_;
  // The host calls back after this is gone when the group is being killed.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  uint64_t run_ = 0;
  CommandId running_ = CommandId::kNone;
  std::string process_;
  ActionDone done_;
};

}  // namespace

absl::Status CheckRunCommand(const config::RunCommand& config) {
  if (config.command().empty() || config.command(0).empty()) {
    return absl::InvalidArgumentError("run_command.command: the argv is empty");
  }
  return absl::OkStatus();
}

std::unique_ptr<Action> NewRunCommand(const config::RunCommand& config,
                                      const ActionEnvironment& environment) {
  return NewCommandAction("RunCommand",
                          config.resource().empty() ? config.command(0) : config.resource(),
                          {config.command().begin(), config.command().end()},
                          {config.environment().begin(), config.environment().end()}, environment);
}

std::unique_ptr<Action> NewCommandAction(std::string id, std::string resource,
                                         std::vector<std::string> argv,
                                         std::vector<std::string> environment_variables,
                                         const ActionEnvironment& environment) {
  Command command;
  command.argv = std::move(argv);
  command.environment = std::move(environment_variables);
  command.output_bytes_max = kOutputBytesMax;
  command.kill_leftovers = false;  // A restart rightly leaves a daemon behind.
  command.held = true;
  return std::make_unique<CommandAction>(std::move(id), std::move(resource), std::move(command),
                                         environment);
}

}  // namespace salve
