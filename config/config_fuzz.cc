// Whatever the text: the loader ends, and refuses with lines that name a place, or accepts and
// then shows a configuration that loads as the same again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "config/definition.h"
#include "config/effective.h"
#include "config/loader.h"

namespace {

constexpr size_t kLinesMax = 20;

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckError(const absl::Status& status) {
  const std::vector<std::string> lines = absl::StrSplit(status.message(), '\n');
  Require(status.code() == absl::StatusCode::kInvalidArgument);
  Require(lines.size() <= kLinesMax);
  for (const std::string& line : lines) {
    Require(absl::StartsWith(line, "salve.textproto:") || absl::StartsWith(line, "f.textproto:") ||
            absl::StartsWith(line, "... and "));
  }
}

}  // namespace

// The first byte chooses: 'A' is an agent's file, anything else begins health sets.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  const bool is_agent = !text.empty() && text[0] == 'A';
  salve::ConfigurationSource source;
  source.agent = {"salve.textproto", is_agent ? text.substr(1) : ""};
  if (!is_agent) source.health_sets = {{"f.textproto", text}};

  const salve::LoadOptions options{.host_name = "host"};
  const auto configuration = salve::ParseConfiguration(source, options);
  if (!configuration.ok()) {
    CheckError(configuration.status());
    return 0;
  }
  const std::string effective = salve::EffectiveConfigText(*configuration);
  (is_agent ? source.agent : source.health_sets[0]).text =
      is_agent ? effective : effective.substr(effective.find("\n# conf.d/") + 1);
  const auto again = salve::ParseConfiguration(source, options);
  Require(again.ok());
  Require(again->health_sets.size() == configuration->health_sets.size());
  return 0;
}
