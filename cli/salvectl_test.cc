#include "cli/salvectl.h"

#include <functional>

#include "cli/salvectl_fixture.h"
#include "cli/tree.h"

namespace salve {
namespace {

TEST_F(SalvectlTest, MapsTheServicesCodesToItsExitStatus) {
  const std::pair<absl::StatusCode, int> kExpected[] = {{absl::StatusCode::kInvalidArgument, 2},
                                                        {absl::StatusCode::kFailedPrecondition, 3},
                                                        {absl::StatusCode::kNotFound, 4},
                                                        {absl::StatusCode::kPermissionDenied, 5},
                                                        {absl::StatusCode::kUnauthenticated, 5},
                                                        {absl::StatusCode::kUnavailable, 7},
                                                        {absl::StatusCode::kDeadlineExceeded, 7},
                                                        {absl::StatusCode::kInternal, 70},
                                                        {absl::StatusCode::kUnknown, 70},
                                                        {absl::StatusCode::kUnimplemented, 70},
                                                        {absl::StatusCode::kResourceExhausted, 70},
                                                        {absl::StatusCode::kAlreadyExists, 8},
                                                        {absl::StatusCode::kDataLoss, 9}};
  for (const auto& [code, exit_status] : kExpected) {
    agent_.get_server_health.Say(absl::Status(code, "why"));
    EXPECT_EQ(Run({"health"}).status, exit_status) << absl::StatusCodeToString(code);
  }
}

TEST_F(SalvectlTest, SaysInOneLineThatThereIsNoAgent) {
  world_.run_dir = "/nonexistent";

  const Ended ended = Run({"health"});

  EXPECT_EQ(ended.status, 7);
  EXPECT_EQ(ended.out, "");
  EXPECT_EQ(ended.err,
            "salvectl: agent: cannot connect to /nonexistent/salve.sock: no such file; is salved "
            "running? (systemctl status salved)\n");
}

TEST_F(SalvectlTest, TheSocketOptionGoesBeforeTheEnvironmentAndThatBeforeTheDefault) {
  world_.environment["SALVE_SOCKET"] = "/nonexistent/environment";
  EXPECT_NE(Run({"version"}).err.find("/nonexistent/environment: "), std::string::npos);
  EXPECT_NE(Run({"version", "--socket", "/nonexistent/option"}).err.find("/nonexistent/option: "),
            std::string::npos);
  EXPECT_EQ(Run({"--socket", agent_.socket(), "version"}).status, 0);
  world_.environment["SALVE_SOCKET"] = "";
  EXPECT_EQ(Run({"version"}).status, 0);
}

TEST_F(SalvectlTest, AnAgentElsewhereNeedsAServerAndThreeFiles) {
  EXPECT_EQ(Run({"version", "--server", "localhost:1"}).err,
            "salvectl: version: --server needs --ca (or $SALVE_CA)\n");
  EXPECT_EQ(Run({"version", "--server", "localhost:1", "--ca", "a", "--cert", "b"}).err,
            "salvectl: version: --server needs --key (or $SALVE_KEY)\n");
  EXPECT_EQ(Run({"version", "--ca", "a"}).err, "salvectl: version: --ca needs --server\n");
  const Ended both = Run({"version", "--server", "localhost:1", "--socket", agent_.socket()});
  EXPECT_EQ(both.err, "salvectl: version: --server and --socket are two agents: leave one out\n");
  EXPECT_EQ(both.status, 2);
}

TEST_F(SalvectlTest, TheAgentElsewhereMayComeFromTheEnvironment) {
  world_.environment["SALVE_CA"] = "/nonexistent/ca";
  world_.environment["SALVE_CERT"] = "/nonexistent/cert";
  world_.environment["SALVE_KEY"] = "/nonexistent/key";
  EXPECT_EQ(Run({"version"}).status, 0);  // Without a server they mean nothing.

  world_.environment["SALVE_SERVER"] = "localhost:1";
  EXPECT_EQ(Run({"version"}).err,
            "salvectl: version: --ca: cannot read '/nonexistent/ca': No such file or directory\n");
  EXPECT_EQ(Run({"version", "--ca", "/nonexistent/typed"}).err,
            "salvectl: version: --ca: cannot read '/nonexistent/typed': No such file or "
            "directory\n");
  EXPECT_EQ(Run({"version", "--socket", agent_.socket()}).status, 0);
}

TEST_F(SalvectlTest, GivesUpAfterTheTimeout) {
  agent_.Hang();

  const Ended ended = Run({"health", "--timeout", "50ms"});

  EXPECT_EQ(ended.status, 7);
  EXPECT_EQ(ended.err, "salvectl: agent: no answer within 50ms\n");
}

TEST_F(SalvectlTest, RefusesABadTimeout) {
  for (const std::string timeout : {"0s", "-1s", "5", "soon"}) {
    EXPECT_EQ(Run({"health", "--timeout=" + timeout}).status, 2) << timeout;
  }
}

TEST_F(SalvectlTest, NamesTheNearestVerb) {
  EXPECT_EQ(Run({"helth"}).err,
            "salvectl: usage: unknown verb 'helth' (did you mean 'health'?); see 'salvectl "
            "--help'\n");
  const Ended ended = Run({"throttle", "chek", "x", "y"});
  EXPECT_EQ(ended.err,
            "salvectl: throttle: unknown verb 'chek' (did you mean 'check'?); see 'salvectl "
            "throttle --help'\n");
  EXPECT_EQ(ended.status, 2);
}

TEST_F(SalvectlTest, NamesTheNearestOption) {
  const Ended ended = Run({"-o", "json", "events", "--sinse", "10m"});

  EXPECT_EQ(ended.err,
            "salvectl: events: unknown option '--sinse' (did you mean '--since'?); see 'salvectl "
            "events --help'\n");
  EXPECT_EQ(ended.status, 2);
}

TEST_F(SalvectlTest, SaysWhatIsMissingOrTooMuch) {
  EXPECT_EQ(Run({}).err, "salvectl: usage: a verb is missing; see 'salvectl --help'\n");
  EXPECT_EQ(Run({"throttle"}).err,
            "salvectl: throttle: a verb is missing; see 'salvectl throttle --help'\n");
  EXPECT_EQ(Run({"probe", "run"}).err,
            "salvectl: probe run: SET/NAME is required; see 'salvectl probe run --help'\n");
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{},
                                             {"throttle"},
                                             {"probe", "run"},
                                             {"health", "a", "b"},
                                             {"-o"},
                                             {"-x"},
                                             {"health", "-o", "xml"}}) {
    const Ended ended = Run(args);
    EXPECT_EQ(ended.status, 2);
    EXPECT_EQ(ended.out, "");
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  }
}

TEST_F(SalvectlTest, WhatCannotBePrintedIsNotDone) {
  std::ostringstream out;
  std::ostringstream err;
  out.setstate(std::ios::badbit);

  EXPECT_EQ(RunSalvectl({"health"}, out, err, world_), 70);
  EXPECT_EQ(err.str(), "salvectl: health: cannot write to standard output\n");
}

TEST_F(SalvectlTest, OptionsOfAllVerbsMayStandBeforeAndAfterTheVerb) {
  EXPECT_EQ(Run({"-o", "jsonl", "throttle", "check", "A", "b"}).out,
            Run({"throttle", "check", "A", "b", "-o", "jsonl"}).out);
}

class TreeTest : public SalvectlTest {
 protected:
  TreeTest() {
    world_.check_configuration = [](const std::string&) { return absl::OkStatus(); };
    world_.check_configuration_with = [](const std::string&, SourceFile) {
      return absl::OkStatus();
    };
    world_.run_policy_test = [](const std::string&) { return policytest::Report(); };
    tree_ = NewTree(globals_, choice_, world_);
  }

  // Calls `visit` with the path of each verb and family.
  void Walk(const CLI::App& app, std::vector<std::string> path,
            const std::function<void(const std::vector<std::string>&, const CLI::App&)>& visit) {
    for (const CLI::App* verb : app.get_subcommands({})) {
      std::vector<std::string> verb_path = path;
      verb_path.push_back(verb->get_name());
      visit(verb_path, *verb);
      Walk(*verb, verb_path, visit);
    }
  }

  GlobalOptions globals_;
  Choice choice_;
  std::unique_ptr<CLI::App> tree_;
};

TEST_F(TreeTest, EveryVerbHasAnExampleInItsHelp) {
  int verbs = 0;
  Walk(*tree_, {}, [&](std::vector<std::string> path, const CLI::App& app) {
    ++verbs;
    const std::string example = "Example:\n  salvectl " + path.front();
    path.push_back("--help");
    const Ended help = Run(path);
    EXPECT_EQ(help.status, 0);
    EXPECT_NE(app.get_description(), "") << path.front();
    if (path.front() == "completion") return;  // Its example runs within another command.
    EXPECT_NE(help.out.find(example), std::string::npos) << help.out;
  });
  EXPECT_EQ(verbs, 92);
  EXPECT_NE(Run({"--help"}).out.find("Example:\n  salvectl health"), std::string::npos);
}

TEST_F(TreeTest, EveryOptionIsDescribed) {
  Walk(*tree_, {}, [](const std::vector<std::string>& path, const CLI::App& app) {
    for (const CLI::Option* option : app.get_options()) {
      EXPECT_NE(option->get_description(), "") << path.back() << " " << option->get_name();
    }
  });
}

TEST_F(TreeTest, DoesNotOfferWhatIsNotThere) {
  world_.check_configuration = nullptr;
  world_.check_configuration_with = nullptr;
  world_.run_policy_test = nullptr;
  EXPECT_EQ(Run({"config", "check"}).status, 2);
  EXPECT_EQ(Run({"healthset", "enable", "nginx"}).status, 2);
  EXPECT_EQ(Run({"test", "a"}).status, 2);
  EXPECT_EQ(Run({"maintenance"}).status, 2);
}

}  // namespace
}  // namespace salve
