#include "throttling/group_json.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

group::Attempt Full() {
  group::Attempt attempt;
  attempt.set_server("web-1");
  attempt.set_requester("operator:s.sock:root");
  attempt.set_resource("nginx.service");
  *attempt.mutable_asked() = GroupTimestamp(absl::FromUnixMillis(1'800'000'000'123));
  *attempt.mutable_start() = GroupTimestamp(absl::FromUnixMillis(1'800'000'001'000));
  *attempt.mutable_deadline() = GroupTimestamp(absl::FromUnixMillis(1'800'000'121'050));
  *attempt.mutable_end() = GroupTimestamp(absl::FromUnixMillis(1'800'000'061'999));
  attempt.set_result("Succeeded");
  attempt.mutable_limits()->set_minimum_minutes(-1);
  attempt.mutable_limits()->set_max_in_a_day(7);
  attempt.set_withdrawn(true);
  attempt.set_ran(true);
  return attempt;
}

std::string Read(const std::string& json, bool quickly) {
  group::Attempt attempt;
  const absl::Status status =
      quickly ? ParseAttemptJson(json, attempt) : ParseGroupJson(json, attempt);
  return status.ok() ? attempt.SerializeAsString() : "error";
}

TEST(GroupJsonTest, WhatWasWrittenIsReadAgain) {
  const group::Attempt full = Full();
  EXPECT_EQ(Read(GroupJson(full), true), full.SerializeAsString());
  group::Attempt odd = full;
  odd.set_requester("quo\"te <tag> \\ \n \xc3\xa4");
  odd.mutable_limits()->Clear();
  odd.clear_end();
  EXPECT_EQ(Read(GroupJson(odd), true), odd.SerializeAsString());
  EXPECT_EQ(Read("{}", true), "");
}

TEST(GroupJsonTest, WhatPeopleWriteIsReadToo) {
  EXPECT_EQ(Read(R"( { "server" : "a", "newer": [1, {"b": 2}],
                     "asked": "2027-01-15T08:00:00.5+00:00" } )",
                 true),
            Read(R"({"server":"a","asked":"2027-01-15T08:00:00.500Z"})", false));
}

TEST(GroupJsonTest, WhatIsNoJsonIsAnError) {
  for (const char* bad : {"", "{", "null5", "{\"server\":5", "{\"asked\":\"yesterday\"}",
                          "{\"asked\":\"2027-02-30T08:00:00Z\"}", "{\"server\":\"a\"}x"}) {
    EXPECT_EQ(Read(bad, true), "error") << bad;
  }
}

// The quick reader and the library's say the same of anything that is near to what we write.
TEST(GroupJsonTest, BothReadersAgree) {
  std::mt19937 random(1);
  const std::string good = GroupJson(Full());
  const std::string letters = "{}[],:\"\\ -0159.TZabtrue";
  for (int i = 0; i < 20'000; ++i) {
    std::string text = good;
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = letters[random() % letters.size()];
          break;
        case 1:
          text.erase(at, 1 + random() % 5);
          break;
        default:
          text.insert(at, 1, letters[random() % letters.size()]);
      }
      if (text.empty()) text = "{}";
    }
    // The library lets a field come twice, and takes the last.
    const std::string quick = Read(text, true);
    if (quick == "error" || Read(text, false) == quick) continue;
    ADD_FAILURE() << text;
  }
}

}  // namespace
}  // namespace salve
