#include "config/item_faults.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "config/config.pb.h"
#include "config/schema.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

class ItemFaultsTest : public ::testing::Test {
 protected:
  ItemFaultsTest()
      : file_(TextFile::Parse("f", kText, "HealthSetFile", schema_, errors_)),
        faults_("probe 'P'", file_->root().In("health_set").In("probe"), errors_) {}

  std::string Errors() const { return std::string(errors_.ToStatus().message()); }

  static constexpr char kText[] = "health_set {\n  probe {\n    tcp { port: 7 } } }";
  const Schema schema_;
  ErrorList errors_;
  const std::unique_ptr<TextFile> file_;
  ItemFaults faults_;
};

TEST_F(ItemFaultsTest, AFaultHasThePlaceOfItsField) {
  EXPECT_FALSE(faults_.any());
  faults_.Add("tcp.port", "is odd");
  EXPECT_EQ(Errors(), "f:3:11: probe 'P': tcp.port: is odd");
  EXPECT_TRUE(faults_.any());
}

TEST_F(ItemFaultsTest, AFaultWithoutAFieldIsTheItems) {
  faults_.Add("", "is wrong");
  EXPECT_EQ(Errors(), "f:2:3: probe 'P': is wrong");
}

TEST_F(ItemFaultsTest, TheMessageOfAStatusBeginsWithItsPath) {
  faults_.Add(absl::OkStatus());
  EXPECT_FALSE(faults_.any());
  faults_.Add(absl::InvalidArgumentError("tcp.port: is: odd"));
  EXPECT_EQ(Errors(), "f:3:11: probe 'P': tcp.port: is: odd");
}

TEST_F(ItemFaultsTest, AStatusWithoutAPathIsTheItems) {
  faults_.Add(absl::InvalidArgumentError("Can't work: no"));
  faults_.Add(absl::InvalidArgumentError("broken"));
  EXPECT_EQ(Errors(), "f:2:3: probe 'P': Can't work: no\nf:2:3: probe 'P': broken");
}

TEST_F(ItemFaultsTest, AFaultIsOneLineAndNotLong) {
  faults_.Add("", absl::StrCat("a\nb", std::string(2000, 'x')));
  EXPECT_EQ(Errors(), absl::StrCat("f:2:3: probe 'P': a b", std::string(997, 'x')));
}

TEST_F(ItemFaultsTest, SilentFaultsAreNoticedAndNotTold) {
  ItemFaults silent("x", file_->root(), errors_, /*silent=*/true);
  silent.Add("", "is wrong");
  EXPECT_TRUE(silent.any());
  EXPECT_TRUE(errors_.empty());
}

TEST_F(ItemFaultsTest, AMissingMemberOfAOneofIsToldWithAllThatMayBe) {
  config::Coordinator coordinator;
  faults_.CheckHasOne(coordinator, "kind");
  EXPECT_EQ(Errors(), "f:2:3: probe 'P': needs one of local, etcd");
  coordinator.mutable_local();
  faults_.CheckHasOne(coordinator, "kind");
  EXPECT_EQ(errors_.count(), 1u);
}

}  // namespace
}  // namespace salve
