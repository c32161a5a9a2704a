#include "queue/transition.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

const std::map<std::string, QueueKind> kKinds = {
    {"submission", QueueKind::kSubmission},
    {"local", QueueKind::kLocal},
    {"remote", QueueKind::kRemote},
    {"relay", QueueKind::kRelay},
    {"inbox", QueueKind::kInbox},
    {"unreachable", QueueKind::kUnreachable},
    {"poison", QueueKind::kPoison},
    {"dead", QueueKind::kDead},
    {"held", QueueKind::kHeld},
};
const queue::Type kTypes[] = {queue::TYPE_UNSPECIFIED, queue::AF, queue::AR, queue::UP};

// The rules once more, as sentences: "from: to to to". For letters and for actions.
const char* const kLetterMoves[] = {
    "submission: submission remote relay inbox unreachable dead",
    "remote: submission remote relay inbox unreachable poison dead",
    "relay: submission remote relay inbox unreachable poison dead",
    "inbox: submission remote relay inbox unreachable poison",
    "unreachable: submission remote relay inbox unreachable dead",
    "poison: submission remote relay inbox unreachable",
    "held: submission remote relay inbox unreachable",
};
const char* const kActionMoves[] = {
    "submission: submission local unreachable dead",
    "local: submission local unreachable poison dead",
    "unreachable: submission local unreachable dead",
    "poison: submission local unreachable",
    "held: submission local unreachable",
};
const std::map<Final, std::string> kLetterEnds = {
    {Final::kDone, "remote relay inbox"},
    {Final::kFailed, ""},
    {Final::kRejected, ""},
    {Final::kObsolete, "submission remote relay unreachable"},
    {Final::kHeldInSet, "submission remote relay unreachable held"},
    {Final::kRemoved, "submission remote relay inbox unreachable poison dead held"},
    {Final::kReregistered, "dead"},
};
const std::map<Final, std::string> kActionEnds = {
    {Final::kDone, "local"},
    {Final::kFailed, "submission local"},
    {Final::kRejected, "submission local"},
    {Final::kObsolete, "submission local unreachable"},
    {Final::kHeldInSet, "submission local unreachable held"},
    {Final::kRemoved, "submission local unreachable poison dead held"},
    {Final::kReregistered, "dead"},
};

std::set<std::string> Words(const std::string& text) {
  return absl::StrSplit(text, ' ', absl::SkipEmpty());
}

bool SaysMove(queue::Type type, const std::string& from, const std::string& to) {
  if (type == queue::TYPE_UNSPECIFIED) return false;
  const auto look = [&](const auto& lines) {
    for (const char* line : lines) {
      const std::vector<std::string> sides = absl::StrSplit(line, ": ");
      if (sides[0] == from) return Words(sides[1]).count(to) == 1;
    }
    return false;
  };
  return type == queue::UP ? look(kActionMoves) : look(kLetterMoves);
}

TEST(TransitionTest, EveryMoveIsAllowedOrRefusedAsTheRulesSay) {
  for (const queue::Type type : kTypes) {
    for (const auto& [from, from_kind] : kKinds) {
      for (const auto& [to, to_kind] : kKinds) {
        EXPECT_EQ(MayMove(type, from_kind, to_kind), SaysMove(type, from, to))
            << queue::Type_Name(type) << " " << from << " " << to;
      }
    }
  }
}

TEST(TransitionTest, EveryEntryIsAllowedOrRefusedAsTheRulesSay) {
  for (const auto& [name, kind] : kKinds) {
    const bool letters = Words("submission remote relay inbox unreachable").count(name) == 1;
    const bool actions = Words("submission local unreachable").count(name) == 1;
    EXPECT_EQ(MayEnter(queue::AF, kind), letters) << name;
    EXPECT_EQ(MayEnter(queue::AR, kind), letters) << name;
    EXPECT_EQ(MayEnter(queue::UP, kind), actions) << name;
    EXPECT_FALSE(MayEnter(queue::TYPE_UNSPECIFIED, kind)) << name;
  }
}

TEST(TransitionTest, EveryEndIsAllowedOrRefusedAsTheRulesSay) {
  for (const auto& [name, kind] : kKinds) {
    for (const auto& [final, queues] : kLetterEnds) {
      const bool says = Words(queues).count(name) == 1;
      EXPECT_EQ(MayEnd(queue::AF, kind, final), says) << name << FinalName(final);
      EXPECT_EQ(MayEnd(queue::AR, kind, final), says) << name << FinalName(final);
      EXPECT_FALSE(MayEnd(queue::TYPE_UNSPECIFIED, kind, final)) << name << FinalName(final);
    }
    for (const auto& [final, queues] : kActionEnds) {
      EXPECT_EQ(MayEnd(queue::UP, kind, final), Words(queues).count(name) == 1)
          << name << FinalName(final);
    }
  }
}

TEST(TransitionTest, NamesOfQueuesAreKnown) {
  EXPECT_EQ(QueueKindOf("submission"), QueueKind::kSubmission);
  EXPECT_EQ(QueueKindOf("local/nginx.service"), QueueKind::kLocal);
  EXPECT_EQ(QueueKindOf("local/a/b"), QueueKind::kLocal);
  EXPECT_EQ(QueueKindOf("remote/ops"), QueueKind::kRemote);
  EXPECT_EQ(QueueKindOf("relay/web2"), QueueKind::kRelay);
  EXPECT_EQ(QueueKindOf("inbox"), QueueKind::kInbox);
  EXPECT_EQ(QueueKindOf("unreachable"), QueueKind::kUnreachable);
  EXPECT_EQ(QueueKindOf("poison"), QueueKind::kPoison);
  EXPECT_EQ(QueueKindOf("dead"), QueueKind::kDead);
  for (const char* none : {"", "local", "local/", "remote/", "relay/", "Dead", "dead/x", "inbox ",
                           "other/x", "remote/a\nb", "remote/\x7f"}) {
    EXPECT_EQ(QueueKindOf(none), std::nullopt) << none;
  }
}

TEST(TransitionTest, ANameHasAtMost512Bytes) {
  EXPECT_TRUE(QueueKindOf("local/" + std::string(506, 'x')).has_value());
  EXPECT_FALSE(QueueKindOf("local/" + std::string(507, 'x')).has_value());
}

TEST(TransitionTest, AHeldQueueHasASetAndAFormerName) {
  EXPECT_EQ(QueueKindOf("held/set-1/remote/ops"), QueueKind::kHeld);
  EXPECT_EQ(HeldQueueOf("held/set-1/local/a/b")->set, "set-1");
  EXPECT_EQ(HeldQueueOf("held/set-1/local/a/b")->former, "local/a/b");
  for (const char* none : {"held/", "held/set", "held/set/", "held//remote/ops", "held/set/other",
                           "held/set/held/set/remote/ops", "remote/held/set/remote/ops"}) {
    EXPECT_FALSE(HeldQueueOf(none).has_value()) << none;
  }
  // The longest name can be held.
  EXPECT_TRUE(HeldQueueOf("held/" + std::string(100, 's') + "/local/" + std::string(506, 'x')));
}

TEST(TransitionTest, TheTargetIsWhatFollowsTheKind) {
  EXPECT_EQ(QueueTarget("local/nginx.service"), "nginx.service");
  EXPECT_EQ(QueueTarget("remote/a/b"), "a/b");
  EXPECT_EQ(QueueTarget("dead"), "");
}

TEST(TransitionTest, DeadAttributesAreInDeadAlone) {
  queue::Message message;
  message.set_type(queue::AF);
  EXPECT_EQ(WhyNotIn(message, false, QueueKind::kRemote), "");
  EXPECT_NE(WhyNotIn(message, false, QueueKind::kDead), "");
  queue::Dead& dead = *message.mutable_dead();
  dead.set_former_queue("remote/ops");
  dead.set_reason("expired");
  for (const auto& [dmid, is_one] : std::map<std::string, bool>{{"", false},
                                                                {"WEB1-1", true},
                                                                {"web1-1", false},
                                                                {"A B", false},
                                                                {std::string(39, 'A'), true},
                                                                {std::string(40, 'A'), false}}) {
    dead.set_dmid(dmid);
    EXPECT_EQ(WhyNotIn(message, false, QueueKind::kDead).empty(), is_one) << dmid;
  }
  dead.set_dmid("WEB1-1");
  EXPECT_NE(WhyNotIn(message, false, QueueKind::kRemote), "");
  dead.set_former_queue("nowhere");
  EXPECT_NE(WhyNotIn(message, false, QueueKind::kDead), "");
  dead.set_former_queue("remote/ops");
  dead.clear_reason();
  EXPECT_NE(WhyNotIn(message, false, QueueKind::kDead), "");
}

TEST(TransitionTest, InPoisonAllAreSuspendedAndInUnreachableAllHaveAReason) {
  queue::Message message;
  message.set_type(queue::UP);
  EXPECT_NE(WhyNotIn(message, false, QueueKind::kPoison), "");
  EXPECT_EQ(WhyNotIn(message, true, QueueKind::kPoison), "");
  EXPECT_NE(WhyNotIn(message, false, QueueKind::kUnreachable), "");
  message.set_unreachable_reason("host-bound:web2");
  EXPECT_EQ(WhyNotIn(message, false, QueueKind::kUnreachable), "");
  EXPECT_NE(WhyNotIn(message, false, QueueKind::kRemote), "");
}

TEST(TransitionTest, EveryFinalHasItsName) {
  std::set<std::string> names;
  for (const auto& [final, queues] : kLetterEnds) names.insert(std::string(FinalName(final)));
  EXPECT_EQ(names.size(), 7u);
  EXPECT_EQ(names.count("?"), 0u);
}

}  // namespace
}  // namespace salve
