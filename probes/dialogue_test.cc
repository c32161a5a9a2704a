#include "probes/dialogue.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "probes/line_dialogue.h"

namespace salve {
namespace {

TEST(PeerWordsTest, IsOneLineOfValidUtf8) {
  EXPECT_EQ(PeerWords(" a\tb\r\nc\x7f \n"), "a?b??c?");
  EXPECT_EQ(PeerWords(std::string("a\0b", 3)), "a?b");
  EXPECT_EQ(PeerWords("é€😀"), "é€😀");
  EXPECT_EQ(PeerWords("\xc3"), "?");                        // Cut.
  EXPECT_EQ(PeerWords("\xc0\xaf|\xe0\x80\xaf"), "??|???");  // Overlong.
  EXPECT_EQ(PeerWords("\xed\xa0\x80"), "???");              // A surrogate.
  EXPECT_EQ(PeerWords("\xf4\x90\x80\x80"), "????");         // Beyond Unicode.
  EXPECT_EQ(PeerWords("\xff"), "?");
  EXPECT_EQ(PeerWords(""), "");
}

TEST(PeerWordsTest, IsCutBetweenCharacters) {
  EXPECT_EQ(PeerWords(std::string(256, 'x')).size(), 256u);
  EXPECT_EQ(PeerWords(std::string(257, 'x')).size(), 256u);
  EXPECT_EQ(PeerWords("aaé", {}, 3), "aa");
  EXPECT_EQ(PeerWords("aé", {}, 3), "aé");
}

TEST(PeerWordsTest, HidesSecretsBeforeItCuts) {
  EXPECT_EQ(PeerWords("bad password 'hunter2'", {"hunter2"}), "bad password '***'");
  EXPECT_EQ(PeerWords("xxhunter2", {"hunter2"}, 6), "xx***");
  EXPECT_EQ(PeerWords("\xff|\xff", {"\xff", ""}), "***|***");
}

class Echo final : public LineDialogue {
 public:
  Step Begin() override { return Listen(); }
  Step OnTls() override { return Say("tls"); }
  absl::string_view phase() const override { return "testing"; }

 private:
  Step OnLine(absl::string_view line) override {
    if (line == "tls") return SayAndStartTls("go");
    if (line == "done") return Done(Observation{}, "bye");
    return Say(absl::StrCat("[", line, "]"));
  }
};

TEST(LineDialogueTest, TakesLinesInAnyPieces) {
  Echo echo;
  EXPECT_EQ(echo.OnBytes("on").send, "");
  EXPECT_EQ(echo.OnBytes("e\r").send, "");
  EXPECT_EQ(echo.OnBytes("\ntwo\n\nth").send, "[one][two][]");
  EXPECT_EQ(echo.OnBytes("ree\n").send, "[three]");
  const Step last = echo.OnBytes("four\r\ndone\r\nmore\r\n");
  EXPECT_EQ(last.send, "[four]");
  EXPECT_EQ(last.next, Step::Next::kDone);
  EXPECT_EQ(last.farewell, "bye");
}

TEST(LineDialogueTest, NothingMayFollowTheLineThatStartsTls) {
  Echo echo;
  Step step = echo.OnBytes("one\ntls\n");
  EXPECT_EQ(step.next, Step::Next::kStartTls);
  EXPECT_EQ(step.send, "[one]go");
  step = echo.OnBytes("tls\r\ninjected");
  EXPECT_EQ(step.next, Step::Next::kDone);
  EXPECT_EQ(step.seen.error, "the server said more before TLS than it was asked");
}

TEST(LineDialogueTest, ALineIsBounded) {
  const std::string longest(8 * 1024, 'x');
  Echo echo;
  EXPECT_EQ(echo.OnBytes(longest).next, Step::Next::kListen);
  EXPECT_EQ(echo.OnBytes("\n").send.size(), longest.size() + 2);
  EXPECT_EQ(echo.OnBytes(longest).next, Step::Next::kListen);
  EXPECT_EQ(echo.OnBytes("x").seen.error, "a line of more than 8 KiB while testing");
  Echo at_once;
  EXPECT_EQ(at_once.OnBytes(longest + "x\n").seen.error, "a line of more than 8 KiB while testing");
}

TEST(LineDialogueTest, AllIsBounded) {
  const std::string line = std::string(1023, 'x') + "\n";
  Echo echo;
  for (int i = 0; i < 64; ++i) EXPECT_EQ(echo.OnBytes(line).next, Step::Next::kListen);
  EXPECT_EQ(echo.OnBytes("\n").seen.error, "more than 64 KiB came while testing");
}

TEST(LineDialogueTest, TheEndIsAFailure) {
  Echo echo;
  const Step last = echo.OnEnd();
  EXPECT_EQ(last.next, Step::Next::kDone);
  EXPECT_EQ(last.seen.error, "the server closed the connection while testing");
}

}  // namespace
}  // namespace salve
