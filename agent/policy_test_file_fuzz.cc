// Whatever stands in a file of policy tests: it is refused with lines that name their place, or all
// that its cases name is there.
#include <string>

#include "absl/strings/string_view.h"
#include "agent/policy_test_file.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto no_files = [](const std::string& path) -> absl::StatusOr<std::string> {
    return absl::NotFoundError(path);
  };
  const auto file = salve::PolicyTestFile::Parse("fuzz.textproto", text, no_files);
  if (!file.ok()) {
    CHECK(!file.status().message().empty());
    return 0;
  }
  const salve::policytest::PolicyTest& test = (*file)->test();
  CHECK(test.case__size() > 0);
  for (int c = 0; c < test.case__size(); ++c) {
    CHECK((*file)->PlaceOf(c).starts_with("fuzz.textproto:"));
    for (const salve::policytest::Step& step : test.case_(c).step()) {
      CHECK(!step.has_see() || !(*file)->Probes(step.see().probe()).empty());
    }
  }
  return 0;
}
