// salvectl test: needs no agent.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "config/policy_test.pb.h"

namespace salve {
namespace {

struct TestOptions {
  std::vector<std::string> files;
};

void PrintStory(const policytest::CaseReport& one, Verb& verb) {
  verb.output.out() << "        the story:\n";
  Table table = Table({"", "", ""}, {.header = false});
  for (const policytest::StoryLine& line : one.story()) {
    table.AddRow({"         ", absl::StrCat("+", line.at()), line.text()});
  }
  table.Flush(verb.output.out());
}

void PrintCase(const policytest::CaseReport& one, Verb& verb) {
  verb.output.out() << (one.passed() ? "  ok    " : "  FAIL  ") << Printable(one.name()) << " ("
                    << Printable(one.simulated()) << ")\n";
  for (const policytest::Failure& failure : one.failure()) {
    verb.output.out() << "        " << Printable(failure.place()) << ": at +"
                      << Printable(failure.at()) << ": " << Printable(failure.text()) << "\n";
  }
  if (!one.passed() && one.story_size() > 0) PrintStory(one, verb);
}

void PrintReport(const policytest::Report& report, Verb& verb) {
  verb.output.out() << Printable(report.file());
  if (report.name() != report.file()) verb.output.out() << ": " << Printable(report.name());
  verb.output.out() << "\n";
  for (const policytest::CaseReport& one : report.case_()) PrintCase(one, verb);
}

void PrintFaults(const absl::Status& status, Verb& verb) {
  for (absl::string_view line : absl::StrSplit(status.message(), '\n', absl::SkipEmpty())) {
    verb.err << "salvectl: test: " << Printable(line) << "\n";
  }
  verb.err.flush();
}

// A file with faults keeps none of the others from running.
absl::StatusOr<ExitStatus> RunTests(Verb& verb, const TestOptions& options) {
  policytest::Reports reports;
  int passed = 0;
  int failed = 0;
  int faulty = 0;
  for (const std::string& file : options.files) {
    absl::StatusOr<policytest::Report> report = verb.world.run_policy_test(file);
    if (!report.ok()) {
      ++faulty;
      PrintFaults(report.status(), verb);
      continue;
    }
    passed += report->passed();
    failed += report->failed();
    if (verb.output.is_table()) {
      PrintReport(*report, verb);
      verb.output.out().flush();  // The next file may take a while.
    } else {
      *reports.add_report() = *std::move(report);
    }
  }
  if (verb.output.is_table()) {
    verb.output.out() << passed << " passed, " << failed << " failed";
    if (faulty > 0) {
      verb.output.out() << ", " << faulty << (faulty == 1 ? " file" : " files") << " with faults";
    }
    verb.output.out() << "\n";
  } else {
    verb.output.PrintList(reports, reports.report());
  }
  if (faulty > 0) return ExitStatus::kUsage;
  return failed > 0 ? ExitStatus::kUnhealthy : ExitStatus::kDone;
}

}  // namespace

void AddTestVerb(CLI::App& salvectl, Choice& choice, const Surroundings& world) {
  if (!world.run_policy_test) return;
  AddVerb(
      salvectl,
      {"test", "Runs policy tests: what the agent would do, on a simulated clock; needs no agent",
       "salvectl test web_test.textproto"},
      choice, RunTests, [](CLI::App& verb, TestOptions& options) {
        verb.add_option("FILE", options.files, "Files of tests (docs/POLICY_TESTS.md)")->required();
      });
}

}  // namespace salve
