#include "probes/file_probe.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/uv_loop.h"

namespace salve {
namespace {

using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Pair;

class FileProbeTest : public ::testing::Test {
 protected:
  FileProbeTest() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    config_.set_path(Path("a.log"));
  }
  std::string Path(const std::string& name) const { return root_ + "/" + name; }
  void Write(const std::string& name, const std::string& content,
             absl::Duration age = absl::ZeroDuration()) {
    std::ofstream(Path(name)) << content;
    const timespec when = absl::ToTimespec(loop_.clock().WallNow() - age);
    const timespec times[2] = {when, when};
    ASSERT_EQ(utimensat(AT_FDCWD, Path(name).c_str(), times, 0), 0);
  }
  std::unique_ptr<Probe> Make() {
    auto probe = NewFileProbe(config_, loop_, blocking_);
    EXPECT_TRUE(probe.ok()) << probe.status();
    return *std::move(probe);
  }
  Observation Look() {
    std::optional<Observation> seen;
    const auto probe = Make();
    probe->Start(loop_.Now() + absl::Seconds(20), [&](Observation o) {
      seen = std::move(o);
      loop_.Stop();
    });
    loop_.Run();
    return seen.value_or(Observation{});
  }
  static std::optional<double> Value(const Observation& seen, const std::string& name) {
    for (const ProbeValue& value : seen.values) {
      if (value.name == name) return value.number;
    }
    return std::nullopt;
  }
  std::string Fault() const { return std::string(CheckFileProbe(config_).message()); }

  const std::string root_ = absl::StrCat(
      ::testing::TempDir(), "/", ::testing::UnitTest::GetInstance()->current_test_info()->name());
  UvLoop loop_;
  BlockingCalls blocking_{loop_};
  config::FileProbe config_;
};

TEST_F(FileProbeTest, PassesWhenTheFileIsThere) {
  EXPECT_EQ(Look().error, absl::StrCat("there is no file ", Path("a.log")));
  Write("a.log", "12345", absl::Hours(1));
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_EQ(Value(seen, "size_bytes"), 5);
  EXPECT_GE(Value(seen, "age_seconds"), 3599);
  EXPECT_LT(Value(seen, "age_seconds"), 3700);
  EXPECT_EQ(Value(seen, "files"), std::nullopt);
}

TEST_F(FileProbeTest, TellsThePathThatFailed) {
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_THAT(seen.attributes, Contains(Pair("path", Path("a.log"))));
}

TEST_F(FileProbeTest, PassesWhenTheFileMustNotExistAndDoesNot) {
  config_.set_must_not_exist(true);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Write("a.log", "");
  EXPECT_EQ(Look().error, Path("a.log") + " is there");
  std::filesystem::remove(Path("a.log"));
  std::filesystem::create_symlink("nowhere", Path("a.log"));
  EXPECT_EQ(Look().outcome, Outcome::kFailed) << "a link that leads nowhere";
  config_.set_path(Path("no/such/*"));
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(FileProbeTest, FailsWhenItIsTooOld) {
  Write("a.log", "", absl::Minutes(59));
  config_.set_max_age("1h");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Write("a.log", "", absl::Minutes(61));
  EXPECT_THAT(Look().error, EndsWith("a.log is 1h1m old, expected at most 1h"));
}

TEST_F(FileProbeTest, FailsWhenItIsTooYoung) {
  config_.set_min_age("1h");
  Write("a.log", "", absl::Minutes(61));
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Write("a.log", "", absl::Minutes(59));
  EXPECT_THAT(Look().error, MatchesRegex(".*a.log is 59m[0-9]*s? old, expected at least 1h"));
  Write("a.log", "", -absl::Hours(5));
  EXPECT_THAT(Look().error, EndsWith("a.log is 0s old, expected at least 1h"));
}

TEST_F(FileProbeTest, FailsBeyondBothBoundsOfItsSizeAndNotAtThem) {
  config_.set_min_bytes(3);
  config_.set_max_bytes(4);
  for (const char* content : {"123", "1234"}) {
    Write("a.log", content);
    EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  }
  Write("a.log", "12");
  EXPECT_THAT(Look().error, EndsWith("a.log has 2 bytes, expected at least 3"));
  Write("a.log", "12345");
  EXPECT_THAT(Look().error, EndsWith("a.log has 5 bytes, expected at most 4"));
}

TEST_F(FileProbeTest, MatchesItsContent) {
  Write("a.log", "state: ok\n");
  config_.set_content_match("(?m)^state: ok$");
  config_.set_content_not_match("broken");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Write("a.log", "state: broken\n");
  EXPECT_EQ(Look().error,
            absl::StrCat(Path("a.log"), " (14 bytes) does not match '(?m)^state: ok$'; ",
                         Path("a.log"), " matches 'broken'"));
}

TEST_F(FileProbeTest, ReadsNoMoreThanItsBound) {
  Write("a.log", std::string(65'533, 'x') + "end");
  config_.set_content_match("end");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Write("a.log", std::string(65'534, 'x') + "end");
  EXPECT_THAT(Look().error, HasSubstr("(65536 bytes) does not match"));
  config_.set_content_bytes_max(65'537);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(FileProbeTest, DoesNotOpenWhatIsNoRegularFile) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  config_.set_path(Path("pipe"));
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded) << "it is there";
  config_.set_content_match("x");
  EXPECT_EQ(Look().error, Path("pipe") + " is no regular file");
  config_.set_path(root_);
  EXPECT_EQ(Look().error, root_ + " is no regular file");
}

TEST_F(FileProbeTest, LooksAtAllThatMatchAPattern) {
  config_.set_path(Path("*.log"));
  EXPECT_EQ(Look().error, absl::StrCat("no file matches ", Path("*.log")));
  Write("a.log", "1", absl::Hours(5));
  Write("b.log", "22", absl::Hours(2));
  Write(".hidden.log", "333");
  Write("c.txt", "4444");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded);
  EXPECT_EQ(Value(seen, "files"), 2);
  EXPECT_EQ(Value(seen, "size_bytes"), 3);
  EXPECT_LT(Value(seen, "age_seconds"), 7300);
}

TEST_F(FileProbeTest, WithAPatternTheYoungestMustBeYoungAndEachLarge) {
  config_.set_path(Path("?.log"));
  config_.set_max_age("3h");
  config_.set_min_bytes(2);
  Write("a.log", "11", absl::Hours(5));
  Write("b.log", "22", absl::Hours(2));
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Write("b.log", "2", absl::Hours(4));
  const Observation seen = Look();
  EXPECT_EQ(seen.error, absl::StrCat(Path("b.log"), " has 1 bytes, expected at least 2; ",
                                     Path("b.log"), " is 4h old, expected at most 3h"));
  EXPECT_THAT(seen.attributes, Contains(Pair("path", Path("b.log"))));
}

TEST_F(FileProbeTest, AThousandMayMatchAndNotOneMore) {
  config_.set_path(Path("f[0-9]*"));
  for (int i = 0; i < 1000; ++i) Write(absl::StrCat("f", i), "");
  EXPECT_EQ(Value(Look(), "files"), 1000);
  Write("f1000", "");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_THAT(seen.error, EndsWith("f[0-9]*: more than 1000 files match"));
}

TEST_F(FileProbeTest, NamesSomeOfManyThatFail) {
  config_.set_path(Path("f*"));
  config_.set_min_bytes(1);
  for (int i = 100; i < 200; ++i) Write(absl::StrCat("f", i), "");
  const Observation seen = Look();
  EXPECT_THAT(seen.error, HasSubstr("f100 has 0 bytes"));
  EXPECT_LE(seen.error.size(), kErrorBytesMax);
}

TEST_F(FileProbeTest, WhatMayNotBeSeenIsRejected) {
  if (geteuid() == 0) GTEST_SKIP() << "root sees everything";
  Write("a.log", "");
  config_.set_content_match("x");
  ASSERT_EQ(chmod(Path("a.log").c_str(), 0), 0);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, Path("a.log") + ": Permission denied");
}

TEST_F(FileProbeTest, ALoopOfLinksFails) {
  std::filesystem::create_symlink("a.log", Path("a.log"));
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, Path("a.log") + ": Too many levels of symbolic links");
}

TEST_F(FileProbeTest, IsSilentWhenItEndsDuringALook) {
  auto probe = Make();
  probe->Start(loop_.Now() + absl::Seconds(20), [](Observation) { ADD_FAILURE(); });
  probe.reset();
  loop_.CallAfter(absl::Milliseconds(20), [this] { loop_.Stop(); });
  loop_.Run();
}

TEST_F(FileProbeTest, ChecksItsPath) {
  config_.set_path("a");
  EXPECT_EQ(Fault(), "file.path: 'a' is no full path");
  config_.set_path("/a/");
  EXPECT_EQ(Fault(), "file.path: '/a/' names no file");
  config_.set_path("/a*/b");
  EXPECT_EQ(Fault(), "file.path: '/a*/b': * ? and [ ] are for its last part only");
  config_.set_path("/a/b*");
  EXPECT_EQ(Fault(), "");
}

TEST_F(FileProbeTest, ChecksItsBounds) {
  config_.set_max_age("0s");
  EXPECT_EQ(Fault(), "file.max_age: 0s is not in [1s, 87600h]");
  config_.set_max_age("1h");
  config_.set_min_age("2h");
  EXPECT_EQ(Fault(), "file.max_age: 1h is less than min_age 2h");
  config_.set_min_age("x");
  EXPECT_EQ(Fault(), "file.min_age: 'x' is not a duration like \"10s\"");
  config_.clear_min_age();
  config_.set_min_bytes(5);
  config_.set_max_bytes(4);
  EXPECT_EQ(Fault(), "file.max_bytes: 4 is less than min_bytes 5");
  config_.clear_max_bytes();
  config_.set_content_bytes_max(1 << 20);
  EXPECT_EQ(Fault(), "");
  config_.set_content_bytes_max((1 << 20) + 1);
  EXPECT_EQ(Fault(), "file.content_bytes_max: 1048577 is not in [1, 1048576]");
  config_.clear_content_bytes_max();
  config_.set_content_match("(");
  EXPECT_THAT(Fault(), HasSubstr("file.content_match: missing )"));
  config_.set_content_match("");
  config_.set_content_not_match("(");
  EXPECT_THAT(Fault(), HasSubstr("file.content_not_match: missing )"));
}

}  // namespace
}  // namespace salve
