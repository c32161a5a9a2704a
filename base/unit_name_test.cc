#include "base/unit_name.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(UnitNameTest, ABareNameIsAService) {
  EXPECT_EQ(UnitName("nginx"), "nginx.service");
  EXPECT_EQ(UnitName("php8.2-fpm"), "php8.2-fpm.service");
  EXPECT_EQ(UnitName("getty@tty1"), "getty@tty1.service");
}

TEST(UnitNameTest, ANameWithItsTypeIsLeftAsItIs) {
  EXPECT_EQ(UnitName("nginx.service"), "nginx.service");
  EXPECT_EQ(UnitName("docker.socket"), "docker.socket");
  EXPECT_EQ(UnitName("apt-daily.timer"), "apt-daily.timer");
}

TEST(IsUnitNameTest, TakesWhatSystemdTakes) {
  EXPECT_TRUE(IsUnitName("nginx"));
  EXPECT_TRUE(IsUnitName("dev-disk-by\\x2duuid.swap"));
  EXPECT_TRUE(IsUnitName("user@1000.service"));
}

TEST(IsUnitNameTest, RefusesWhatItDoesNot) {
  for (const char* wrong : {"", ".service", "nginx*", "a b", "/etc/init.d/nginx", "ng\xC3\xA4x"}) {
    EXPECT_FALSE(IsUnitName(wrong)) << wrong;
  }
}

TEST(IsUnitNameTest, TakesAtMost255Bytes) {
  EXPECT_TRUE(IsUnitName(std::string(247, 'a')));  // ".service" is eight more.
  EXPECT_FALSE(IsUnitName(std::string(248, 'a')));
  EXPECT_TRUE(IsUnitName(std::string(248, 'a') + ".socket"));
  EXPECT_FALSE(IsUnitName(std::string(249, 'a') + ".socket"));
}

}  // namespace
}  // namespace salve
