// The families of verbs, one line and one source file each. They add themselves to the tree of
// the command line; what is chosen at the end goes to `choice`.
#ifndef SALVE_CLI_VERBS_H_
#define SALVE_CLI_VERBS_H_

#include "cli/surroundings.h"
#include "cli/verb.h"

namespace salve {

// Beside each usage error of `recover`.
inline constexpr char kRecoverSyntax[] =
    "Syntax: salvectl recover [-l] [-e [-t AR|AF|UP]] [-r] [-d DIR]";

void AddHealthVerbs(CLI::App& salvectl, Choice& choice);
void AddProbeVerbs(CLI::App& salvectl, Choice& choice);  // And `notify`.
void AddMonitorVerbs(CLI::App& salvectl, Choice& choice);
void AddResponderVerbs(CLI::App& salvectl, Choice& choice);
void AddActionVerbs(CLI::App& salvectl, Choice& choice);
void AddComponentVerbs(CLI::App& salvectl, Choice& choice);
void AddActionsVerbs(CLI::App& salvectl, Choice& choice);
void AddMaintenanceVerbs(CLI::App& salvectl, Choice& choice);
void AddThrottleVerbs(CLI::App& salvectl, Choice& choice);
void AddEvaluateVerb(CLI::App& throttle, Choice& choice);  // Below `throttle`.
void AddGroupVerbs(CLI::App& salvectl, Choice& choice);
void AddOverrideVerbs(CLI::App& salvectl, Choice& choice);
void AddEventsVerb(CLI::App& salvectl, Choice& choice);
void AddExplainVerb(CLI::App& salvectl, Choice& choice);
void AddQueueVerbs(CLI::App& salvectl, Choice& choice, const Surroundings& world);
void AddQueueMessageVerbs(CLI::App& queue, Choice& choice);  // Below `queue`.
void AddQueueDbVerbs(CLI::App& queue, Choice& choice, const Surroundings& world);
void AddDeadVerbs(CLI::App& salvectl, Choice& choice);
void AddClusterVerbs(CLI::App& salvectl, Choice& choice);
void AddRecoverVerb(CLI::App& salvectl, Choice& choice, const Surroundings& world);
void AddConfigVerbs(CLI::App& salvectl, Choice& choice, const Surroundings& world);
void AddHealthSetVerbs(CLI::App& salvectl, Choice& choice, const Surroundings& world);
void AddTestVerb(CLI::App& salvectl, Choice& choice, const Surroundings& world);
void AddVersionVerb(CLI::App& salvectl, Choice& choice);
void AddCompletionVerb(CLI::App& salvectl, Choice& choice);

}  // namespace salve

#endif  // SALVE_CLI_VERBS_H_
