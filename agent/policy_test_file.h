// PolicyTestFile: a file of policy tests, read with the health sets and the throttle policy that it
// is about, and checked so far that its cases can run.
#ifndef SALVE_AGENT_POLICY_TEST_FILE_H_
#define SALVE_AGENT_POLICY_TEST_FILE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "config/definition.h"
#include "config/policy_test.pb.h"
#include "config/schema.h"
#include "config/text_file.h"
#include "throttling/policy.h"

namespace salve {

// Bounds of a case.
inline constexpr int kPolicyCasesMax = 1000;
inline constexpr int kPolicyStepsMax = 1000;
inline constexpr absl::Duration kPolicyTimeMax = absl::Hours(744);

class PolicyTestFile {
 public:
  // Blocks on the files. Errors: kInvalidArgument: one line for each fault, at most 20,
  //   `file:line:column: message`, with the nearest names of what is not known; kNotFound,
  //   kPermissionDenied, kUnavailable: a file can't be read.
  static absl::StatusOr<std::unique_ptr<PolicyTestFile>> Read(const std::string& path);
  // The same of a text that stands in `path`; what it names is read by `read`.
  using ReadText = std::function<absl::StatusOr<std::string>(const std::string& path)>;
  static absl::StatusOr<std::unique_ptr<PolicyTestFile>> Parse(const std::string& path,
                                                               std::string text,
                                                               const ReadText& read);

  const policytest::PolicyTest& test() const { return test_; }
  const Configuration& configuration() const { return configuration_; }
  const Policy& policy() const { return policy_; }

  // "file:line:column" of a case, or of what stands at `path` in one of its steps.
  std::string PlaceOf(int case_index) const;
  std::string PlaceOf(int case_index, int step_index, absl::string_view path) const;

  // The full names of probes, and the names of responders, that `glob` means: at least one.
  std::vector<std::string> Probes(absl::string_view glob) const;
  std::vector<std::string> Responders(absl::string_view glob) const;

 private:
  PolicyTestFile(std::string path, std::string text)
      : path_(std::move(path)), text_(std::move(text)) {}
  absl::Status ReadTest();
  absl::Status ReadConfigured(const ReadText& read);
  absl::Status NotReadyMade(const std::string& name, const absl::Status& why) const;
  absl::Status ReadLimits(const ReadText& read);
  std::string PathOf(const std::string& relative) const;

  const std::string path_;
  const std::string text_;
  const Schema schema_{*policytest::PolicyTest::descriptor()->file()};
  std::unique_ptr<TextFile> file_;
  policytest::PolicyTest test_;
  Configuration configuration_;
  Policy policy_;
};

// Whether `name` is what `glob` means: * is any text, ? any character.
bool MatchesGlob(absl::string_view glob, absl::string_view name);

// A duration that was checked; of an empty text, or one that is none, `otherwise`.
absl::Duration DurationOr(const std::string& text, absl::Duration otherwise);

}  // namespace salve

#endif  // SALVE_AGENT_POLICY_TEST_FILE_H_
