// What every kind of probe promises (probe.h), checked for all of them and for the fake.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/blocking_calls.h"
#include "base/fake_service_manager.h"
#include "base/real_host.h"
#include "base/unique_fd.h"
#include "base/uv_loop.h"
#include "google/protobuf/text_format.h"
#include "probes/fake_probe.h"
#include "probes/probe.h"
#include "probes/registry.h"
#include "probes/test_script_server.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

constexpr absl::Duration kTimeout = absl::Milliseconds(30);

// Its one thread hangs until its end, as in a call into a dead file server.
struct HungCalls {
  explicit HungCalls(EventLoop& loop) : calls(loop, {.threads_max = 1}) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    write_end.reset(ends[1]);
    calls.Run(
        "a read that hangs", loop.Now() + absl::Hours(1),
        [read_end = std::make_shared<UniqueFd>(ends[0])]() -> absl::StatusOr<bool> {
          char byte;
          return read(read_end->get(), &byte, 1) == 0;
        },
        [](absl::StatusOr<bool>) {});
  }

  BlockingCalls calls;
  UniqueFd write_end;
};

// Targets that answer, and others that hang.
struct World {
  World() {
    signal(SIGPIPE, SIG_IGN);
    services.SetUnit("up.service", services.Unit("up.service"));
    std::ofstream(log) << "a line\n";
  }

  std::unique_ptr<Probe> Make(const std::string& text) { return Make(text, blocking); }
  std::unique_ptr<Probe> Make(const std::string& text, BlockingCalls& calls) {
    config::Probe config;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
    auto probe = NewProbe(config, {loop, host, services, resolver, http, calls});
    EXPECT_TRUE(probe.ok()) << probe.status();
    return *std::move(probe);
  }

  const std::string log = ::testing::TempDir() + "/contract.log";
  UvLoop loop;
  RealHost host{loop};
  FakeServiceManager services{loop};
  Resolver resolver{loop};
  HttpClient http{loop, resolver};
  BlockingCalls blocking{loop};
  HungCalls hung{loop};
  TestServer answers{AlwaysAnswer("200 OK", "ok")};
  TestServer hangs{[](TestConnection& c) { c.Hang(); }};
  ScriptServer smtp{{Says("220 x\r\n"), Hears("EHLO localhost\r\n"), Says("250 x\r\n")}};
  ScriptServer imap{{Says("* OK x\r\n"), Hears("a1 NOOP\r\n"), Says("a1 OK\r\n")}};
  ScriptServer pop3{{Says("+OK\r\n")}};
  ScriptServer redis{{Says("-NOAUTH x\r\n")}};
  TestNameServer names;
  TestUdpServer silent{[](const std::string&) { return std::vector<std::string>(); }};
};

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Probe>(World&)> make_prompt;
  std::function<std::unique_ptr<Probe>(World&)> make_stuck;  // As stuck as this kind can be.
};

std::unique_ptr<Probe> Fake(bool stuck) {
  auto fake = std::make_unique<FakeProbe>();
  if (stuck) fake->Hang();
  return fake;
}

std::function<std::unique_ptr<Probe>(World&)> Always(std::string text) {
  return [text](World& world) { return world.Make(text); };
}

// Of what asks the kernel off the loop.
std::function<std::unique_ptr<Probe>(World&)> Hung(std::string text) {
  return [text](World& world) { return world.Make(text, world.hung.calls); };
}

const Kind kKinds[] = {
    {"Fake", [](World&) { return Fake(false); }, nullptr},
    {"Http", [](World& w) { return w.Make(absl::StrCat("http { url: '", w.answers.url(), "' }")); },
     [](World& w) { return w.Make(absl::StrCat("http { url: '", w.hangs.url(), "' }")); }},
    {"Tcp", [](World& w) { return w.Make(absl::StrCat("tcp { port: ", w.answers.port(), " }")); },
     [](World& w) {
       return w.Make(absl::StrCat("tcp { expect: 'x' port: ", w.hangs.port(), " }"));
     }},
    {"Tls", [](World& w) { return w.Make(absl::StrCat("tcp { port: ", w.answers.port(), " }")); },
     [](World& w) { return w.Make(absl::StrCat("tcp { tls {} port: ", w.hangs.port(), " }")); }},
    {"Exec", Always("exec { command: 'true' }"),
     Always("exec { command: 'sh' command: '-c' command: 'sleep 60 & sleep 60' }")},
    {"SystemdUnit", Always("systemd_unit { unit: 'up.service' }"), nullptr},
    {"Process", Always("process { process_name: 'no such process' }"), nullptr},
    {"LogMatch",
     [](World& w) {
       return w.Make(absl::StrCat("log_match { pattern: 'x' file: '", w.log, "' }"));
     },
     nullptr},
    {"Notification", Always("notification {}"), nullptr},
    {"TlsCertificate",
     [](World& w) {
       return w.Make(absl::StrCat("tls_certificate { port: ", w.answers.port(), " }"));
     },
     [](World& w) {
       return w.Make(absl::StrCat("tls_certificate { port: ", w.hangs.port(), " }"));
     }},
    {"Smtp", [](World& w) { return w.Make(absl::StrCat("smtp { port: ", w.smtp.port(), " }")); },
     [](World& w) { return w.Make(absl::StrCat("smtp { port: ", w.hangs.port(), " }")); }},
    {"Imap", [](World& w) { return w.Make(absl::StrCat("imap { port: ", w.imap.port(), " }")); },
     [](World& w) { return w.Make(absl::StrCat("imap { port: ", w.hangs.port(), " }")); }},
    {"Pop3", [](World& w) { return w.Make(absl::StrCat("pop3 { port: ", w.pop3.port(), " }")); },
     [](World& w) { return w.Make(absl::StrCat("pop3 { port: ", w.hangs.port(), " }")); }},
    {"SqlPing",
     [](World& w) {
       return w.Make(absl::StrCat("sql_ping { server: REDIS port: ", w.redis.port(), " }"));
     },
     [](World& w) { return w.Make(absl::StrCat("sql_ping { port: ", w.hangs.port(), " }")); }},
    {"Dns",
     [](World& w) {
       return w.Make(absl::StrCat("dns { name: 'x.example' server: '", w.names.address(), "' }"));
     },
     [](World& w) {
       return w.Make(absl::StrCat("dns { name: 'x.example' server: '", w.silent.address(), "' }"));
     }},
    {"Clock", Always("clock {}"),
     [](World& w) {
       return w.Make(absl::StrCat("clock { ntp_server: '127.0.0.1' port: ", w.silent.port(), " }"));
     }},
    {"GrpcHealth",
     [](World& w) { return w.Make(absl::StrCat("grpc_health { port: ", w.answers.port(), " }")); },
     [](World& w) { return w.Make(absl::StrCat("grpc_health { port: ", w.hangs.port(), " }")); }},
    {"Disk", Always(absl::StrCat("disk { path: '", ::testing::TempDir(), "' }")),
     Hung("disk { path: '/' }")},
    {"Memory", Always("memory { min_available_percent: 100 }"), nullptr},
    {"Cpu", Always("cpu {}"), nullptr},
    {"NetworkInterface", Always("network_interface { interface: 'lo' }"), nullptr},
    {"SystemdFailedUnits", Always("systemd_failed_units {}"), nullptr},
    {"MailQueue", Always(absl::StrCat("mail_queue { directory: '", ::testing::TempDir(), "' }")),
     Hung("mail_queue {}")},
    {"File", [](World& w) { return w.Make(absl::StrCat("file { path: '", w.log, "' }")); },
     Hung("file { path: '/etc/passwd' }")},
};

class ProbeContractTest : public ::testing::TestWithParam<Kind> {
 protected:
  // Looks once, with kTimeout; the number of calls of `done` until a moment after it.
  int CallsInOneLook(Probe& probe) {
    int calls = 0;
    absl::Duration took = absl::InfiniteDuration();
    const Instant start = world_.loop.Now();
    probe.Start(start + kTimeout, [&](Observation seen) {
      ++calls;
      took = world_.loop.Now() - start;
      EXPECT_LE(seen.error.size(), kErrorBytesMax);
      EXPECT_LE(seen.values.size(), kValuesMax);
      EXPECT_LE(seen.attributes.size(), kAttributesMax);
      EXPECT_EQ(seen.error.empty(), seen.outcome == Outcome::kSucceeded) << seen.error;
      // A second call, if any, would come soon.
      world_.loop.CallAfter(2 * kTimeout, [this] { world_.loop.Stop(); });
    });
    world_.loop.Run();
    EXPECT_LT(took, kTimeout + absl::Seconds(1));
    return calls;
  }
  std::unique_ptr<Probe> MakeStuck() {
    return GetParam().make_stuck == nullptr ? GetParam().make_prompt(world_)
                                            : GetParam().make_stuck(world_);
  }

  World world_;
};

TEST_P(ProbeContractTest, CallsDoneExactlyOnceWhenTheTargetAnswers) {
  EXPECT_EQ(CallsInOneLook(*GetParam().make_prompt(world_)), 1);
}

TEST_P(ProbeContractTest, CallsDoneExactlyOnceWhenTheTargetHangs) {
  EXPECT_EQ(CallsInOneLook(*MakeStuck()), 1);
}

TEST_P(ProbeContractTest, LooksAgainAfterALook) {
  const auto probe = MakeStuck();
  EXPECT_EQ(CallsInOneLook(*probe), 1);
  EXPECT_EQ(CallsInOneLook(*probe), 1);
}

// `done` may destroy the probe: nothing of it is touched after that. Sanitizers see the rest.
TEST_P(ProbeContractTest, MayBeDestroyedInsideItsOwnDone) {
  for (const bool is_stuck : {false, true}) {
    auto probe = is_stuck ? MakeStuck() : GetParam().make_prompt(world_);
    Probe* const started = probe.get();  // It may end inside Start.
    int calls = 0;
    started->Start(world_.loop.Now() + kTimeout, [&](Observation) {
      ++calls;
      probe.reset();
      world_.loop.CallAfter(kTimeout, [this] { world_.loop.Stop(); });
    });
    world_.loop.Run();
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(probe, nullptr);
  }
}

TEST_P(ProbeContractTest, DestructionDuringALookIsSilent) {
  auto probe = MakeStuck();
  bool ended = false;
  auto alive = std::make_shared<bool>(true);
  probe->Watch([alive] { EXPECT_TRUE(*alive) << "a hint after the end"; });
  probe->Start(world_.loop.Now() + kTimeout, [&ended, alive](Observation) {
    ended = true;
    EXPECT_TRUE(*alive) << "an answer after the end";
  });
  probe.reset();
  *alive = false;
  world_.loop.CallAfter(2 * kTimeout, [this] { world_.loop.Stop(); });
  world_.loop.Run();
}

TEST_P(ProbeContractTest, DestructionBeforeTheFirstLookIsSilent) {
  auto probe = MakeStuck();
  auto alive = std::make_shared<bool>(true);
  probe->Watch([alive] { EXPECT_TRUE(*alive) << "a hint after the end"; });
  probe.reset();
  *alive = false;
  world_.loop.CallAfter(kTimeout, [this] { world_.loop.Stop(); });
  world_.loop.Run();
}

TEST_P(ProbeContractTest, OnlyNotificationProbesTakeReports) {
  const auto probe = GetParam().make_prompt(world_);
  const bool takes = std::string(GetParam().name) == "Notification";
  EXPECT_EQ(probe->Report(true, "").ok(), takes);
  EXPECT_EQ(probe->IsRecurrent(), !takes);
}

INSTANTIATE_TEST_SUITE_P(AllKinds, ProbeContractTest, ::testing::ValuesIn(kKinds),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(ProbeContractKindsTest, CoverTheSchema) {
  const auto* kinds = config::Probe::descriptor()->FindOneofByName("kind");
  for (int i = 0; i < kinds->field_count(); ++i) {
    const std::string wanted = kinds->field(i)->message_type()->name();
    bool found = false;
    for (const Kind& kind : kKinds) found |= absl::StrCat(kind.name, "Probe") == wanted;
    EXPECT_TRUE(found) << wanted << " is not in the contract test";
  }
}

}  // namespace
}  // namespace salve
