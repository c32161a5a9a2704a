#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "gtest/gtest.h"
#include "monitors/rule.h"

namespace salve {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::OneofDescriptor;

const OneofDescriptor& Kinds() { return *config::Monitor::descriptor()->FindOneofByName("kind"); }

// A monitor of that kind, all at its defaults.
config::Monitor Default(const FieldDescriptor& field) {
  config::Monitor config;
  config.GetReflection()->MutableMessage(&config, &field);
  return config;
}

TEST(MonitorRegistryTest, EveryKindOfTheConfigurationIsThere) {
  ASSERT_GE(Kinds().field_count(), 8);
  for (int i = 0; i < Kinds().field_count(); ++i) {
    const FieldDescriptor& field = *Kinds().field(i);
    EXPECT_TRUE(HasMonitorKind(field.number()))
        << field.name() << " has no line in monitors/registry.cc";
    const absl::StatusOr<std::unique_ptr<Rule>> rule = NewRule(Default(field));
    ASSERT_TRUE(rule.ok()) << field.name() << ": " << rule.status();
    EXPECT_FALSE((*rule)->Holds()) << field.name();
  }
}

TEST(MonitorRegistryTest, NamesAreThoseOfTheConfigurationInCamelCase) {
  for (int i = 0; i < Kinds().field_count(); ++i) {
    const FieldDescriptor& field = *Kinds().field(i);
    std::string name = field.camelcase_name() + "Monitor";
    name[0] = static_cast<char>(name[0] - 'a' + 'A');
    EXPECT_EQ(MonitorTypeName(Default(field)), name);
  }
}

TEST(MonitorRegistryTest, OtherFieldsAreNoKind) {
  EXPECT_FALSE(HasMonitorKind(config::Monitor::kNameFieldNumber));
  EXPECT_FALSE(HasMonitorKind(0));
}

TEST(MonitorRegistryTest, AMonitorWithoutARuleIsRefused) {
  EXPECT_EQ(CheckMonitor({}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckMonitor({}).message(), "kind: the monitor has no rule");
  EXPECT_EQ(NewRule({}).status(), CheckMonitor({}));
  EXPECT_EQ(MonitorTypeName({}), "Monitor");
}

TEST(MonitorRegistryTest, ChecksReachTheirKind) {
  config::Monitor config;
  config.mutable_consecutive_failures()->set_threshold(1001);
  EXPECT_EQ(CheckMonitor(config).message().substr(0, 20), "consecutive_failures");
  EXPECT_EQ(NewRule(config).status(), CheckMonitor(config));
  config.mutable_failure_count()->set_window("soon");
  EXPECT_EQ(CheckMonitor(config).message().substr(0, 13), "failure_count");
  config.mutable_percent_success()->set_minimum(101);
  EXPECT_EQ(CheckMonitor(config).message().substr(0, 15), "percent_success");
  config.mutable_value_above()->set_samples(1001);
  EXPECT_EQ(CheckMonitor(config).message().substr(0, 11), "value_above");
  config.mutable_value_below()->set_samples(1001);
  EXPECT_EQ(CheckMonitor(config).message().substr(0, 11), "value_below");
  config.mutable_flapping()->set_changes(1);
  EXPECT_EQ(CheckMonitor(config).message().substr(0, 8), "flapping");
}

}  // namespace
}  // namespace salve
