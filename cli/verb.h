// What every verb is made of: a place in the tree of the command line, and a function to run
// once the whole line has been read.
#ifndef SALVE_CLI_VERB_H_
#define SALVE_CLI_VERB_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/surroundings.h"

namespace salve {

// What a verb works with.
struct Verb {
  const Surroundings& world;
  Session& agent;
  Output& output;
  std::ostream& err;  // For errors that do not end the verb.

  absl::Time now() const { return world.clock.WallNow(); }
};

// An error is printed as `salvectl: VERB: message`; a Status without one of the agreed codes is
// an internal error. kUnavailable and kDeadlineExceeded are about the agent.
using VerbFunction = std::function<absl::StatusOr<ExitStatus>(Verb&)>;

// The verb that the command line chose, with its options bound.
struct Choice {
  std::string name;  // "throttle check"
  VerbFunction run;
};

// Text of the help of one verb. Every verb has an example.
struct VerbHelp {
  std::string name;
  std::string description;
  std::string example;
};

// Adds a verb, or a family of verbs, below `parent`.
CLI::App* AddVerb(CLI::App& parent, const VerbHelp& help);

// Adds a family: one of its verbs must follow.
CLI::App* AddFamily(CLI::App& parent, const VerbHelp& help);

// Adds a verb that runs `run(verb, options)`; `bind(app, options)` adds its options. They live as
// long as the tree does.
template <typename Options, typename Bind>
void AddVerb(CLI::App& parent, const VerbHelp& help, Choice& choice,
             absl::StatusOr<ExitStatus> (*run)(Verb&, const Options&), const Bind& bind) {
  CLI::App* verb = AddVerb(parent, help);
  auto options = std::make_shared<Options>();
  bind(*verb, *options);
  std::string name = help.name;
  for (const CLI::App* above = &parent; above->get_parent() != nullptr;
       above = above->get_parent()) {
    name = above->get_name() + " " + name;
  }
  verb->callback([&choice, name, run, options] {
    choice = {name, [run, options](Verb& verb) { return run(verb, *options); }};
  });
}

// A verb without options of its own.
struct NoOptions {};
inline void BindNothing(CLI::App&, NoOptions&) {}

// Accepts the given words in any case and makes them the given ones; the error names the nearest.
CLI::Validator OneOf(std::vector<std::string> words);

}  // namespace salve

#endif  // SALVE_CLI_VERB_H_
