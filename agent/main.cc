#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "agent/configuration.h"
#include "agent/daemon.h"
#include "base/version.h"

int main(int argc, char** argv) {
  salve::DaemonOptions options;
  bool check = false;
  bool version = false;
  CLI::App app("The agent of Salve: watches this server, and heals it within its limits.");
  app.add_option("--config-dir", options.config_dir, "Configuration folder")->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "State folder")->capture_default_str();
  app.add_option("--socket", options.socket,
                 "Serve this one Unix socket (mode 0600) instead of the two in /run/salve");
  salve::SetRunOptions recover;
  std::vector<std::string> types;
  CLI::Option* set = app.add_option("--recover-set", recover.dir,
                                    "Work on this crash set and exit: for salvectl recover");
  app.add_flag("--execute", recover.execute, "With --recover-set: what was pending")->needs(set);
  app.add_option("--types", types, "With --execute: only these")
      ->delimiter(',')
      ->check(CLI::IsMember({"AF", "AR", "UP"}))
      ->needs(set);
  app.add_flag("--recover", recover.recover, "With --recover-set: what was in flight")->needs(set);
  app.add_flag("--check", check, "Check the configuration and exit: 0 good, 2 refused");
  app.add_flag("--accept-ledger-loss", options.accept_ledger_loss,
               "Set a lost or damaged ledger aside and begin a new one (docs/THROTTLING.md)");
  app.add_flag("--version", version, "Print the version and exit");
  app.footer("Example: salved --config-dir ./etc --state-dir ./state --socket ./salve.sock");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (version) {
    std::cout << "salved " << salve::kVersion << "\n";
    return 0;
  }
  if (check) {
    const absl::Status checked = salve::CheckConfigurationFolder(options.config_dir);
    if (checked.ok()) return 0;
    std::cerr << checked.message() << "\n";
    return 2;
  }
  for (const std::string& name : types) {
    salve::queue::Type_Parse(name, &recover.types.emplace_back());
  }
  if (!recover.dir.empty()) options.recover_set = std::move(recover);
  return salve::RunDaemon(options);
}
