#include "cli/salvectl_fixture.h"
#include "gmock/gmock.h"

namespace salve {
namespace {

using testing::HasSubstr;

class OverrideVerbTest : public SalvectlTest {
 protected:
  // `override add` of a good override, with some options more.
  Ended Add(std::vector<std::string> more) {
    std::vector<std::string> args = {
        "override",         "add",
        "--item-type",      "responder",
        "--identity",       "Store\\StoreServiceKillServer",
        "--property-name",  "ThrottleAttributes.GroupMaximumAllowedAttemptsInADay",
        "--property-value", "-1"};
    args.insert(args.end(), more.begin(), more.end());
    return Run(args);
  }
};

TEST_F(OverrideVerbTest, AddHandsOnWhatWasTyped) {
  Add({"--local", "--apply-version", "15.00.1044.025", "--reason", "why"});
  const v1::AddOverrideRequest asked = agent_.add_override.asked();
  EXPECT_EQ(asked.override().scope(), "local");
  EXPECT_EQ(asked.override().item_type(), "Responder");
  EXPECT_EQ(asked.override().identity(), "Store\\StoreServiceKillServer");
  EXPECT_EQ(asked.override().property_name(),
            "ThrottleAttributes.GroupMaximumAllowedAttemptsInADay");
  EXPECT_EQ(asked.override().property_value(), "-1");
  EXPECT_EQ(asked.override().apply_version(), "15.00.1044.025");
  EXPECT_EQ(asked.override().reason(), "why");
  EXPECT_EQ(asked.duration_seconds(), 0);
  EXPECT_EQ(asked.user(), "ada");
  EXPECT_FALSE(asked.dry_run() || asked.unchecked());
}

TEST_F(OverrideVerbTest, AddTakesADurationAndFlags) {
  Add({"--global", "--duration", "1.12:00:00", "--unchecked", "--dry-run"});
  const v1::AddOverrideRequest asked = agent_.add_override.asked();
  EXPECT_EQ(asked.override().scope(), "global");
  EXPECT_EQ(asked.duration_seconds(), 36 * 3600);
  EXPECT_TRUE(asked.dry_run());
  EXPECT_TRUE(asked.unchecked());
}

TEST_F(OverrideVerbTest, AddSaysWhatChangesAndWhetherItHolds) {
  agent_.add_override.Say(FromText<v1::AddOverrideResponse>(R"(
      override {
        scope: "local" item_type: "Probe" identity: "Web\\Ping" property_name: "interval"
        property_value: "1m" expiration_time { seconds: 1795258800 } in_force: true
      }
      effects { item: "Web/Ping" before: "10s" after: "1m" }
      )"));
  EXPECT_EQ(Add({"--local", "--duration", "0.01:00:00"}).out,
            "added the local override of Probe Web\\Ping: interval=1m\n"
            "until 2026-11-21 11:00:00 (in 1h 0m); in force\n"
            "  Web/Ping  before  10s\n"
            "            after   1m\n");
}

TEST_F(OverrideVerbTest, AddSaysWhyItDoesNotHold) {
  agent_.add_override.Say(FromText<v1::AddOverrideResponse>(R"x(
      override { scope: "local" expiration_time { seconds: 1795258800 }
                 why_not: "version (it is 1.0 here)" }
      replaced: true)x"));
  const Ended ended = Add({"--local", "--apply-version", "2.0"});
  EXPECT_THAT(ended.out, HasSubstr("replaced the local override"));
  EXPECT_THAT(ended.out, HasSubstr("; NOT in force here: version"));
  EXPECT_EQ(ended.status, 0);
}

TEST_F(OverrideVerbTest, ExactlyOneScopeAndNotBothEndsMustBeGiven) {
  const Ended no_scope = Add({"--duration", "1.00:00:00"});
  EXPECT_EQ(no_scope.status, 2);
  EXPECT_THAT(no_scope.err, HasSubstr("--local or --global is needed"));
  EXPECT_EQ(Add({"--local", "--global", "--duration", "1.00:00:00"}).status, 2);
  EXPECT_EQ(Add({"--local", "--duration", "1.00:00:00", "--apply-version", "1"}).status, 2);
  const Ended bad = Add({"--local", "--duration", "1h"});
  EXPECT_EQ(bad.status, 2);
  EXPECT_THAT(bad.err, HasSubstr("write dd.hh:mm:ss"));
}

TEST_F(OverrideVerbTest, ErrorsHaveTheAgreedExitStatus) {
  const std::pair<absl::Status, int> errors[] = {
      {absl::InvalidArgumentError("no number"), 2},
      {absl::FailedPreconditionError("in global-overrides.xml"), 3},
      {absl::NotFoundError("did you mean"), 4},
      {absl::PermissionDeniedError("no admin"), 5},
      {absl::UnavailableError("no etcd"), 7},
  };
  for (const auto& [error, status] : errors) {
    agent_.add_override.Say(error);
    EXPECT_EQ(Add({"--local", "--duration", "1.00:00:00"}).status, status) << error;
  }
}

TEST_F(OverrideVerbTest, RemoveNamesWhichAndSaysWhatWasThere) {
  agent_.remove_override.Say(FromText<v1::RemoveOverrideResponse>(
      R"(removed { scope: "global" item_type: "Probe" identity: "Web\\Ping"
         property_name: "interval" property_value: "1m" })"));
  const Ended ended = Run({"override", "remove", "--global", "--item-type", "Probe", "--identity",
                           "Web/Ping", "--property-name", "interval", "--apply-version", "1.0"});
  EXPECT_EQ(Run({"override", "remove", "--item-type", "Probe", "--identity", "Web/Ping",
                 "--property-name", "interval"})
                .status,
            2);
  EXPECT_EQ(ended.out, "removed the global override of Probe Web\\Ping: interval=1m\n");
  const v1::RemoveOverrideRequest asked = agent_.remove_override.asked();
  EXPECT_EQ(asked.scope(), "global");
  EXPECT_EQ(asked.apply_version(), "1.0");
  EXPECT_EQ(asked.user(), "ada");
}

constexpr char kList[] = R"(
    overrides {
      scope: "local" item_type: "Probe" identity: "Web\\Ping" property_name: "interval"
      property_value: "1m" expiration_time { seconds: 1795258800 } created_by: "ada"
      created_time { seconds: 1795255200 } reason: "load" in_force: true
    }
    overrides {
      scope: "global" item_type: "Probe" identity: "Web\\Ping" property_name: "interval"
      property_value: "2m" apply_version: "1.0" expiration_time { seconds: 1795258800 }
      why_not: "shadowed by a local one"
    }
    faults: "/x/overrides.xml:1:2: stray text")";

TEST_F(OverrideVerbTest, ListShowsEachAndWhetherItHolds) {
  agent_.list_overrides.Say(FromText<v1::ListOverridesResponse>(kList));
  const Ended ended = Run({"override", "list"});
  EXPECT_EQ(ended.out,
            "SCOPE   TYPE   IDENTITY  PROPERTY  VALUE  VERSION  IN FORCE                     UNTIL"
            "                BY   SINCE                REASON\n"
            "local   Probe  Web\\Ping  interval  1m     -        yes                          "
            "2026-11-21 11:00:00  ada  2026-11-21 10:00:00  load\n"
            "global  Probe  Web\\Ping  interval  2m     1.0      no: shadowed by a local one  "
            "2026-11-21 11:00:00       -\n");
  EXPECT_EQ(ended.err, "salvectl: override list: /x/overrides.xml:1:2: stray text\n");
}

TEST_F(OverrideVerbTest, ListIsOneObjectALineInJsonl) {
  agent_.list_overrides.Say(FromText<v1::ListOverridesResponse>(kList));
  const Ended ended = Run({"-o", "jsonl", "override", "list"});
  EXPECT_EQ(std::count(ended.out.begin(), ended.out.end(), '\n'), 2);
  EXPECT_THAT(ended.out, HasSubstr("\"WhyNot\":\"shadowed by a local one\""));
}

}  // namespace
}  // namespace salve
