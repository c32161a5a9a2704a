#include "probes/registry.h"

#include <gtest/gtest.h>

namespace salve {
namespace {

TEST(ProbeRegistryTest, KnowsEveryKindInTheSchema) {
  const auto* kinds = config::Probe::descriptor()->FindOneofByName("kind");
  ASSERT_NE(kinds, nullptr);
  for (int i = 0; i < kinds->field_count(); ++i) {
    EXPECT_TRUE(HasProbeKind(kinds->field(i)->number())) << kinds->field(i)->name();
  }
  EXPECT_FALSE(HasProbeKind(1));
}

TEST(ProbeRegistryTest, NamesAKindAsItsMessage) {
  const auto* kinds = config::Probe::descriptor()->FindOneofByName("kind");
  for (int i = 0; i < kinds->field_count(); ++i) {
    config::Probe config;
    config.GetReflection()->MutableMessage(&config, kinds->field(i));
    EXPECT_EQ(ProbeTypeName(config), kinds->field(i)->message_type()->name());
  }
  EXPECT_EQ(ProbeTypeName(config::Probe()), "");
}

TEST(ProbeRegistryTest, PutsTheKindBeforeTheFieldInItsErrors) {
  config::Probe config;
  config.mutable_tcp()->set_port(70000);
  EXPECT_EQ(CheckProbe(config).message(), "tcp.port: 70000 is not in [1, 65535]");
  EXPECT_EQ(CheckProbe(config).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ProbeRegistryTest, RefusesAProbeWithoutAKind) {
  EXPECT_EQ(CheckProbe(config::Probe()).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace salve
