#include "probes/exec_probe.h"

#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "config/names.h"
#include "probes/field_checks.h"
#include "probes/perf_data.h"

namespace salve {
namespace {

constexpr size_t kOutputBytesDefault = 8 * 1024;
constexpr size_t kTextBytesMax = 512;

// What the plugin says of itself: its first line, else the first of its standard error.
std::string PluginText(const CommandResult& result, const PluginOutput& parsed) {
  std::string text = parsed.text;
  if (text.empty()) text = ParsePluginOutput(result.error_output).text;
  if (text.size() > kTextBytesMax) text.resize(kTextBytesMax);
  return text;
}

std::string Describe(absl::string_view what, const std::string& text) {
  return text.empty() ? std::string(what) : absl::StrCat(what, ": ", text);
}

class ExecProbe final : public Probe {
 public:
  ExecProbe(Command command, bool warning_fails, Host& host)
      : command_(std::move(command)), warning_fails_(warning_fails), host_(host) {}

  ~ExecProbe() override {
    *alive_ = false;
    if (running_ != CommandId::kNone) host_.KillCommand(running_);
  }

  void Start(Instant deadline, ObservationDone done) override {
    done_ = std::move(done);
    auto started = host_.RunCommand(command_, deadline,
                                    [this, alive = alive_](absl::StatusOr<CommandResult> result) {
                                      if (!*alive) return;
                                      running_ = CommandId::kNone;
                                      std::exchange(done_, nullptr)(Read(result));
                                    });
    if (started.ok()) {
      running_ = started->id;
    } else {
      std::exchange(done_, nullptr)(Rejected(std::string(started.status().message())));
    }
  }

 private:
  Observation Read(const absl::StatusOr<CommandResult>& result) const {
    if (!result.ok()) return Rejected(std::string(result.status().message()));
    PluginOutput parsed = ParsePluginOutput(result->output);
    Observation observation = Judge(*result, PluginText(*result, parsed));
    observation.values = std::move(parsed.values);
    return observation;
  }

  Observation Judge(const CommandResult& result, const std::string& text) const {
    if (result.timed_out) return TimedOut(Describe("killed at its deadline", text));
    if (result.signal != 0) {
      return Rejected(Describe(absl::StrCat("ended by signal ", result.signal), text));
    }
    const std::string exit = absl::StrCat("exit code ", result.exit_code);
    Observation observation;
    if (result.exit_code == 1 && warning_fails_) {
      observation = Failed(Describe(exit, text));
    } else if (result.exit_code == 2) {
      observation = Failed(Describe(exit, text));
    } else if (result.exit_code < 0 || result.exit_code > 2) {
      observation = Rejected(Describe(exit, text));
    }
    observation.attributes.emplace_back("exit_code", absl::StrCat(result.exit_code));
    if (result.exit_code == 1) observation.attributes.emplace_back("warning", text);
    return observation;
  }

  const Command command_;
  const bool warning_fails_;
  Host& host_;
  ObservationDone done_;
  CommandId running_ = CommandId::kNone;
  // Host still calls back after KillCommand, perhaps when this probe is gone.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

absl::Status CheckExecProbe(const config::ExecProbe& config) {
  if (config.command().empty() || config.command(0).empty()) {
    return BadField("exec.command", "missing");
  }
  for (const std::string& argument : config.command()) {
    if (argument.find('\0') != std::string::npos) {
      return BadField("exec.command", "an argument holds a zero byte");
    }
  }
  for (const std::string& entry : config.environment()) {
    RETURN_IF_ERROR(CheckEnvironment("exec.environment", entry));
  }
  if (!config.user().empty() && !IsValidUserName(config.user())) {
    return BadField("exec.user", absl::StrCat("'", config.user(), "' is no name of a user"));
  }
  if (config.output_bytes_max() == 0) return absl::OkStatus();
  return CheckRange("exec.output_bytes_max", config.output_bytes_max(), 256, 1 << 20);
}

absl::StatusOr<std::unique_ptr<Probe>> NewExecProbe(const config::ExecProbe& config, Host& host) {
  RETURN_IF_ERROR(CheckExecProbe(config));
  Command command;
  command.argv.assign(config.command().begin(), config.command().end());
  command.environment.assign(config.environment().begin(), config.environment().end());
  command.user = config.user();
  command.output_bytes_max =
      config.output_bytes_max() == 0 ? kOutputBytesDefault : config.output_bytes_max();
  return std::make_unique<ExecProbe>(std::move(command), config.warning_fails(), host);
}

}  // namespace salve
