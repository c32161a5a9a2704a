#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

class HealthVerbTest : public SalvectlTest {
 protected:
  HealthVerbTest() {
    agent_.get_server_health.Say(FromText<v1::GetServerHealthResponse>(R"(
        server: "web-1" state: "UNHEALTHY"
        health_sets {
          name: "Web" group: "SERVICE_COMPONENTS" state: "UNHEALTHY" since { seconds: 1795255008 }
          monitors {
            health_set: "Web" name: "NginxDown" type_name: "ConsecutiveFailuresMonitor"
            state: "UNHEALTHY" since { seconds: 1795255008 } is_alert: true
            last_error: "connect: Connection\nrefused" hold: "boot_grace until 10:01:00"
            next: "NginxRestart asks for RestartService nginx.service in 40 s"
            probes: "NginxPing"
          }
        }
        health_sets { name: "Disk" state: "HEALTHY" }
    )"));
  }
};

TEST_F(HealthVerbTest, ShowsSetsAndMonitorsWithTheirErrorAndWhatComesNext) {
  const Ended ended = Run({"health"});

  EXPECT_EQ(ended.out,
            "web-1 is UNHEALTHY\n"
            "HEALTH SET   STATE      SINCE       LAST ERROR\n"
            "Web          UNHEALTHY  3m 12s ago\n"
            "  NginxDown  UNHEALTHY  3m 12s ago  connect: Connection\\nrefused\n"
            "                                    held: boot_grace until 10:01:00\n"
            "                                    next: NginxRestart asks for RestartService "
            "nginx.service in 40 s\n"
            "Disk         HEALTHY    -\n");
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(ended.status, 1);
}

TEST_F(HealthVerbTest, EndsWithZeroOnlyWhenHealthy) {
  for (const std::string state : {"HEALTHY", "DEGRADED", "REPAIRING", "UNAVAILABLE", ""}) {
    v1::GetServerHealthResponse health;
    health.set_state(state);
    agent_.get_server_health.Say(health);
    EXPECT_EQ(Run({"health"}).status, state == "HEALTHY" ? 0 : 1) << state;
  }
}

TEST_F(HealthVerbTest, AsksForOneSet) {
  Run({"health", "Web"});

  EXPECT_EQ(agent_.get_server_health.asked().health_set(), "Web");
}

TEST_F(HealthVerbTest, ASetMayBeNamedLikeAVerb) {
  EXPECT_EQ(Run({"health", "health"}).status, 1);
  EXPECT_EQ(agent_.get_server_health.asked().health_set(), "health");
  EXPECT_EQ(Run({"health", "version"}).status, 1);
  EXPECT_EQ(agent_.get_server_health.asked().health_set(), "version");
}

TEST_F(HealthVerbTest, AnUnknownSetIsNotFound) {
  agent_.get_server_health.Say(absl::NotFoundError("no health set 'Wbe' (did you mean 'Web'?)"));

  const Ended ended = Run({"health", "Wbe"});

  EXPECT_EQ(ended.status, 4);
  EXPECT_EQ(ended.out, "");
  EXPECT_EQ(ended.err, "salvectl: health: no health set 'Wbe' (did you mean 'Web'?)\n");
}

TEST_F(HealthVerbTest, LeavesOutSentenceAndHeaderWhenAskedTo) {
  v1::GetServerHealthResponse health;
  health.set_state("HEALTHY");
  health.add_health_sets()->set_name("Web");
  agent_.get_server_health.Say(health);

  EXPECT_EQ(Run({"health", "--no-header"}).out, "Web    -\n");
}

TEST_F(HealthVerbTest, IsColouredOnATerminalUnlessNoColorIsSet) {
  EXPECT_EQ(Run({"health"}).out.find('\x1b'), std::string::npos);
  world_.out_is_terminal = true;
  EXPECT_NE(Run({"health"}).out.find("\x1b[31mUNHEALTHY\x1b[0m"), std::string::npos);
  world_.environment["NO_COLOR"] = "";
  EXPECT_NE(Run({"health"}).out.find('\x1b'), std::string::npos);
  world_.environment["NO_COLOR"] = "1";
  EXPECT_EQ(Run({"health"}).out.find('\x1b'), std::string::npos);
}

TEST_F(HealthVerbTest, JsonHasTheNamesOfTheSchemaAndPrintsZeros) {
  EXPECT_EQ(Run({"health", "-o", "jsonl"}).out,
            R"({"Name":"Web","Group":"SERVICE_COMPONENTS","State":"UNHEALTHY",)"
            R"("Monitors":[{"HealthSet":"Web","Name":"NginxDown",)"
            R"("TypeName":"ConsecutiveFailuresMonitor","State":"UNHEALTHY","IsAlert":true,)"
            R"("LastError":"connect: Connection\nrefused","IncidentId":"",)"
            R"("Hold":"boot_grace until 10:01:00",)"
            R"("Next":["NginxRestart asks for RestartService nginx.service in 40 s"],)"
            R"("Probes":["NginxPing"],"RepairingOwner":"","RepairingReason":"",)"
            R"("Since":"2026-11-21T09:56:48Z"}],)"
            R"("Since":"2026-11-21T09:56:48Z"})"
            "\n"
            R"({"Name":"Disk","Group":"","State":"HEALTHY","Monitors":[]})"
            "\n");
}

TEST_F(HealthVerbTest, JsonIsOneIndentedValue) {
  v1::GetServerHealthResponse health;
  health.set_server("web-1");
  health.set_state("HEALTHY");
  agent_.get_server_health.Say(health);

  const Ended ended = Run({"health", "-o", "json"});

  EXPECT_EQ(ended.out,
            "{\n \"Server\": \"web-1\",\n \"State\": \"HEALTHY\",\n"
            " \"HealthSets\": []\n}\n");
  EXPECT_EQ(ended.status, 0);
}

}  // namespace
}  // namespace salve
