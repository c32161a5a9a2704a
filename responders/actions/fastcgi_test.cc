#include "responders/actions/fastcgi.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

std::string Record(char type, absl::string_view content, char padding = 0) {
  std::string record = {1,
                        type,
                        0,
                        1,
                        static_cast<char>(content.size() >> 8),
                        static_cast<char>(content.size() & 0xff),
                        padding,
                        0};
  return absl::StrCat(record, content, std::string(padding, '\0'));
}
std::string Out(absl::string_view content, char padding = 0) { return Record(6, content, padding); }
std::string End(char refusal = 0) { return Record(3, std::string{0, 0, 0, 0, refusal, 0, 0, 0}); }
std::string ErrorOf(absl::string_view bytes) {
  return std::string(ReadFastCgiAnswer(bytes).status().message());
}

TEST(FastCgiGetTest, AsksForThePath) {
  const std::string bytes = FastCgiGet("/status");
  EXPECT_EQ(bytes.substr(0, 16), Record(1, std::string{0, 1, 0, 0, 0, 0, 0, 0}));
  EXPECT_NE(bytes.find(std::string("\x0b\x07SCRIPT_NAME/status")), std::string::npos);
  EXPECT_NE(bytes.find(std::string("\x0e\x03REQUEST_METHODGET")), std::string::npos);
  EXPECT_EQ(bytes.substr(bytes.size() - 16), Record(4, "") + Record(5, ""));
}

TEST(FastCgiGetTest, WritesALongLengthInFourBytes) {
  const std::string path = "/" + std::string(299, 'a');
  EXPECT_NE(FastCgiGet(path).find(
                absl::StrCat("\x0b", std::string("\x80\x00\x01\x2c", 4), "SCRIPT_NAME", path)),
            std::string::npos);
  const std::string edge = "/" + std::string(126, 'a');
  EXPECT_NE(FastCgiGet(edge).find(absl::StrCat("\x0b\x7fSCRIPT_NAME", edge)), std::string::npos);
}

TEST(ReadFastCgiAnswerTest, TakesTheBodyThatComesInParts) {
  const std::string bytes =
      absl::StrCat(Out("Content-type: text/plain\r\n"), Record(7, "a warning"),
                   Out("\r\npool: www\n", 5), Out(""), End());
  const auto answer = ReadFastCgiAnswer(bytes);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->is_complete);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "pool: www\n");
  for (size_t part = 0; part < bytes.size(); ++part) {
    EXPECT_FALSE(ReadFastCgiAnswer(bytes.substr(0, part))->is_complete) << part;
  }
}

TEST(ReadFastCgiAnswerTest, TakesTheStatus) {
  const auto answer = ReadFastCgiAnswer(Out("status: 404 Not Found\n\nFile not found.") + End());
  EXPECT_EQ(answer->status, 404);
  EXPECT_EQ(answer->body, "File not found.");
}

TEST(ReadFastCgiAnswerTest, RefusesWhatIsNoAnswer) {
  EXPECT_EQ(ErrorOf("HTTP/1.1 400 Bad"), "the answer is no FastCGI");
  EXPECT_EQ(ErrorOf(std::string{1, 6, 0, 2, 0, 0, 0, 0}), "the answer is no FastCGI");
  EXPECT_EQ(ErrorOf(Record(9, "")), "the answer has a record of type 9");
  EXPECT_EQ(ErrorOf(Record(3, "")), "the answer ends too early");
  EXPECT_EQ(ErrorOf(End(2)), "the answer is a refusal: protocol status 2");
  EXPECT_EQ(ErrorOf(Out("Content-type: a\r\n") + End()), "the answer has a header without an end");
  EXPECT_EQ(ErrorOf(Out("Status: what\n\n") + End()), "the answer has no status");
}

TEST(ReadFastCgiAnswerTest, ReadsSoMuchAndNoMore) {
  const std::string head = Out("A: b\n\n"), end = End();
  std::string bytes = head;
  while (bytes.size() + 8 + 1024 + end.size() <= kFastCgiAnswerBytesMax) {
    bytes += Out(std::string(1024, 'x'));
  }
  const size_t left = kFastCgiAnswerBytesMax - bytes.size() - end.size();
  const std::string longest = bytes + Out(std::string(left - 8, 'x')) + end;
  ASSERT_EQ(longest.size(), kFastCgiAnswerBytesMax);
  EXPECT_TRUE(ReadFastCgiAnswer(longest)->is_complete);
  EXPECT_EQ(ErrorOf(longest + "x"), "the answer is too long");
}

}  // namespace
}  // namespace salve
