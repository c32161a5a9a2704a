#include "probes/grpc_frame.h"

#include <gtest/gtest.h>

#include <string>

namespace salve {
namespace {

using std::string_literals::operator""s;

std::string Body(const std::string& message) {
  return "\0\0\0\0"s + static_cast<char>(message.size()) + message;
}

std::string ErrorOf(const std::string& body) {
  return std::string(ParseGrpcHealthResponse(body).status().message());
}

TEST(GrpcFrameTest, AsksForTheServerOrAService) {
  EXPECT_EQ(GrpcHealthRequest(""), "\0\0\0\0\0"s);
  EXPECT_EQ(GrpcHealthRequest("shop"), "\0\0\0\0\6\x0a\4shop"s);
  const std::string name(300, 'x');
  EXPECT_EQ(GrpcHealthRequest(name), "\0\0\0\1\x2f\x0a\xac\2"s + name);
}

TEST(GrpcFrameTest, ReadsTheStatus) {
  EXPECT_EQ(*ParseGrpcHealthResponse(Body("\x08\1"s)), kGrpcServing);
  EXPECT_EQ(*ParseGrpcHealthResponse(Body("\x08\2"s)), 2u);
  EXPECT_EQ(*ParseGrpcHealthResponse(Body("")), 0u) << "what is not there is 0";
  EXPECT_EQ(*ParseGrpcHealthResponse(Body("\x08\1\x08\3"s)), 3u) << "the last one holds";
}

TEST(GrpcFrameTest, LeavesOtherFields) {
  const std::string others = "\x10\xff\1\x19"s + "12345678" + "\x22\3abc\x2d"s + "1234";
  EXPECT_EQ(*ParseGrpcHealthResponse(Body(others + "\x08\2"s)), 2u);
}

TEST(GrpcFrameTest, NamesWhatIsWrong) {
  EXPECT_EQ(ErrorOf(""), "it holds no message");
  EXPECT_EQ(ErrorOf("\0\0\0\0"s), "its message is cut");
  EXPECT_EQ(ErrorOf("\0\0\0\0\3\x08\1"s), "its message is cut");
  EXPECT_EQ(ErrorOf("\0\xff\xff\xff\xff\x08\1"s), "its message is cut");
  EXPECT_EQ(ErrorOf("\1\0\0\0\2\x08\1"s), "its message is compressed");
  EXPECT_EQ(ErrorOf(Body("\x08\1"s) + Body("")), "it holds more than one message");
  const std::string unreadable = "its message cannot be read";
  EXPECT_EQ(ErrorOf(Body("\x08"s)), unreadable);
  EXPECT_EQ(ErrorOf(Body("\x08\x80"s)), unreadable);
  EXPECT_EQ(ErrorOf(Body("\x08" + std::string(10, '\xff') + "\1")), unreadable);
  EXPECT_EQ(ErrorOf(Body("\x12\4abc"s)), unreadable);
  EXPECT_EQ(ErrorOf(Body("\x19"s + "1234567")), unreadable);
  EXPECT_EQ(ErrorOf(Body("\x1d"s + "123")), unreadable);
  EXPECT_EQ(ErrorOf(Body("\x0b"s)), unreadable) << "a group";
}

TEST(GrpcFrameTest, NamesStatuses) {
  EXPECT_EQ(ServingStatusName(0), "UNKNOWN");
  EXPECT_EQ(ServingStatusName(1), "SERVING");
  EXPECT_EQ(ServingStatusName(2), "NOT_SERVING");
  EXPECT_EQ(ServingStatusName(3), "SERVICE_UNKNOWN");
  EXPECT_EQ(ServingStatusName(4), "status 4");
  EXPECT_EQ(GrpcStatusName(0), "OK");
  EXPECT_EQ(GrpcStatusName(kGrpcNotFound), "NOT_FOUND");
  EXPECT_EQ(GrpcStatusName(kGrpcUnimplemented), "UNIMPLEMENTED");
  EXPECT_EQ(GrpcStatusName(16), "UNAUTHENTICATED");
  EXPECT_EQ(GrpcStatusName(17), "code 17");
  EXPECT_EQ(GrpcStatusName(-1), "code -1");
}

TEST(GrpcFrameTest, WritesAMessageOfTheServerAsPlainText) {
  EXPECT_EQ(GrpcMessageText("no%20such thing: 100%"), "no such thing: 100%");
  EXPECT_EQ(GrpcMessageText("%41%6a%6A%4%zz"), "Ajj%4%zz");
  EXPECT_EQ(GrpcMessageText("a%0Ab\xc3%C3"), "a?b??");
  EXPECT_EQ(GrpcMessageText(std::string(201, 'x')), std::string(200, 'x'));
}

}  // namespace
}  // namespace salve
