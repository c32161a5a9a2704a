#include "cli/completion.h"

#include <cstdio>
#include <fstream>

#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

class CompletionTest : public SalvectlTest {
 protected:
  // What bash offers for the last word of `line`, on one line.
  std::string Complete(const std::string& line) {
    const std::string path = agent_.dir() + "/complete.bash";
    std::ofstream(path) << Run({"completion", "bash"}).out << "COMP_WORDS=(" << line
                        << ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
                           "_salvectl\necho \"${COMPREPLY[*]}\"\n";
    FILE* bash = popen(("bash -u " + path + " 2>&1").c_str(), "r");
    std::string said;
    char buffer[4096];
    while (size_t n = fread(buffer, 1, sizeof(buffer), bash)) said.append(buffer, n);
    EXPECT_EQ(pclose(bash), 0) << said;
    while (!said.empty() && said.back() == '\n') said.pop_back();
    return said;
  }
};

TEST_F(CompletionTest, OffersVerbsAtEachDepth) {
  EXPECT_EQ(Complete("salvectl thr"), "throttle");
  EXPECT_EQ(Complete("salvectl throttle ''"),
            "config status check watch evaluate -h --help --version --socket --server --ca --cert "
            "--key -o --output --timeout --no-header");
  EXPECT_EQ(Complete("salvectl -o json probe r"), "run");
}

TEST_F(CompletionTest, OffersTheVerbsOwnOptionsAndThoseOfAll) {
  EXPECT_EQ(Complete("salvectl events --s"), "--since --set --socket --server");
  EXPECT_EQ(Complete("salvectl throttle check --req"), "--requester");
}

TEST_F(CompletionTest, OffersTheWordsThatAnOptionIsLimitedTo) {
  EXPECT_EQ(Complete("salvectl health -o js"), "json jsonl");
  EXPECT_EQ(Complete("salvectl events --channel Mon"),
            "MonitorDefinition MonitorResult Monitoring");
  EXPECT_EQ(Complete("salvectl completion z"), "zsh");
}

TEST_F(CompletionTest, ALetterOfAVerbDoesNotHideThatOfAllVerbs) {
  EXPECT_EQ(Complete("salvectl dead list -o js"), "json jsonl");
  EXPECT_EQ(Complete("salvectl dead show -o ''"), "");  // Bytes of the body.
}

TEST_F(CompletionTest, OffersVerbsAtTheThirdDepth) {
  EXPECT_EQ(Complete("salvectl queue message ex"), "export");
  EXPECT_EQ(Complete("salvectl queue message remove --no"), "--notify --no-notify --no-header");
  EXPECT_EQ(Complete("salvectl queue w"), "wait-empty");
}

TEST_F(CompletionTest, OffersNothingForAnOptionOfAnyText) {
  EXPECT_EQ(Complete("salvectl events --since ''"), "");
}

TEST_F(CompletionTest, TheScriptForZshIsTheSameFunction) {
  const std::string zsh = Run({"completion", "zsh"}).out;

  EXPECT_EQ(zsh.find("#compdef salvectl\n"), 0);
  EXPECT_NE(zsh.find("bashcompinit"), std::string::npos);
  EXPECT_EQ(zsh.substr(zsh.find("_salvectl() {")),
            Run({"completion", "bash"})
                .out.substr(Run({"completion", "bash"}).out.find("_salvectl() {")));
}

TEST_F(CompletionTest, KnowsOnlyBashAndZsh) { EXPECT_EQ(Run({"completion", "fish"}).status, 2); }

}  // namespace
}  // namespace salve
