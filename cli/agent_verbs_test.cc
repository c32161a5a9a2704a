// config, version.
#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

class ConfigVerbTest : public SalvectlTest {};

TEST_F(ConfigVerbTest, CheckNeedsNoAgentAndSaysThatThereAreNoFaults) {
  world_.run_dir = "/nonexistent";
  std::string checked;
  world_.check_configuration = [&](const std::string& dir) {
    checked = dir;
    return absl::OkStatus();
  };

  EXPECT_EQ(Run({"config", "check"}).out, "/etc/salve: no faults\n");
  EXPECT_EQ(checked, "/etc/salve");
  EXPECT_EQ(Run({"config", "check", "/tmp/x", "-o", "jsonl"}).out, "");
  EXPECT_EQ(checked, "/tmp/x");
}

TEST_F(ConfigVerbTest, CheckPrintsALineForEachFault) {
  world_.check_configuration = [](const std::string&) {
    return absl::InvalidArgumentError("a.textproto:1:2: bad\nb.textproto:3:4: worse");
  };

  const Ended ended = Run({"config", "check"});

  EXPECT_EQ(ended.err,
            "salvectl: config check: a.textproto:1:2: bad\n"
            "salvectl: config check: b.textproto:3:4: worse\n");
  EXPECT_EQ(ended.status, 2);
}

TEST_F(ConfigVerbTest, ReloadSaysWhoAskedAndWhatTheAgentAnswered) {
  v1::ReloadResponse response;
  response.set_message("2 items changed");
  agent_.reload.Say(response);

  EXPECT_EQ(Run({"config", "reload"}).out, "2 items changed\n");
  EXPECT_EQ(agent_.reload.asked().user(), "ada");
}

TEST_F(ConfigVerbTest, AReloadThatIsRefusedIsBadInput) {
  agent_.reload.Say(absl::InvalidArgumentError("/etc/salve/conf.d/a.textproto:1:2: bad"));

  const Ended ended = Run({"config", "reload"});

  EXPECT_EQ(ended.err, "salvectl: config reload: /etc/salve/conf.d/a.textproto:1:2: bad\n");
  EXPECT_EQ(ended.status, 2);
}

TEST_F(ConfigVerbTest, ReloadMayNeedAnotherRole) {
  agent_.reload.Say(absl::PermissionDeniedError("only by admin.sock"));

  EXPECT_EQ(Run({"config", "reload"}).status, 5);
}

TEST_F(ConfigVerbTest, ShowPrintsTheTextAsItIs) {
  v1::GetConfigResponse response;
  response.set_text("server: \"web-1\"  # salve.textproto:1\nboot_grace: \"60s\"");
  agent_.get_config.Say(response);

  EXPECT_EQ(Run({"config", "show"}).out,
            "server: \"web-1\"  # salve.textproto:1\nboot_grace: \"60s\"\n");
  EXPECT_EQ(Run({"config", "show", "-o", "jsonl"}).out,
            R"({"Text":"server: \"web-1\"  # salve.textproto:1\nboot_grace: \"60s\""})"
            "\n");
}

class VersionVerbTest : public SalvectlTest {};

TEST_F(VersionVerbTest, ShowsBothVersionsAndTheAgentsWarnings) {
  agent_.get_info.Say(FromText<v1::GetInfoResponse>(R"(
      version: "1.2.4" server: "web-1" definitions_version: "7" started { seconds: 1795247940 }
      config_dir: "/etc/salve" state_dir: "/var/lib/salve"
      warnings: "ledger damaged: observe only")"));

  const Ended ended = Run({"version"});

  EXPECT_EQ(ended.out,
            "salvectl 1.2.3\n"
            "salved 1.2.4\n"
            "  server         web-1\n"
            "  definitions    7\n"
            "  started        2026-11-21 07:59:00 (2h 1m ago)\n"
            "  configuration  /etc/salve\n"
            "  state          /var/lib/salve\n"
            "  warning        ledger damaged: observe only\n");
  EXPECT_EQ(ended.status, 0);
}

TEST_F(VersionVerbTest, KnowsItsOwnVersionWithoutAnAgent) {
  world_.run_dir = "/nonexistent";

  const Ended verb = Run({"version"});
  EXPECT_EQ(verb.out, "salvectl 1.2.3\n");
  EXPECT_EQ(verb.status, 7);
  const Ended flag = Run({"--version"});
  EXPECT_EQ(flag.out, "salvectl 1.2.3\n");
  EXPECT_EQ(flag.status, 0);
}

}  // namespace
}  // namespace salve
