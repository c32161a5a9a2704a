// The language by its cases: each file of testdata/refused has the error that it must give in its
// first lines, each of testdata/accepted and each example of docs/CONFIG.md loads. A rule has its
// case here; both edges of a range are in accepted, and one step beyond is in refused.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "config/config.pb.h"
#include "config/loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string ReadText(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream.is_open()) << path;
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// The kinds' checks belong to other folders: these stand in, for the places that they name.
KindChecks ChecksOfTheTest() {
  KindChecks checks;
  checks.probe = [](const config::Probe& probe) {
    if (probe.tcp().port() > 65535) {
      return absl::InvalidArgumentError(
          absl::StrCat("tcp.port: ", probe.tcp().port(), " is not in [1, 65535]"));
    }
    for (int i = 0; i < probe.http().expected_status_size(); ++i) {
      if (probe.http().expected_status(i).size() == 3) continue;
      return absl::InvalidArgumentError(absl::StrCat("http.expected_status[", i, "]: no status"));
    }
    if (probe.tcp().host() == "nowhere") return absl::InvalidArgumentError("that: can't\nwork");
    return absl::OkStatus();
  };
  checks.monitor = [](const config::Monitor& monitor) {
    if (monitor.consecutive_failures().threshold() <= 1000) return absl::OkStatus();
    return absl::InvalidArgumentError("consecutive_failures.threshold: too large");
  };
  checks.responder = [](const config::Responder& responder) {
    if (!responder.has_run_command() || responder.run_command().command_size() > 0) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError("run_command.command: is needed");
  };
  return checks;
}

LoadOptions OptionsOfTheTest() { return {.host_name = "web-1", .checks = ChecksOfTheTest()}; }

ConfigurationSource SourceOf(bool is_agent, const std::string& name, const std::string& text) {
  ConfigurationSource source;
  // What the cases and examples of health sets name.
  source.agent = {is_agent ? name : "salve.textproto",
                  is_agent ? text : "component { name: \"web\" }"};
  if (!is_agent) source.health_sets = {{name, text}};
  return source;
}

std::vector<fs::path> FilesOf(const std::string& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The first lines of a case, `# error: 3:5: …`, are the error that it must give.
std::string ExpectedError(const std::string& name, const std::string& text) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, "# error: ")) break;
    lines.push_back(absl::StrCat(name, ":", line));
  }
  return absl::StrJoin(lines, "\n");
}

class RefusedTest : public ::testing::TestWithParam<fs::path> {};

TEST_P(RefusedTest, WithTheErrorInItsFirstLines) {
  const std::string name = GetParam().filename();
  const std::string text = ReadText(GetParam());
  const bool is_agent = GetParam().parent_path().filename() == "agent";
  const auto status =
      ParseConfiguration(SourceOf(is_agent, name, text), OptionsOfTheTest()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()), ExpectedError(name, text));
}

std::string TestName(const ::testing::TestParamInfo<fs::path>& info) { return info.param.stem(); }

INSTANTIATE_TEST_SUITE_P(HealthSet, RefusedTest,
                         ::testing::ValuesIn(FilesOf("config/testdata/refused")), TestName);
INSTANTIATE_TEST_SUITE_P(Agent, RefusedTest,
                         ::testing::ValuesIn(FilesOf("config/testdata/refused/agent")), TestName);

class AcceptedTest : public ::testing::TestWithParam<fs::path> {};

TEST_P(AcceptedTest, Loads) {
  const std::string text = ReadText(GetParam());
  const bool is_agent = absl::StartsWith(GetParam().filename().string(), "agent_");
  const auto configuration =
      ParseConfiguration(SourceOf(is_agent, "f.textproto", text), OptionsOfTheTest());
  EXPECT_TRUE(configuration.ok()) << configuration.status();
}

INSTANTIATE_TEST_SUITE_P(All, AcceptedTest,
                         ::testing::ValuesIn(FilesOf("config/testdata/accepted")), TestName);

// --- docs/CONFIG.md.

// The blocks fenced by ```textproto. One that begins with `# salve.textproto` is the agent's.
std::vector<std::string> ExamplesOf(const std::string& markdown) {
  std::vector<std::string> examples;
  bool inside = false;
  for (absl::string_view line : absl::StrSplit(markdown, '\n')) {
    if (line == "```textproto") {
      examples.emplace_back();
      inside = true;
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      absl::StrAppend(&examples.back(), line, "\n");
    }
  }
  return examples;
}

TEST(ConfigMdTest, EveryExampleLoads) {
  const std::vector<std::string> examples = ExamplesOf(ReadText("docs/CONFIG.md"));
  ASSERT_GE(examples.size(), 20u);
  for (const std::string& example : examples) {
    const bool is_agent = absl::StartsWith(example, "# salve.textproto\n");
    const auto configuration =
        ParseConfiguration(SourceOf(is_agent, "f.textproto", example), OptionsOfTheTest());
    EXPECT_TRUE(configuration.ok()) << example << configuration.status();
  }
}

// From the heading of `message` to the next one.
std::string SectionOf(const std::string& markdown, const std::string& message) {
  const std::string heading = absl::StrCat("\n### `", message, "`\n");
  const size_t begin = markdown.find(heading);
  if (begin == std::string::npos) return "";
  const size_t end = markdown.find("\n##", begin + heading.size());
  return markdown.substr(begin, end - begin);
}

TEST(ConfigMdTest, EveryFieldOfEveryMessageHasItsLine) {
  const std::string markdown = ReadText("docs/CONFIG.md");
  const auto* file = config::Agent::descriptor()->file();
  for (int m = 0; m < file->message_type_count(); ++m) {
    const auto* message = file->message_type(m);
    const std::string section = SectionOf(markdown, message->name());
    EXPECT_NE(section, "") << message->name();
    EXPECT_THAT(section, HasSubstr("```textproto\n")) << message->name();
    for (int f = 0; f < message->field_count(); ++f) {
      EXPECT_THAT(section, HasSubstr(absl::StrCat("\n| `", message->field(f)->name(), "` |")));
    }
  }
}

}  // namespace
}  // namespace salve
