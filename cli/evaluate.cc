// salvectl throttle evaluate: needs no agent.
#include "throttling/evaluate.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <ios>
#include <istream>
#include <ostream>
#include <streambuf>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/verbs.h"

namespace salve {
namespace {

// Puts a text before each line on its way to another stream.
class LinePrefixer : public std::streambuf {
 public:
  LinePrefixer(std::ostream& out, std::string prefix) : out_(out), prefix_(std::move(prefix)) {}

 protected:
  int_type overflow(int_type c) override {
    if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
    if (at_line_start_) out_ << prefix_;
    at_line_start_ = c == '\n';
    out_.put(traits_type::to_char_type(c));
    return c;
  }

 private:
  std::ostream& out_;
  const std::string prefix_;
  bool at_line_start_ = true;
};

struct EvaluationOptions {
  std::string policy;
  std::string queries;
  std::string overrides;
  std::string responders;
  std::string version;
};

absl::Status CannotRead(const std::string& path, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat("cannot read ", path, ": ", why));
}

absl::StatusOr<ExitStatus> Evaluate(Verb& verb, const EvaluationOptions& options) {
  EvaluateOptions evaluation;
  evaluation.policy_file = options.policy;
  evaluation.overrides_file = options.overrides;
  evaluation.responders_file = options.responders;
  evaluation.version = options.version;
  LinePrefixer prefixer(verb.err, "salvectl: throttle evaluate: ");
  std::ostream err(&prefixer);
  std::ifstream file;
  std::istream* queries = &verb.world.in;
  if (options.queries != "-") {
    file.open(options.queries);
    if (!file) return CannotRead(options.queries, strerror(errno));
    queries = &file;
  }
  try {
    return static_cast<ExitStatus>(EvaluateThrottle(evaluation, *queries, verb.output.out(), err));
  } catch (const std::ios_base::failure& failure) {  // A folder, a broken disk.
    return CannotRead(options.queries, failure.code().message().c_str());
  }
}

}  // namespace

void AddEvaluateVerb(CLI::App& throttle, Choice& choice) {
  AddVerb(throttle,
          {"evaluate", "What a policy would decide about given histories; needs no agent",
           "salvectl throttle evaluate --policy throttle.xml --queries queries.jsonl"},
          choice, Evaluate, [](CLI::App& verb, EvaluationOptions& options) {
            verb.add_option("--policy", options.policy, "The policy XML; no built-in defaults")
                ->required();
            verb.add_option("--queries", options.queries,
                            "One JSON object a line; '-' is standard input")
                ->required();
            CLI::Option* overrides =
                verb.add_option("--overrides", options.overrides, "The overrides XML");
            verb.add_option("--responders", options.responders,
                            "What the overrides are about, one JSON object a line")
                ->needs(overrides);
            verb.add_option("--version", options.version,
                            "Of the definitions: overrides of another version do not hold")
                ->needs(overrides);
          });
}

}  // namespace salve
