#include "responders/actions/escalate.h"

#include <optional>

#include "base/fake_host.h"
#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

class EscalateTest : public ::testing::Test {
 protected:
  Notice Told(const config::Escalate& config) {
    std::optional<Notice> told;
    const ActionEnvironment environment{
        .loop = loop_, .host = host_, .services = services_, .tell = [&](Notice notice) {
          told = std::move(notice);
        }};
    const std::unique_ptr<Action> action = NewEscalate(config, environment);
    Notice incident;
    incident.health_set = "Web";
    incident.monitor = "Down";
    incident.state = "UNHEALTHY";
    incident.error = "{server} refused";
    incident.message = "3 failures";
    incident.server = "web-1";
    action->About(incident);
    std::optional<ActionResult> result;
    action->Run(
        loop_.Now() + absl::Seconds(1), [](auto, auto) { ADD_FAILURE() << "records an effect"; },
        [&](ActionResult r) { result = std::move(r); });
    EXPECT_TRUE(result.has_value());
    EXPECT_EQ(result->kind, ActionResult::Kind::kSucceeded);
    return told.value_or(Notice());
  }

  SimulatedLoop loop_;
  FakeHost host_{loop_};
  FakeServiceManager services_{loop_};
};

TEST_F(EscalateTest, TellsWhatTheEngineKnows) {
  const Notice notice = Told({});
  EXPECT_EQ(notice.subject, "Web/Down is UNHEALTHY");
  EXPECT_EQ(notice.message, "3 failures");
  EXPECT_TRUE(notice.to.empty());
}

TEST_F(EscalateTest, TellsInItsOwnWords) {
  config::Escalate config;
  config.add_to("mail");
  config.set_subject("{server}: {monitor} {{");
  config.set_message("{error}");
  const Notice notice = Told(config);
  EXPECT_EQ(notice.subject, "web-1: Down {");
  EXPECT_EQ(notice.message, "{server} refused");  // A value is no template.
  EXPECT_EQ(notice.to, std::vector<std::string>{"mail"});
}

TEST_F(EscalateTest, IsANotificationThatSaysItsPlan) {
  const ActionEnvironment environment{.loop = loop_, .host = host_, .services = services_};
  config::Escalate config;
  EXPECT_EQ(NewEscalate(config, environment)->Plan(), "tells the journal and all destinations");
  config.add_to("mail");
  config.add_to("hook");
  const auto action = NewEscalate(config, environment);
  EXPECT_EQ(action->Plan(), "tells the journal and mail, hook");
  EXPECT_TRUE(action->is_notification());
  EXPECT_FALSE(action->is_disruptive());
}

TEST_F(EscalateTest, RefusesTemplatesThatItDoesNotKnow) {
  config::Escalate config;
  config.set_subject("{stat}");
  EXPECT_EQ(CheckEscalate(config).message(),
            "escalate.subject: there is no {} name 'stat' (did you mean 'state'?); {{ is a brace");
  config.set_subject(std::string(1001, 'x'));
  EXPECT_EQ(CheckEscalate(config).message(), "escalate.subject: has more than 1000 bytes");
  config.set_subject(std::string(1000, 'x'));
  EXPECT_TRUE(CheckEscalate(config).ok());
  config.set_message("{message}");
  EXPECT_EQ(CheckEscalate(config).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace salve
