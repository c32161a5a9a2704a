#include "agent/ready_request.h"

#include <string>

#include "gtest/gtest.h"

namespace salve {
namespace {

using Kind = ReadyRequest::Kind;

TEST(ReadyRequestTest, ReadsTheRequestLineOnceAllHeadersAreThere) {
  const std::string request = "GET /ready/web HTTP/1.1\r\nHost: x\r\n\r\n";
  for (size_t size = 0; size < request.size(); ++size) {
    EXPECT_EQ(ReadReadyRequest(request.substr(0, size)).kind, Kind::kIncomplete) << size;
  }
  EXPECT_EQ(ReadReadyRequest(request).kind, Kind::kGet);
  EXPECT_EQ(ReadReadyRequest(request).path, "/ready/web");
}

TEST(ReadyRequestTest, TakesOldHttpHeadAQueryAndBareNewlines) {
  EXPECT_EQ(ReadReadyRequest("GET / HTTP/1.0\r\n\r\n").path, "/");
  EXPECT_EQ(ReadReadyRequest("HEAD /ready HTTP/1.1\r\n\r\n").kind, Kind::kHead);
  EXPECT_EQ(ReadReadyRequest("GET /ready?x=/y HTTP/1.1\r\n\r\n").path, "/ready");
  EXPECT_EQ(ReadReadyRequest("GET /ready HTTP/1.1\n\n").kind, Kind::kGet);
  EXPECT_EQ(ReadReadyRequest("POST /ready HTTP/1.1\r\n\r\n").kind, Kind::kOther);
}

TEST(ReadyRequestTest, TellsWhatIsNoHttpAtItsFirstLine) {
  for (const char* line : {"\n", "GET\n", "GET /\n", "GET  / HTTP/1.1\n", "get / HTTP/1.1\n",
                           "GET ready HTTP/1.1\n", "GET / HTTP/2\n", "GET / HTTP/1.1 x\n",
                           "GET /\x01 HTTP/1.1\n", " / HTTP/1.1\n", "\x16\x03\x01\n"}) {
    EXPECT_EQ(ReadReadyRequest(line).kind, Kind::kBad) << line;
  }
}

TEST(ReadyRequestTest, HeadersEndWithinFourKibibytes) {
  const std::string begin = "GET / HTTP/1.1\r\nX: ";
  const std::string whole =
      begin + std::string(kReadyRequestBytesMax - begin.size() - 4, 'x') + "\r\n\r\n";
  ASSERT_EQ(whole.size(), kReadyRequestBytesMax);
  EXPECT_EQ(ReadReadyRequest(whole).kind, Kind::kGet);
  EXPECT_EQ(ReadReadyRequest(whole.substr(0, whole.size() - 1)).kind, Kind::kIncomplete);
  EXPECT_EQ(ReadReadyRequest(begin + std::string(kReadyRequestBytesMax - begin.size(), 'x')).kind,
            Kind::kTooLarge);
  EXPECT_EQ(ReadReadyRequest(std::string(kReadyRequestBytesMax, 'x')).kind, Kind::kTooLarge);
}

TEST(ReadyRequestTest, AnAnswerEndsTheConnection) {
  EXPECT_EQ(ReadyAnswer(200, "online\n", false),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\nonline\n");
  EXPECT_EQ(ReadyAnswer(503, "offline\n", true),
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n");
  EXPECT_NE(ReadyAnswer(405, "", false).find("Allow: GET, HEAD\r\n"), std::string::npos);
}

}  // namespace
}  // namespace salve
