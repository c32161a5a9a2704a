// Runs the what-if tool over the golden vectors and compares each answer as JSON.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "throttling/evaluate.h"

namespace salve {
namespace {

google::protobuf::Struct Json(const std::string& line) {
  google::protobuf::Struct value;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &value).ok()) << line;
  return value;
}

std::vector<std::string> Lines(std::istream& in) {
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(ThrottleGoldenTest, EveryAnswerIsTheOneOfTheVectors) {
  std::ifstream queries("tests/conformance/throttle-queries.jsonl");
  std::ifstream wanted_file("tests/conformance/throttle-answers.jsonl");
  std::stringstream out, err;
  EXPECT_EQ(
      EvaluateThrottle({"tests/conformance/throttle-policy.xml", "", "", ""}, queries, out, err), 0)
      << err.str();
  const std::vector<std::string> wanted = Lines(wanted_file), answers = Lines(out);
  ASSERT_GT(wanted.size(), 50u);
  ASSERT_EQ(answers.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_TRUE(
        google::protobuf::util::MessageDifferencer::Equals(Json(answers[i]), Json(wanted[i])))
        << "wanted " << wanted[i] << "\ngot    " << answers[i];
  }
}

}  // namespace
}  // namespace salve
