#include "responders/actions/fpm_config.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(FpmConfigFileTest, IsInTheMastersTitle) {
  EXPECT_EQ(FpmConfigFile("php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)"),
            "/etc/php/8.2/fpm/php-fpm.conf");
  EXPECT_EQ(FpmConfigFile("php-fpm: master process (php-fpm.conf)"), "");
  EXPECT_EQ(FpmConfigFile("php-fpm: master process (/etc/php-fpm.conf"), "");
  EXPECT_EQ(FpmConfigFile("php-fpm: pool www"), "");
  EXPECT_EQ(FpmConfigFile(""), "");
  EXPECT_EQ(FpmWorkerTitle("www"), "php-fpm: pool www");
}

TEST(FpmProcessControlTimeoutTest, IsZeroUnlessItIsSet) {
  EXPECT_EQ(FpmProcessControlTimeout(""), absl::ZeroDuration());
  EXPECT_EQ(FpmProcessControlTimeout("[global]\n;process_control_timeout = 10\n"),
            absl::ZeroDuration());
  EXPECT_EQ(FpmProcessControlTimeout("process_control_timeout_of_another = 10"),
            absl::ZeroDuration());
  EXPECT_EQ(FpmProcessControlTimeout("process_control_timeout = 0s"), absl::ZeroDuration());
  EXPECT_EQ(FpmProcessControlTimeout("process_control_timeout ="), absl::ZeroDuration());
  EXPECT_EQ(FpmProcessControlTimeout("process_control_timeout = soon"), absl::ZeroDuration());
  EXPECT_EQ(FpmProcessControlTimeout("process_control_timeout = -5"), absl::ZeroDuration());
  EXPECT_EQ(FpmProcessControlTimeout("process_control_timeout"), absl::ZeroDuration());
}

TEST(FpmProcessControlTimeoutTest, KnowsTheUnits) {
  EXPECT_EQ(FpmProcessControlTimeout("process_control_timeout = 10"), absl::Seconds(10));
  EXPECT_EQ(FpmProcessControlTimeout("\tprocess_control_timeout=10s ; enough\r\n"),
            absl::Seconds(10));
  EXPECT_EQ(FpmProcessControlTimeout("process_control_timeout = 2m"), absl::Minutes(2));
  EXPECT_EQ(FpmProcessControlTimeout("process_control_timeout = \"1h\""), absl::Hours(1));
  EXPECT_EQ(FpmProcessControlTimeout("process_control_timeout = '1d'"), absl::Hours(24));
}

TEST(FpmProcessControlTimeoutTest, TakesTheLastOne) {
  EXPECT_EQ(FpmProcessControlTimeout("process_control_timeout=5\nprocess_control_timeout=6"),
            absl::Seconds(6));
}

}  // namespace
}  // namespace salve
