#include "base/fake_host.h"
#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "gtest/gtest.h"
#include "responders/action.h"

namespace salve {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::OneofDescriptor;

const OneofDescriptor& Actions() {
  return *config::Responder::descriptor()->FindOneofByName("action");
}

// A responder with that action, all at its defaults.
config::Responder Default(const FieldDescriptor& field) {
  config::Responder config;
  config.GetReflection()->MutableMessage(&config, &field);
  return config;
}

// "RestartService"
std::string CamelCase(const FieldDescriptor& field) {
  std::string name = field.camelcase_name();
  name[0] = static_cast<char>(name[0] - 'a' + 'A');
  return name;
}

TEST(ActionRegistryTest, EveryActionOfTheConfigurationIsThere) {
  ASSERT_GE(Actions().field_count(), 2);
  for (int i = 0; i < Actions().field_count(); ++i) {
    const FieldDescriptor& field = *Actions().field(i);
    EXPECT_TRUE(HasActionKind(field.number()))
        << field.name() << " has no line in responders/actions/registry.cc";
    EXPECT_EQ(ResponderTypeName(Default(field)), CamelCase(field) + "Responder");
  }
}

TEST(ActionRegistryTest, OtherFieldsAreNoAction) {
  EXPECT_FALSE(HasActionKind(config::Responder::kNameFieldNumber));
  EXPECT_FALSE(HasActionKind(0));
}

class NewActionTest : public ::testing::Test {
 protected:
  SimulatedLoop loop_;
  FakeHost host_{loop_};
  FakeServiceManager services_{loop_};
  const ActionEnvironment environment_{loop_, host_, services_};
};

TEST_F(NewActionTest, MakesTheActionThatIsMeant) {
  config::Responder restart;
  restart.mutable_restart_service()->set_service("nginx");
  EXPECT_EQ((*NewAction(restart, environment_))->id(), "RestartService");
  config::Responder reboot;
  reboot.mutable_reboot_server();
  EXPECT_EQ((*NewAction(reboot, environment_))->id(), "RebootServer");
  config::Responder offline;
  offline.mutable_take_offline()->set_component("web");
  EXPECT_EQ((*NewAction(offline, environment_))->id(), "TakeOffline");
  config::Responder online;
  online.mutable_bring_online()->set_component("web");
  EXPECT_EQ((*NewAction(online, environment_))->id(), "BringOnline");
  config::Responder run;
  run.mutable_run_command()->add_command("/bin/true");
  EXPECT_EQ((*NewAction(run, environment_))->id(), "RunCommand");
}

TEST_F(NewActionTest, RefusesAResponderWithoutAnAction) {
  EXPECT_EQ(CheckResponder({}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckResponder({}).message(), "action: the responder has no action");
  EXPECT_EQ(NewAction({}, environment_).status(), CheckResponder({}));
  EXPECT_EQ(ResponderTypeName({}), "Responder");
}

TEST_F(NewActionTest, RefusesWhatTheKindRefuses) {
  config::Responder offline;
  offline.mutable_take_offline();
  EXPECT_EQ(CheckResponder(offline).message(), "take_offline.component: names no component");
  config::Responder online;
  online.mutable_bring_online();
  EXPECT_EQ(CheckResponder(online).message(), "bring_online.component: names no component");
  config::Responder restart;
  restart.mutable_restart_service();
  EXPECT_EQ(CheckResponder(restart).message(), "restart_service.service: names no service");
  EXPECT_EQ(NewAction(restart, environment_).status(), CheckResponder(restart));
  config::Responder run;
  run.mutable_run_command();
  EXPECT_EQ(CheckResponder(run).message(), "run_command.command: the argv is empty");
}

}  // namespace
}  // namespace salve
