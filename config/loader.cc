#include "config/loader.h"

#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status_macros.h"
#include "config/agent.h"
#include "config/dependencies.h"
#include "config/errors.h"
#include "config/health_set.h"
#include "config/schema.h"
#include "config/source.h"
#include "config/text_file.h"

namespace salve {
namespace {

// The message of `file` in the generated type, which has the same wire format.
template <typename Typed>
Typed ToTyped(const TextFile& file) {
  Typed typed;
  CHECK(typed.ParseFromString(file.message().SerializeAsString()));
  return typed;
}

}  // namespace

absl::StatusOr<Configuration> ParseConfiguration(ConfigurationSource source,
                                                 const LoadOptions& options) {
  const Schema schema;
  ErrorList errors;
  const std::unique_ptr<TextFile> agent =
      TextFile::Parse(source.agent.name, source.agent.text, "Agent", schema, errors);
  std::vector<std::unique_ptr<TextFile>> files;
  for (const SourceFile& file : source.health_sets) {
    files.push_back(TextFile::Parse(file.name, file.text, "HealthSetFile", schema, errors));
  }
  // Half a file would make names unknown that are there.
  RETURN_IF_ERROR(errors.ToStatus());

  Configuration configuration;
  configuration.agent =
      ReadAgent(ToTyped<config::Agent>(*agent), agent->root(), options.host_name, errors);
  HealthSetReader reader(
      {.checks = options.checks, .found = options.found, .agent = configuration.agent.config},
      errors);
  std::vector<DeclaredDependencies> declared;
  for (const std::unique_ptr<TextFile>& file : files) {
    const auto sets = ToTyped<config::HealthSetFile>(*file);
    for (int i = 0; i < sets.health_set_size(); ++i) {
      const Place place = file->root().In("health_set", i);
      configuration.health_sets.push_back(reader.Read(sets.health_set(i), place));
      const HealthSetDefinition& set = configuration.health_sets.back();
      declared.push_back({set.name, set.depends_on, place});
    }
  }
  CheckDependencies(declared, errors);
  // Names of monitors are known only when nothing else is wrong.
  if (errors.empty()) reader.CheckTogether(configuration.health_sets);
  RETURN_IF_ERROR(errors.ToStatus());
  configuration.source = std::move(source);
  return configuration;
}

absl::StatusOr<Configuration> LoadConfiguration(const std::string& dir,
                                                const LoadOptions& options) {
  ConfigurationSource source;
  ASSIGN_OR_RETURN(source, ReadConfigurationSource(dir));
  Configuration configuration;
  ASSIGN_OR_RETURN(configuration, ParseConfiguration(std::move(source), options));
  configuration.throttle_policy_file = ThrottlePolicyFileIn(dir);
  return configuration;
}

}  // namespace salve
