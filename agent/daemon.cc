#include "agent/daemon.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/api_server.h"
#include "agent/components.h"
#include "agent/condition_watch.h"
#include "agent/configuration.h"
#include "agent/durable_queue.h"
#include "agent/engine.h"
#include "agent/exec_users.h"
#include "agent/group.h"
#include "agent/overrides.h"
#include "agent/pause_files.h"
#include "agent/queue_notifier.h"
#include "agent/ready_server.h"
#include "agent/remote_access.h"
#include "agent/set_execution.h"
#include "agent/state_store.h"
#include "base/blocking_calls.h"
#include "base/log.h"
#include "base/real_host.h"
#include "base/sd_bus_service_manager.h"
#include "base/status_macros.h"
#include "base/user_table.h"
#include "base/uv_loop.h"
#include "base/version.h"
#include "base/worker.h"
#include "channels/event_query.h"
#include "channels/event_store.h"
#include "channels/export_journal.h"
#include "channels/export_jsonl.h"
#include "config/errors.h"
#include "config/listen_address.h"
#include "probes/http_client.h"
#include "probes/registry.h"
#include "probes/resolver.h"
#include "responders/escalation/curl_transport.h"
#include "throttling/gate.h"
#include "throttling/ledger.h"

namespace salve {
namespace {

constexpr char kRecordIdKey[] = "next_record_id";
constexpr char kMachineIdKey[] = "machine_id";
constexpr int kObservesOnly = 19;  // An event of the Agent channel.
constexpr int kRefusedConfiguration = 2;
constexpr int kUnusableState = 3;
constexpr int kSetNotDone = 1;  // Of a run on a crash set.
constexpr absl::Duration kSetWarmUp = absl::Seconds(1);
constexpr absl::Duration kEventsTime = absl::Seconds(1);  // For a sync of the events.
constexpr absl::Duration kSetGroupTime = absl::Seconds(10);

// Few arenas: the agent has many threads that allocate little.
void PrepareProcess() {
  mallopt(M_ARENA_MAX, 2);
  signal(SIGPIPE, SIG_IGN);
  // gRPC's fork handlers are for processes that use gRPC after fork; ours exec at once.
  setenv("GRPC_ENABLE_FORK_SUPPORT", "0", 1);
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
}

absl::Status MakeFolder(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (mkdir(part.c_str(), mode) != 0 && errno != EEXIST) return ErrnoStatus(errno, part);
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

// One agent a state folder. The descriptor is kept until the process ends.
absl::Status LockFolder(const std::string& dir) {
  const std::string path = dir + "/salved.lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, path);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  close(fd);
  return absl::AlreadyExistsError(
      absl::StrCat(path, " is locked: another salved uses this state folder"));
}

v1::Channel ChannelOfName(const std::string& name) {
  v1::Channel channel = v1::CHANNEL_UNSPECIFIED;
  v1::Channel_Parse(name, &channel);
  return channel;
}

ChannelSet ChannelsOf(const google::protobuf::RepeatedPtrField<std::string>& names) {
  ChannelSet set = names.empty() ? ChannelSet::All() : ChannelSet::None();
  for (const std::string& name : names) {
    set = name == "*" ? ChannelSet::All() : set.With(ChannelOfName(name));
  }
  return set;
}

std::vector<ExportRoute> ExportsOf(const config::Channels& config) {
  std::vector<ExportRoute> exports;
  if (config.has_journal()) {
    exports.push_back({NewJournalExport(), ChannelsOf(config.journal().channel())});
  }
  if (config.has_jsonl()) {
    JsonlExportOptions options;
    options.path = config.jsonl().path();
    if (config.jsonl().bytes_max() != 0) options.bytes_max = config.jsonl().bytes_max();
    if (config.jsonl().files_max() != 0) options.files_max = config.jsonl().files_max();
    exports.push_back({NewJsonlExport(options), ChannelsOf(config.jsonl().channel())});
  }
  return exports;
}

RetentionTable RetentionOf(const config::Channels& config) {
  RetentionTable table = DefaultRetention();
  for (const config::Retention& retention : config.retention()) {
    ChannelRetention& entry = table[ChannelOfName(retention.channel())];
    if (!retention.age().empty()) absl::ParseDuration(retention.age(), &entry.age);
    if (retention.bytes() != 0) entry.bytes = retention.bytes();
  }
  return table;
}

// Looks up the users of exec probes. Blocks.
void LearnUsers(Configuration& configuration, UserTable& users) {
  if (geteuid() == 0) UseExecUser(configuration);
  users.Learn(ExecUsers(configuration));
}

absl::StatusOr<CheckedConfiguration> ReadWithUsers(const std::string& dir, UserTable& users) {
  absl::StatusOr<CheckedConfiguration> checked = ReadConfiguration(dir);
  if (checked.ok()) LearnUsers(checked->configuration, users);
  return checked;
}

absl::StatusOr<Configuration> ReadAgainWithUsers(ConfigurationSource source,
                                                 const FoundPaths& found, UserTable& users) {
  absl::StatusOr<Configuration> again = ReadAgain(std::move(source), found);
  if (again.ok()) LearnUsers(*again, users);
  return again;
}

// What the agent says while the folder has no configuration.
std::string HowToArm(const std::string& dir) {
  return absl::StrCat(
      "there is no configuration in ", dir,
      ": the health sets that ship run and only observe, nothing is healed; arm them "
      "with 'salvectl healthset enable NAME' (docs/HEALTHSETS.md)");
}

// Paths that a glob found and no target came of.
std::vector<std::string> SkippedPathWarnings(const Configuration& configuration) {
  constexpr size_t kWarningsMax = 10;
  std::vector<std::string> warnings;
  for (const HealthSetDefinition& set : configuration.health_sets) {
    for (const std::string& path : set.skipped_paths) {
      if (warnings.size() == kWarningsMax) return warnings;
      warnings.push_back(absl::StrCat("health set ", set.name, ": ", Quoted(path),
                                      " gives no target: it is not watched"));
    }
  }
  return warnings;
}

class Daemon {
 public:
  explicit Daemon(DaemonOptions options)
      : options_(std::move(options)),
        started_wall_(loop_.clock().WallNow()),
        started_(loop_.Now()),
        host_(std::make_unique<RealHost>(loop_)) {}

  int Run() {
    absl::StatusOr<CheckedConfiguration> checked =
        ReadWithUsers(options_.config_dir, host_->users());
    if (!checked.ok()) {
      LogError("the configuration is refused:");
      for (absl::string_view line : absl::StrSplit(checked.status().message(), '\n')) {
        LogError(line);
      }
      return kRefusedConfiguration;
    }
    const bool recovers = options_.recover_set.has_value();
    if (!recovers) {
      // A stop that comes while it starts is heard when it has: ended at once it would be a crash.
      loop_.OnSignal(SIGTERM, [this] { Stop("SIGTERM"); });
      loop_.OnSignal(SIGINT, [this] { Stop("SIGINT"); });
      // A crash set of a large queue takes its time, and so does what a crash has left.
      sd_notify(0, "EXTEND_TIMEOUT_USEC=600000000");
    }
    if (recovers) {
      // Also heard while it starts and waits: then nothing of the set is begun.
      for (const int signal : {SIGTERM, SIGINT}) loop_.OnSignal(signal, [this] { StopSet(); });
    }
    const absl::Status status =
        recovers ? BuildForSet(*std::move(checked)) : Build(*std::move(checked));
    if (!status.ok()) {
      LogError(absl::StrCat("cannot start: ", status.message()));
      // A start that failed is no crash: the next one must not find the queue left dirty.
      remote_.reset();
      servers_.clear();
      if (queue_ != nullptr) queue_->Close();
      if (set_execution_ != nullptr) set_execution_->Close().IgnoreError();
      return kUnusableState;
    }
    if (recovers) return RunSet();
    loop_.OnSignal(SIGHUP, [this] { Reload("SIGHUP", [](absl::Status) {}); });
    sd_notify(0, "READY=1");
    FeedWatchdog();
    LogInfo(absl::StrCat("salved ", kVersion, " watches ", server_, " (",
                         engine_->configuration().health_sets.size(), " health sets)"));
    loop_.Run();
    TearDown();
    return 0;
  }

 private:
  // What both ways to run begin with.
  absl::StatusOr<std::string> BuildBase(CheckedConfiguration& checked) {
    const Configuration& configuration = checked.configuration;
    server_ = configuration.agent.server;
    RETURN_IF_ERROR(MakeFolder(options_.state_dir, 0750));
    RETURN_IF_ERROR(LockFolder(options_.state_dir));
    ASSIGN_OR_RETURN(std::string boot_id, ReadFile("/proc/sys/kernel/random/boot_id"));
    boot_id = std::string(absl::StripAsciiWhitespace(boot_id));

    host_->SetCommandsMax(configuration.agent.max_children);
    services_ = std::make_unique<SdBusServiceManager>(loop_);
    resolver_ = std::make_unique<Resolver>(loop_);
    http_ = std::make_unique<HttpClient>(loop_, *resolver_);
    blocking_ = std::make_unique<BlockingCalls>(loop_);
    worker_ = std::make_unique<ThreadWorker>();
    state_worker_ = std::make_unique<ThreadWorker>();
    ASSIGN_OR_RETURN(state_, StateStore::Open(options_.state_dir + "/state.db", *state_worker_));

    const std::string events_path = options_.state_dir + "/events.db";
    LedgerOptions ledger;
    ledger.path = options_.state_dir + "/ledger.db";
    ledger.boot_id = boot_id;
    ledger.server = server_;
    ledger.events_db_exists = access(events_path.c_str(), F_OK) == 0;
    ledger.accept_loss = options_.accept_ledger_loss;
    ASSIGN_OR_RETURN(ledger_, Ledger::Open(ledger, loop_, *worker_));
    RETURN_IF_ERROR(OpenEvents(events_path, configuration.agent.config.channels()));

    RETURN_IF_ERROR(JoinGroup(configuration.agent, boot_id));
    gate_ = std::make_unique<Gate>(
        Gate::Parts{&loop_, ledger_.get(), &group_->coordinator(), events_.get()});
    gate_->SetPolicy(std::move(checked.policy));
    BuildComponents();
    BuildTransport();
    return boot_id;
  }

  absl::Status Build(CheckedConfiguration checked) {
    const Configuration& configuration = checked.configuration;
    ASSIGN_OR_RETURN(const std::string boot_id, BuildBase(checked));
    BuildQueue(configuration.agent, boot_id);
    BuildEngine(boot_id);
    Announce();
    LoadOverrides();
    LoadPauseFiles();
    engine_->Reconcile(queue_->held_attempts());
    queue_->SetEngine(engine_.get());
    queue_->Configure(configuration.agent);
    notifier_->Configure(configuration.agent);
    notifier_->Restore(state_->entries());
    components_->Configure(configuration.agent.config.component());
    RETURN_IF_ERROR(engine_->Apply(std::move(checked.configuration)));
    WarnOfUsers();
    conditions_ = std::make_unique<ConditionWatch>(
        loop_, reloader_,
        ConditionWatch::Listener{
            .on_change = [this](FoundPaths found) { FollowConditions(std::move(found)); },
            .on_trouble = [this](const absl::Status& why) { SayConditionsUnknown(why); }});
    FollowPaths(std::move(checked.patterns), std::move(checked.found), checked.is_default);
    ready_->Configure(ReadyAddress());
    return Serve();
  }

  // `salved --recover-set`: nobody is served, and nothing acts but by the set.
  absl::Status BuildForSet(CheckedConfiguration checked) {
    ASSIGN_OR_RETURN(const std::string boot_id, BuildBase(checked));
    SetExecution::Parts parts{.loop = loop_,
                              .events = *events_,
                              .ledger = *ledger_,
                              .gate = *gate_,
                              .resolver = *resolver_,
                              .transport = *transport_,
                              .state_dir = options_.state_dir,
                              .boot_id = boot_id};
    ASSIGN_OR_RETURN(set_execution_, SetExecution::Open(std::move(parts), *options_.recover_set,
                                                        checked.configuration.agent));
    BuildEngine(boot_id);
    LoadOverrides();
    LoadPauseFiles();
    // What is in progress is the set's, or stays for the agent.
    std::set<std::string> held;
    for (const Attempt* attempt : ledger_->Unfinished()) held.insert(attempt->id);
    engine_->Reconcile(held);
    return engine_->Apply(std::move(checked.configuration));
  }

  int RunSet() {
    // systemd and the group have to answer first: an action knows its unit by then.
    loop_.CallAfter(kSetWarmUp,
                    [this] { AwaitGroup(loop_.Now() + kSetGroupTime, [this] { StartSet(); }); });
    loop_.Run();
    TearDown();
    return set_status_;
  }

  void StartSet() {
    if (std::exchange(set_started_, true)) return;
    set_execution_->Start(*engine_, [this](absl::StatusOr<bool> done) {
      if (!done.ok()) LogError(done.status().message());
      if (done.ok()) set_status_ = *done ? 0 : kSetNotDone;
      group_->coordinator().Leave([this] { loop_.Stop(); });
    });
  }

  void StopSet() {
    set_execution_->Stop();
    StartSet();
  }

  void AwaitGroup(Instant deadline, std::function<void()> then) {
    if (group_->coordinator().Health().ok() || loop_.Now() >= deadline) return then();
    loop_.CallAfter(absl::Milliseconds(100),
                    [this, deadline, then = std::move(then)] { AwaitGroup(deadline, then); });
  }

  absl::Status JoinGroup(const AgentDefinition& agent, const std::string& boot_id) {
    GroupParts parts{.loop = loop_,
                     .http = *http_,
                     .ledger = *ledger_,
                     .random = random_,
                     .machine_id = MachineId(),
                     .boot_id = boot_id,
                     .agent_version = kVersion,
                     .say = [this](const std::string& message, bool is_error) {
                       is_error ? LogError(message) : LogInfo(message);
                       engine_->AppendAgentEvent(7, is_error ? v1::Error : v1::Information,
                                                 message);
                     }};
    ASSIGN_OR_RETURN(group_, Group::Join(agent, std::move(parts)));
    return absl::OkStatus();
  }

  // The system's; where it has none, one of our own that stays.
  std::string MachineId() {
    absl::StatusOr<std::string> system = ReadFile("/etc/machine-id");
    if (system.ok() && !absl::StripAsciiWhitespace(*system).empty()) {
      return std::string(absl::StripAsciiWhitespace(*system));
    }
    std::string own = state_->Get(kMachineIdKey);
    if (own.empty()) {
      own = NewId(loop_.clock().WallNow(), random_);
      const absl::Status status = state_->PutNow(kMachineIdKey, own);
      if (!status.ok()) LogError(absl::StrCat("machine id: ", status.message()));
    }
    return own;
  }

  absl::Status OpenEvents(const std::string& path, const config::Channels& channels) {
    EventStoreOptions options;
    options.path = path;
    options.server = server_;
    options.clock = &loop_.clock();
    options.retention = RetentionOf(channels);
    if (!absl::SimpleAtoi(state_->Get(kRecordIdKey), &options.next_record_id)) {
      options.next_record_id = 1;
    }
    options.reserve_record_ids = [this](uint64_t high_water) {
      const absl::Status status = state_->PutNow(kRecordIdKey, absl::StrCat(high_water));
      if (!status.ok()) LogError(absl::StrCat("record ids: ", status.message()));
    };
    options.exports = ExportsOf(channels);
    options.refuge = NewJournalExport();
    options.say = [](absl::string_view line) { LogWarning(line); };
    ASSIGN_OR_RETURN(events_, EventStore::Open(std::move(options)));
    reader_ = std::make_unique<EventReader>(*events_);
    return absl::OkStatus();
  }

  void BuildTransport() {
    const char* credentials = getenv("CREDENTIALS_DIRECTORY");
    transport_ = std::make_unique<CurlTransport>(CurlTransport::Parts{
        .loop = loop_,
        .resolver = *resolver_,
        .http = *http_,
        .credentials_dir = credentials == nullptr ? "" : credentials,
        .new_worker = [] { return std::make_unique<ThreadWorker>(); },
    });
  }

  // The queue first: what it finds of a crash is kept before anything else is written.
  void BuildQueue(const AgentDefinition& agent, const std::string& boot_id) {
    queue_ = std::make_unique<DurableQueue>(DurableQueue::Parts{
        .loop = loop_,
        .events = *events_,
        .ledger = *ledger_,
        .resolver = *resolver_,
        .transport = *transport_,
        .acceptors = group_->acceptors(),
        .state_dir = options_.state_dir,
        .boot_id = boot_id,
        .agent_version = kVersion,
        .new_worker = [] { return std::make_unique<ThreadWorker>(); },
        .events_on_disk = [this] { return events_->Flush(loop_.Now() + kEventsTime).ok(); },
    });
    queue_->Open(agent);
    notifier_ = std::make_unique<QueueNotifier>(QueueNotifier::Parts{
        .loop = loop_,
        .accept =
            [this](Submission submission, Dispatcher::Accepted done) {
              queue_->Accept(std::move(submission), std::move(done));
            },
        .keep = [this](const std::string& key,
                       std::string bytes) { state_->Put(key, std::move(bytes)); },
        .say =
            [this](bool is_trouble, const std::string& message) {
              is_trouble ? LogError(message) : LogInfo(message);
              engine_->AppendAgentEvent(7, is_trouble ? v1::Error : v1::Information, message);
            },
    });
  }

  void BuildComponents() {
    components_ = std::make_unique<Components>(ComponentsParts{
        loop_, *host_, reloader_, *state_, [this](const ComponentNews& news) {
          news.is_trouble ? LogError(news.message) : LogInfo(news.message);
          engine_->AppendAgentEvent(17, news.is_trouble ? v1::Error : v1::Information, news.message,
                                    0, news.who);
        }});
    ready_ = std::make_unique<ReadyServer>(ReadyServer::Parts{
        loop_, [this] { return components_->List(); },
        [this](const std::string& message, bool is_error) {
          is_error ? LogError(message) : LogInfo(message);
          engine_->AppendAgentEvent(7, is_error ? v1::Error : v1::Information, message);
        }});
  }

  std::optional<ListenAddress> ReadyAddress() const {
    const absl::StatusOr<ListenAddress> address =
        ParseListenAddress(engine_->configuration().agent.config.ready_listen());
    return address.ok() ? std::optional(*address) : std::nullopt;
  }

  void BuildEngine(const std::string& boot_id) {
    const ProbeEnvironment probes{loop_, *host_, *services_, *resolver_, *http_, *blocking_};
    evidence_worker_ = std::make_unique<ThreadWorker>();
    const ActionEnvironment actions{
        .loop = loop_,
        .host = *host_,
        .services = *services_,
        .server = server_,
        .components = components_.get(),
        .state_dir = options_.state_dir,
        .files = evidence_worker_.get(),
        .tell = [this](Notice notice) { engine_->Tell(std::move(notice)); },
    };
    engine_ = std::make_unique<Engine>(EngineParts{
        .loop = loop_,
        .host = *host_,
        .services = *services_,
        .events = *events_,
        .ledger = *ledger_,
        .gate = *gate_,
        .coordinator = group_->coordinator(),
        .group_pause = group_->pause(),
        .state = *state_,
        .components = components_.get(),
        .random = random_,
        .boot_id = boot_id,
        .new_probe = [probes](const config::Probe& config) { return NewProbe(config, probes); },
        .new_action =
            [actions](const config::Responder& config) { return NewAction(config, actions); },
        .version = kVersion,
        .checks = ChecksOfAllKinds(),
        .notifier = notifier_.get(),
        .defer =
            [this](const v1::RunActionRequest& request, const std::string& resource,
                   std::function<void(absl::StatusOr<std::string>)> done) {
              queue_->Defer(request, resource, std::move(done));
            },
        .by_hand_only = options_.recover_set.has_value(),
    });
  }

  void LoadOverrides() {
    OverrideStoreOptions options;
    options.local_file = options_.state_dir + "/overrides.xml";
    options.local_copy = options_.state_dir + "/overrides.last.xml";
    options.global_file = options_.config_dir + "/global-overrides.xml";
    options.shared = group_->overrides();
    options.global_copy = options_.state_dir + "/global-overrides.last.xml";
    overrides_ = std::make_unique<Overrides>(Overrides::Parts{loop_, reloader_, *events_, *engine_},
                                             std::move(options));
    overrides_->Load();
  }

  // Before anything can act.
  void LoadPauseFiles() {
    std::vector<std::string> paths = {absl::StrCat(options_.config_dir, "/", kPauseFileName),
                                      absl::StrCat(options_.state_dir, "/", kPauseFileName)};
    pause_files_ = std::make_unique<PauseFiles>(
        loop_, reloader_, std::move(paths), [this](std::map<std::string, Guard> files) {
          for (const auto& [path, guard] : files) {
            LogWarning(absl::StrCat("actions are paused by the file ", path));
          }
          engine_->SetPauseFiles(std::move(files));
        });
    pause_files_->Load();
  }

  // Says in the channel and the log what a person should know of this start.
  void Announce() {
    engine_->AppendAgentEvent(1, v1::Information, absl::StrCat("salved ", kVersion, " started"));
    // 9: something was lost or damaged; 7: the store can't be written now.
    std::vector<std::pair<int, std::string>> trouble;
    if (!state_->damage().empty()) trouble.emplace_back(9, state_->damage());
    if (!ledger_->LossAccepted().empty()) trouble.emplace_back(9, ledger_->LossAccepted());
    for (const std::string& message : events_->open_report().messages) {
      trouble.emplace_back(events_->open_report().damaged ? 9 : 7, message);
    }
    for (const auto& [event_id, message] : trouble) {
      engine_->AppendAgentEvent(event_id, v1::Error, message);
      LogError(message);
      warnings_.push_back(message);
    }
  }

  // Exec probes that cannot run as their user: their looks are Rejected, which is seen late.
  void WarnOfUsers() {
    UserTable& users = host_->users();
    user_warnings_ = ExecUserWarnings(ExecUsers(engine_->configuration()), geteuid(),
                                      [&](const std::string& name) { return users.Find(name); });
    for (const std::string& warning : user_warnings_) LogWarning(warning);
  }

  absl::Status Serve() {
    std::vector<ApiSocket> sockets;
    if (!options_.socket.empty()) {
      sockets.push_back({.path = options_.socket});
    } else {
      RETURN_IF_ERROR(MakeFolder("/run/salve", 0755));
      sockets.push_back({.path = "/run/salve/admin.sock"});
      sockets.push_back({.path = "/run/salve/salve.sock",
                         .role = Role::kOperator,
                         .mode = 0660,
                         .group = "salve"});
    }
    const ApiParts parts{.loop = loop_,
                         .engine = *engine_,
                         .reader = *reader_,
                         .overrides = *overrides_,
                         .components = *components_,
                         .reload =
                             [this](std::string who, std::function<void(absl::Status)> done) {
                               Reload(std::move(who), std::move(done));
                             },
                         .info = [this](v1::GetInfoResponse& info) { FillInfo(info); },
                         .queue = queue_->dispatcher(),
                         .queue_off = queue_->off()};
    for (const ApiSocket& socket : sockets) {
      ASSIGN_OR_RETURN(auto server, ApiServer::Start(socket, parts));
      servers_.push_back(std::move(server));
    }
    remote_ = std::make_unique<RemoteAccess>(
        parts, [this](int event_id, v1::Level level, std::string message) {
          if (level == v1::Error) {
            LogError(message);
          } else {
            LogInfo(message);
          }
          engine_->AppendAgentEvent(event_id, level, std::move(message));
        });
    remote_->Configure(engine_->configuration().agent.config.remote());
    return absl::OkStatus();
  }

  // Files are read off the loop; a configuration that is refused changes nothing.
  void Reload(std::string user, std::function<void(absl::Status)> done) {
    sd_notify(0, "RELOADING=1");
    reloader_.Post([this, user = std::move(user), done = std::move(done)] {
      auto checked = std::make_shared<absl::StatusOr<CheckedConfiguration>>(
          ReadWithUsers(options_.config_dir, host_->users()));
      loop_.Post([this, user, done, checked] {
        absl::Status status = checked->status();
        if (status.ok() &&
            !IsSameGroup(engine_->configuration().agent, (*checked)->configuration.agent)) {
          status = absl::FailedPreconditionError(
              "server, group and coordinator change only with a restart of the agent");
        }
        // The policy first: Apply tells the limits that hold.
        const Policy old_policy = gate_->policy();
        if (status.ok()) {
          gate_->SetPolicy(std::move((*checked)->policy));
          status = engine_->Apply(std::move((*checked)->configuration));
          if (!status.ok()) gate_->SetPolicy(old_policy);
        }
        if (status.ok()) {
          const config::Channels& channels = engine_->configuration().agent.config.channels();
          events_->Reconfigure(RetentionOf(channels), ExportsOf(channels));
          group_->Configure(engine_->configuration().agent);
          queue_->Configure(engine_->configuration().agent);
          remote_->Configure(engine_->configuration().agent.config.remote());
          host_->SetCommandsMax(engine_->configuration().agent.max_children);
          WarnOfUsers();
          components_->Configure(engine_->configuration().agent.config.component());
          ready_->Configure(ReadyAddress());
          engine_->AppendAgentEvent(3, v1::Information, "the configuration was reloaded", 0, user);
          LogInfo("the configuration was reloaded");
          FollowPaths(std::move((*checked)->patterns), std::move((*checked)->found),
                      (*checked)->is_default);
        } else {
          engine_->AppendAgentEvent(8, v1::Error,
                                    absl::StrCat("the configuration was refused, the old one "
                                                 "stays: ",
                                                 status.message()),
                                    0, user);
          LogError(absl::StrCat("reload refused: ", status.message()));
        }
        sd_notify(0, "READY=1");
        done(status);
      });
    });
  }

  // A configuration was taken up: what its conditions name, and whether there is none.
  void FollowPaths(PathPatterns patterns, FoundPaths found, bool is_default) {
    ++taken_up_;
    conditions_->Configure(std::move(patterns), std::move(found));
    const bool news = is_default && default_warning_.empty();
    default_warning_ = is_default ? HowToArm(options_.config_dir) : "";
    if (!news) return;
    LogWarning(default_warning_);
    engine_->AppendAgentEvent(kObservesOnly, v1::Warning, default_warning_);
  }

  // The paths of the conditions have changed: what runs is taken up anew with them, and not the
  // folder, in which somebody may be in the middle of an edit.
  void FollowConditions(FoundPaths found) {
    reloader_.Post([this, before = taken_up_, source = engine_->configuration().source,
                    found = std::move(found)] {
      auto again = std::make_shared<absl::StatusOr<Configuration>>(
          ReadAgainWithUsers(source, found, host_->users()));
      // A reload that came between has looked for itself.
      loop_.Post([this, before, again] {
        if (before == taken_up_) TakeUpConditions(std::move(*again));
      });
    });
  }

  void TakeUpConditions(absl::StatusOr<Configuration> again) {
    absl::Status status = again.status();
    std::string news;
    if (status.ok()) {
      news = DescribeConditionChanges(engine_->configuration().health_sets, again->health_sets);
      status = engine_->Apply(*std::move(again));
    }
    if (!status.ok()) return SayConditionsUnknown(status);
    WarnOfUsers();
    if (news.empty()) return;
    LogInfo(absl::StrCat("conditions have changed: ", news));
    engine_->AppendAgentEvent(3, v1::Information, absl::StrCat("conditions have changed: ", news));
  }

  void SayConditionsUnknown(const absl::Status& why) {
    const std::string message =
        absl::StrCat("the conditions of the health sets stay as they were: ", why.message());
    LogError(message);
    engine_->AppendAgentEvent(8, v1::Error, message);
  }

  void FillInfo(v1::GetInfoResponse& info) {
    info.set_version(kVersion);
    info.set_server(server_);
    info.set_definitions_version(engine_->configuration().agent.version);
    info.mutable_started()->set_seconds(absl::ToUnixSeconds(started_wall_));
    info.set_config_dir(options_.config_dir);
    info.set_state_dir(options_.state_dir);
    info.set_longest_turn_ms(absl::ToDoubleMilliseconds(loop_.longest_turn()));
    info.set_probes_skipped(engine_->probes_skipped());
    info.set_events_dropped(events_->dropped());
    info.set_first_probe_ms(absl::ToDoubleMilliseconds(engine_->first_look() - started_));
    for (const std::string& warning : warnings_) info.add_warnings(warning);
    for (const std::string& warning : user_warnings_) info.add_warnings(warning);
    if (!default_warning_.empty()) info.add_warnings(default_warning_);
    for (const std::string& warning : SkippedPathWarnings(engine_->configuration())) {
      info.add_warnings(warning);
    }
    if (!ready_->trouble().empty()) info.add_warnings(ready_->trouble());
    if (!remote_->trouble().empty()) info.add_warnings(remote_->trouble());
    for (const std::string& fault : overrides_->faults()) info.add_warnings(fault);
    for (const std::string& warning : queue_->warnings()) info.add_warnings(warning);
    if (absl::Status status = group_->coordinator().Health(); !status.ok()) {
      info.add_warnings(absl::StrCat("group: ", status.message()));
    }
    if (absl::Status status = ledger_->Health(); !status.ok()) {
      info.add_warnings(absl::StrCat("ledger: ", status.message()));
    }
    if (absl::Status status = events_->trouble(); !status.ok()) {
      info.add_warnings(absl::StrCat("events: ", status.message()));
    }
  }

  void FeedWatchdog() {
    uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) <= 0) return;
    sd_notify(0, "WATCHDOG=1");
    watchdog_ = loop_.CallAfter(absl::Microseconds(usec) / 2, [this] { FeedWatchdog(); });
  }

  void Stop(const std::string& why) {
    if (std::exchange(stopping_, true)) return;
    LogInfo(absl::StrCat("stopping: ", why));
    sd_notify(0, "STOPPING=1");
    ready_->Drain();
    engine_->Stop([this] {
      queue_->Stop([this] { group_->coordinator().Leave([this] { loop_.Stop(); }); });
    });
  }

  void TearDown() {
    if (set_execution_ == nullptr) {
      engine_->AppendAgentEvent(2, v1::Information, "salved stopped");
    }
    remote_.reset();
    servers_.clear();
    overrides_.reset();
    pause_files_.reset();
    conditions_.reset();
    ready_.reset();
    if (queue_ != nullptr) queue_->SetEngine(nullptr);
    if (set_execution_ != nullptr) {
      const absl::Status closed = set_execution_->Close();
      if (!closed.ok()) LogError(closed.message());
      set_execution_.reset();
    }
    engine_.reset();
    components_.reset();
    evidence_worker_.reset();
    notifier_.reset();
    if (queue_ != nullptr) queue_->Close();
    queue_.reset();
    transport_.reset();
    gate_.reset();
    group_.reset();
    ledger_->Heartbeat([](absl::Status) {});  // So that the time until now is known to be uptime.
    ledger_.reset();                          // Waits for what is being written.
    reader_.reset();
    events_.reset();
    worker_.reset();
    state_worker_.reset();
  }

  const DaemonOptions options_;
  UvLoop loop_;
  const absl::Time started_wall_;
  const Instant started_;
  std::string server_;
  RandomSource random_ = SystemRandom();
  std::unique_ptr<RealHost> host_;
  std::unique_ptr<ServiceManager> services_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<HttpClient> http_;
  std::unique_ptr<BlockingCalls> blocking_;
  std::unique_ptr<StateStore> state_;
  std::unique_ptr<ThreadWorker> worker_;        // The ledger's.
  std::unique_ptr<ThreadWorker> state_worker_;  // Its own: an attempt must not wait for state.db.
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<EventStore> events_;
  std::unique_ptr<EventReader> reader_;
  std::unique_ptr<Group> group_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<Components> components_;
  std::unique_ptr<ReadyServer> ready_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<DurableQueue> queue_;
  bool set_started_ = false;
  int set_status_ = kUnusableState;
  std::unique_ptr<QueueNotifier> notifier_;
  std::unique_ptr<SetExecution> set_execution_;  // In place of the queue.
  std::unique_ptr<ThreadWorker> evidence_worker_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Overrides> overrides_;
  std::unique_ptr<PauseFiles> pause_files_;
  std::unique_ptr<ConditionWatch> conditions_;
  uint64_t taken_up_ = 0;        // Configurations, by a start or a reload.
  std::string default_warning_;  // Empty: there is a configuration.
  std::vector<std::unique_ptr<ApiServer>> servers_;
  std::unique_ptr<RemoteAccess> remote_;
  std::vector<std::string> warnings_;
  std::vector<std::string> user_warnings_;
  TimerId watchdog_ = TimerId::kNone;
  bool stopping_ = false;
  ThreadWorker reloader_;
};

}  // namespace

int RunDaemon(const DaemonOptions& options) {
  PrepareProcess();
  return Daemon(options).Run();
}

}  // namespace salve
