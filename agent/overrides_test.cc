// Overrides over a whole engine on a simulated clock.
#include "agent/overrides.h"

#include <algorithm>

#include "agent/simulated_world.h"
#include "base/host.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "throttling/fake_shared_text.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr char kSearch[] = R"(
health_set {
  name: "Search"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "search" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 } transition { to: UNHEALTHY } }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY settle: "15s"
              run_command { command: "touch" resource: "search" } }
})";
constexpr char kAgent[] = "boot_grace: \"0s\" version: \"15.0.1044.25\"";
constexpr char kLocalMinimum[] = "ThrottleAttributes.LocalMinimumMinutesBetweenAttempts";

class OverridesTest : public testing::Test {
 protected:
  void SetUp() override {
    world_.host.SetProgram("touch", {.takes = absl::Seconds(1)});
    Start();
    ASSERT_TRUE(world_.Configure(kSearch, kAgent).ok());
    world_.loop.RunPending();
    world_.events.events.clear();
  }
  void Start(SharedText* shared = nullptr) {
    OverrideStoreOptions options;
    options.local_file = world_.dir() + "/overrides.xml";
    options.local_copy = world_.dir() + "/overrides.last.xml";
    options.global_file = world_.dir() + "/global-overrides.xml";
    options.global_copy = world_.dir() + "/global-overrides.last.xml";
    options.shared = shared;
    overrides_ = std::make_unique<Overrides>(
        Overrides::Parts{world_.loop, world_.worker, world_.events, *world_.engine}, options);
    overrides_->Load();
  }

  static v1::AddOverrideRequest Request(const std::string& type, const std::string& identity,
                                        const std::string& property, const std::string& value,
                                        const std::string& scope = "local") {
    v1::AddOverrideRequest request;
    request.mutable_override()->set_scope(scope);
    request.mutable_override()->set_item_type(type);
    request.mutable_override()->set_identity(identity);
    request.mutable_override()->set_property_name(property);
    request.mutable_override()->set_property_value(value);
    request.set_duration_seconds(3600);
    request.set_user("ada");
    return request;
  }
  static v1::AddOverrideRequest Minimum(const std::string& value) {
    return Request("Responder", "Search\\Restart", kLocalMinimum, value);
  }
  absl::StatusOr<v1::AddOverrideResponse> Add(const v1::AddOverrideRequest& request) {
    absl::StatusOr<v1::AddOverrideResponse> answer = absl::InternalError("no answer");
    overrides_->Add(request, [&](auto got) { answer = std::move(got); });
    world_.loop.RunPending();
    return answer;
  }
  absl::Status Refusal(const v1::AddOverrideRequest& request) { return Add(request).status(); }

  v1::ResponderStatus Responder() const {
    return world_.engine->Responders(v1::ListRequest())->responders(0);
  }
  std::string MinimumAndSource() const {
    const v1::LimitSource limit = Responder().limit_sources(1);
    return absl::StrCat(limit.value(), " ", limit.source());
  }

  SimulatedWorld world_;
  std::unique_ptr<Overrides> overrides_;
};

TEST_F(OverridesTest, ALimitHoldsAtOnceAndIsRecorded) {
  EXPECT_EQ(MinimumAndSource(), "10 built-in");
  const auto added = Add(Minimum("240"));
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_TRUE(added->override().in_force());
  EXPECT_EQ(MinimumAndSource(), "240 local override");
  const auto definitions = world_.Events(v1::ResponderDefinition);
  ASSERT_THAT(definitions, SizeIs(1));
  EXPECT_THAT(definitions[0].responder_definition().throttle_policy_xml(),
              HasSubstr("LocalMinimumMinutesBetweenAttempts=\"240\""));
  const auto configs = world_.Events(v1::ThrottlingConfig);
  ASSERT_THAT(configs, SizeIs(1));
  EXPECT_EQ(configs[0].throttling_config().source(), "local override");
  const auto news = world_.Events(v1::Overrides);
  ASSERT_THAT(news, SizeIs(1));
  EXPECT_EQ(news[0].event_id(), 1);
  EXPECT_EQ(news[0].overrides().who(), "ada");
  EXPECT_EQ(world_.Events(v1::Agent)[0].agent().who(), "ada");
}

TEST_F(OverridesTest, WhenItEndsTheSameTwoEventsFollow) {
  ASSERT_TRUE(Add(Minimum("240")).ok());
  world_.events.events.clear();
  world_.RunFor(absl::Minutes(59));
  EXPECT_EQ(MinimumAndSource(), "240 local override");
  EXPECT_THAT(world_.Events(v1::ResponderDefinition), SizeIs(0));
  world_.RunFor(absl::Minutes(2));
  EXPECT_EQ(MinimumAndSource(), "10 built-in");
  EXPECT_THAT(world_.Events(v1::ResponderDefinition), SizeIs(1));
  EXPECT_THAT(world_.Events(v1::ThrottlingConfig), SizeIs(1));
  EXPECT_EQ(world_.Count(v1::Overrides, 3), 1);
  EXPECT_EQ(overrides_->List().overrides(0).why_not(), "expired");
}

TEST_F(OverridesTest, AnOverrideOfTheValueThatHeldBeforeIsToldToo) {
  ASSERT_TRUE(Add(Minimum("10")).ok());
  EXPECT_EQ(MinimumAndSource(), "10 local override");
  EXPECT_THAT(world_.Events(v1::ResponderDefinition), SizeIs(1));
  EXPECT_THAT(world_.Events(v1::ThrottlingConfig), SizeIs(1));
}

TEST_F(OverridesTest, NothingAboutAttemptsIsReset) {
  world_.Sees("search") = Failed("down");
  world_.RunFor(absl::Minutes(1));
  ASSERT_THAT(world_.host.started(), SizeIs(1));
  world_.RunFor(absl::Minutes(5));
  // 10 minutes are built in; with 4 instead the waiting one asks at once.
  ASSERT_TRUE(Add(Minimum("4")).ok());
  world_.RunFor(absl::Seconds(12));
  EXPECT_THAT(world_.host.started(), SizeIs(2));
  ASSERT_TRUE(Add(Minimum("240")).ok());
  world_.RunFor(absl::Minutes(30));
  EXPECT_THAT(world_.host.started(), SizeIs(2));
}

TEST_F(OverridesTest, AReloadIsOverriddenAgain) {
  ASSERT_TRUE(Add(Minimum("240")).ok());
  ASSERT_TRUE(Add(Request("Probe", "Search\\Ping", "interval", "1m")).ok());
  world_.events.events.clear();
  ASSERT_TRUE(world_.Configure(kSearch, kAgent).ok());
  EXPECT_EQ(MinimumAndSource(), "240 local override");
  EXPECT_EQ(world_.engine->Probes(v1::ListRequest())->probes(0).interval_seconds(), 60);
  EXPECT_THAT(world_.Events(v1::ResponderDefinition), SizeIs(1));
}

TEST_F(OverridesTest, DefinitionsChangeAndTheirItemsGoOn) {
  ASSERT_TRUE(Add(Request("Monitor", "Search/Down", "Threshold", "1")).ok());
  EXPECT_EQ(world_.Count(v1::MonitorDefinition, 1), 1);
  EXPECT_EQ(world_.Count(v1::ProbeDefinition, 1), 0);
  world_.Sees("search") = Failed("down");
  world_.RunFor(absl::Seconds(11));
  EXPECT_EQ(world_.StateOf("Search"), "UNHEALTHY");
}

TEST_F(OverridesTest, AnOpenIncidentGoesOnUnderAnotherThreshold) {
  world_.Sees("search") = Failed("down");
  world_.RunFor(absl::Minutes(1));
  const std::string incident =
      world_.engine->Monitors(v1::ListRequest())->monitors(0).incident_id();
  ASSERT_EQ(incident.size(), 32u);
  ASSERT_TRUE(Add(Request("Monitor", "Search\\Down", "threshold", "2")).ok());
  world_.RunFor(absl::Seconds(30));
  EXPECT_EQ(world_.engine->Monitors(v1::ListRequest())->monitors(0).incident_id(), incident);
  EXPECT_EQ(world_.Count(v1::Monitoring, 1), 0);
  EXPECT_THAT(world_.host.started(), SizeIs(1));
}

TEST_F(OverridesTest, WhatTheConfigurationDisablesCanBeEnabled) {
  std::string disabled = kSearch;
  disabled.replace(disabled.find("on: UNHEALTHY"), 13, "on: UNHEALTHY enabled: false");
  ASSERT_TRUE(world_.Configure(disabled, kAgent).ok());
  EXPECT_EQ(Responder().state(), "disabled");
  ASSERT_TRUE(Add(Request("Responder", "Search\\Restart", "Enabled", "True")).ok());
  EXPECT_EQ(Responder().state(), "idle");
  world_.Sees("search") = Failed("down");
  world_.RunFor(absl::Minutes(1));
  EXPECT_THAT(world_.host.started(), SizeIs(1));
}

TEST_F(OverridesTest, ADisabledResponderDoesNotActAndComesBack) {
  ASSERT_TRUE(Add(Request("Responder", "Search\\Restart", "Enabled", "false")).ok());
  const auto definitions = world_.Events(v1::ResponderDefinition);
  ASSERT_THAT(definitions, SizeIs(1));
  EXPECT_FALSE(definitions[0].responder_definition().enabled());
  EXPECT_EQ(Responder().state(), "disabled");
  EXPECT_FALSE(Responder().enabled());
  world_.Sees("search") = Failed("down");
  world_.RunFor(absl::Minutes(10));
  EXPECT_THAT(world_.host.started(), SizeIs(0));
  world_.RunFor(absl::Minutes(51));
  EXPECT_GE(world_.host.started().size(), 1u);
}

TEST_F(OverridesTest, ADisabledSetIsStill) {
  ASSERT_TRUE(Add(Request("HealthSet", "Search", "Enabled", "False")).ok());
  world_.Sees("search") = Failed("down");
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(world_.StateOf("Search"), "DISABLED");
  EXPECT_THAT(world_.Events(v1::ProbeResult), SizeIs(0));
}

TEST_F(OverridesTest, VersionsInAnySpelling) {
  v1::AddOverrideRequest request = Minimum("240");
  request.set_duration_seconds(0);
  request.mutable_override()->set_apply_version("15.00.1044.025");
  EXPECT_TRUE(Add(request)->override().in_force());
  const int64_t life = Add(request)->override().expiration_time().seconds() -
                       Add(request)->override().created_time().seconds();
  EXPECT_EQ(life, 365 * 24 * 3600);
  request.mutable_override()->set_apply_version("Version 15.0 (Build 1044.25)");
  EXPECT_TRUE(Add(request)->replaced());
  request.mutable_override()->set_apply_version("15.0.1044.26");
  const auto other = Add(request);
  EXPECT_FALSE(other->replaced());
  EXPECT_EQ(other->override().why_not(), "version (it is 15.0.1044.25 here)");
  EXPECT_THAT(overrides_->List().overrides(), SizeIs(2));
}

TEST_F(OverridesTest, WhatIsWrongIsRefusedAndNothingIsWritten) {
  EXPECT_EQ(Refusal(Request("Responder", "Search\\Restrat", kLocalMinimum, "1")).code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(Refusal(Request("Responder", "Search\\Restrat", kLocalMinimum, "1")).message(),
              HasSubstr("did you mean 'Search\\Restart'"));
  EXPECT_THAT(Refusal(Minimum("-2")).message(), HasSubstr("is not in [-1, 525600]"));
  EXPECT_THAT(Refusal(Request("Probe", "Search\\Ping", "timeout", "11s")).message(),
              HasSubstr("11s is longer than the interval of 10s"));
  EXPECT_THAT(Refusal(Request("Monitor", "Search\\Down", "window", "1m")).message(),
              HasSubstr("has no such property"));
  EXPECT_THAT(
      Refusal(Request("Responder", "Search\\Restart", "ThrottlePolicyXml", "<x/>")).message(),
      HasSubstr("override single attributes"));
  v1::AddOverrideRequest both = Minimum("1");
  both.mutable_override()->set_apply_version("1.0");
  EXPECT_THAT(Refusal(both).message(), HasSubstr("exactly one of"));
  both.set_duration_seconds(0);
  both.mutable_override()->clear_apply_version();
  EXPECT_THAT(Refusal(both).message(), HasSubstr("exactly one of"));
  v1::AddOverrideRequest forever = Minimum("1");
  forever.set_duration_seconds(3650 * 24 * 3600 + 1);
  EXPECT_EQ(Refusal(forever).code(), absl::StatusCode::kInvalidArgument);
  v1::AddOverrideRequest unchecked = Minimum("1");
  unchecked.set_unchecked(true);
  EXPECT_EQ(Refusal(unchecked).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal(Request("Responder", "Search\\Restart", kLocalMinimum, "1", "global")).code(),
            absl::StatusCode::kFailedPrecondition);
  v1::AddOverrideRequest dry =
      Request("Responder", "Search\\Restart", kLocalMinimum, "1", "global");
  dry.set_dry_run(true);
  EXPECT_EQ(Refusal(dry).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(overrides_->List().overrides(), SizeIs(0));
  EXPECT_FALSE(ReadFile(world_.dir() + "/overrides.xml").ok());
}

TEST_F(OverridesTest, ADryRunSaysTheEffectAndChangesNothing) {
  v1::AddOverrideRequest request = Minimum("240");
  request.set_dry_run(true);
  const auto answer = Add(request);
  ASSERT_EQ(answer->effects_size(), 1);
  EXPECT_EQ(answer->effects(0).item(), "Search/Restart");
  EXPECT_THAT(answer->effects(0).before(), HasSubstr("LocalMinimumMinutesBetweenAttempts=\"10\""));
  EXPECT_THAT(answer->effects(0).after(), HasSubstr("LocalMinimumMinutesBetweenAttempts=\"240\""));
  EXPECT_TRUE(answer->override().in_force());
  EXPECT_EQ(MinimumAndSource(), "10 built-in");
  EXPECT_THAT(world_.events.events, SizeIs(0));
  v1::AddOverrideRequest interval = Request("Probe", "Search\\Ping", "interval", "1m");
  interval.set_dry_run(true);
  EXPECT_EQ(Add(interval)->effects(0).before(), "10s");
  EXPECT_EQ(Add(interval)->effects(0).after(), "1m");
}

TEST_F(OverridesTest, RemovingEndsIt) {
  ASSERT_TRUE(Add(Minimum("240")).ok());
  world_.events.events.clear();
  v1::RemoveOverrideRequest request;
  request.set_scope("local");
  request.set_item_type("responder");
  request.set_identity("search/restart");
  request.set_property_name(kLocalMinimum);
  request.set_user("bob");
  absl::StatusOr<v1::RemoveOverrideResponse> answer = absl::InternalError("no answer");
  overrides_->Remove(request, [&](auto got) { answer = std::move(got); });
  world_.loop.RunPending();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->removed().property_value(), "240");
  EXPECT_EQ(MinimumAndSource(), "10 built-in");
  EXPECT_EQ(world_.Events(v1::Overrides)[0].overrides().who(), "bob");
  EXPECT_THAT(world_.Events(v1::ResponderDefinition), SizeIs(1));
}

TEST_F(OverridesTest, AnotherLifeOfTheAgentHoldsThemFromTheStart) {
  ASSERT_TRUE(Add(Minimum("240")).ok());
  overrides_.reset();
  world_.KillAgent();
  Start();
  ASSERT_TRUE(world_.Configure(kSearch, kAgent).ok());
  EXPECT_EQ(MinimumAndSource(), "240 local override");
}

TEST_F(OverridesTest, GlobalOnesOfTheGroupAreShadowedByLocalOnes) {
  FakeSharedText shared(world_.loop);
  overrides_.reset();
  Start(&shared);
  world_.loop.RunPending();
  ASSERT_TRUE(Add(Request("Responder", "Search\\Restart", kLocalMinimum, "60", "global")).ok());
  EXPECT_EQ(MinimumAndSource(), "60 global override");
  ASSERT_TRUE(Add(Minimum("240")).ok());
  EXPECT_EQ(MinimumAndSource(), "240 local override");
  EXPECT_EQ(overrides_->List().overrides(1).why_not(), "shadowed by a local one");
  v1::AddOverrideRequest elsewhere =
      Request("Responder", "Store\\Kill", kLocalMinimum, "1", "global");
  EXPECT_EQ(Refusal(elsewhere).code(), absl::StatusCode::kNotFound);
  elsewhere.set_unchecked(true);
  EXPECT_EQ(Add(elsewhere)->override().why_not(), "unknown item");
  world_.RunFor(absl::Minutes(61));  // Both end; the shared text is not touched.
  EXPECT_EQ(MinimumAndSource(), "10 built-in");
  overrides_.reset();
}

}  // namespace
}  // namespace salve
