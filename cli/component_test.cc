#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

class ComponentVerbTest : public SalvectlTest {};

TEST_F(ComponentVerbTest, ListShowsEachVoteAndTheTroubleApart) {
  agent_.list_components.Say(FromText<v1::ListComponentsResponse>(R"(
      components { name: "db" online: true }
      components {
        name: "web"
        votes { requester: "Front" reason: "it is sick" since { seconds: 1795255190 } }
        votes {
          requester: "operator:ada" reason: "a new disk" since { seconds: 1795255140 }
          until { seconds: 1795258800 }
        }
        trouble: "/run/web: a symbolic link"
      })"));

  const Ended ended = Run({"component", "list"});

  EXPECT_EQ(ended.out,
            "COMPONENT  STATE    VOTE OF       SINCE      UNTIL                           REASON\n"
            "db         online   -             -          -                               -\n"
            "web        offline  Front         10s ago    taken back                      "
            "it is sick\n"
            "                    operator:ada  1m 0s ago  2026-11-21 11:00:00 (in 1h 0m)  "
            "a new disk\n");
  EXPECT_EQ(ended.err, "salvectl: component list: web: /run/web: a symbolic link\n");
  EXPECT_EQ(ended.status, 0);
}

TEST_F(ComponentVerbTest, ListInJsonHasTheComponents) {
  agent_.list_components.Say(
      FromText<v1::ListComponentsResponse>("components { name: 'web' online: true }"));
  EXPECT_NE(Run({"component", "list", "-o", "jsonl"}).out.find("\"Online\":true"),
            std::string::npos);
}

TEST_F(ComponentVerbTest, OfflineVotesWithAReasonAndATime) {
  agent_.vote.Say(
      FromText<v1::VoteResponse>("component { name: 'web' votes { requester: 'operator:ada' } }"));

  const Ended ended = Run({"component", "offline", "web", "--reason", "a new disk", "--for", "2h"});

  EXPECT_EQ(ended.out, "web is offline, by the vote of operator:ada\n");
  EXPECT_EQ(ended.status, 0);
  const v1::VoteRequest asked = agent_.vote.asked();
  EXPECT_EQ(asked.component(), "web");
  EXPECT_TRUE(asked.offline());
  EXPECT_EQ(asked.reason(), "a new disk");
  EXPECT_EQ(asked.duration_seconds(), 7200);
  EXPECT_EQ(asked.user(), "ada");
}

TEST_F(ComponentVerbTest, OnlineSaysWhoElseHoldsIt) {
  agent_.vote.SayInTurn(
      {FromText<v1::VoteResponse>("component { name: 'web' online: true }"),
       FromText<v1::VoteResponse>(
           "component { name: 'web' votes { requester: 'Front' } votes { requester: 'Back' } }")});

  EXPECT_EQ(Run({"component", "online", "web"}).out, "web is online\n");
  EXPECT_FALSE(agent_.vote.asked().offline());
  EXPECT_EQ(Run({"component", "online", "web"}).out,
            "web is offline, by the vote of Front, Back\n");
}

TEST_F(ComponentVerbTest, WantsAReasonAndAReadableTime) {
  EXPECT_EQ(Run({"component", "offline", "web"}).status, 2);
  EXPECT_EQ(Run({"component", "offline", "--reason", "x"}).status, 2);
  EXPECT_EQ(Run({"component", "offline", "web", "--reason", "x", "--for", "soon"}).status, 2);
  EXPECT_EQ(Run({"component", "offline", "web", "--reason", "x", "--for", "999ms"}).status, 2);
  EXPECT_EQ(Run({"component", "offline", "web", "--reason", "x", "--for", "1s"}).status, 0);
}

TEST_F(ComponentVerbTest, PassesOnWhyNot) {
  agent_.vote.Say(absl::NotFoundError("no component 'wep' (did you mean 'web'?)"));
  const Ended ended = Run({"component", "online", "wep"});
  EXPECT_EQ(ended.status, 4);
  EXPECT_NE(ended.err.find("did you mean 'web'?"), std::string::npos);
}

}  // namespace
}  // namespace salve
