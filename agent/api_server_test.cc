#include "agent/api_server.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/served_world.h"
#include "api/salve.grpc.pb.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr char kHealthSets[] = R"(
    health_set {
      name: "Web"
      probe { name: "Told" notification {} }
      monitor { name: "Down" probe: "Told" consecutive_failures {} }
      responder { name: "Fix" monitor: "Down" on: UNHEALTHY run_command { command: "/bin/fix" } }
    })";

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(20, GPR_TIMESPAN)));
}

class ApiServerTest : public testing::Test {
 protected:
  // A stream that ends with its test.
  class Stream {
   public:
    Stream(v1::ThrottleService::Stub& stub, const v1::WatchDecisionsRequest& request) {
      SetDeadline(context_);
      reader_ = stub.WatchDecisions(&context_, request);
    }
    // The resource of the next verdict.
    std::string Next() {
      v1::Event event;
      return reader_->Read(&event) ? event.recovery_action_log().resource_name() : "(the end)";
    }
    grpc::StatusCode End() {
      v1::Event event;
      while (reader_->Read(&event)) {
      }
      return reader_->Finish().error_code();
    }
    ~Stream() { context_.TryCancel(); }

   private:
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientReader<v1::Event>> reader_;
  };

  void Decide(int event_id, const std::string& action, const std::string& resource) {
    v1::Event event;
    event.set_channel(v1::RecoveryActionLogs);
    event.set_event_id(event_id);
    event.set_level(v1::Information);
    event.mutable_recovery_action_log()->set_action_id(action);
    event.mutable_recovery_action_log()->set_resource_name(resource);
    world_.events().Append(std::move(event));
  }
  std::unique_ptr<Stream> Watch(const std::string& action = "", const std::string& resource = "",
                                bool with_old = true) {
    v1::WatchDecisionsRequest request;
    request.set_action(action);
    request.set_resource(resource);
    if (with_old) request.mutable_since()->set_seconds(1);
    return std::make_unique<Stream>(*throttle_, request);
  }

  std::pair<grpc::Status, v1::CheckThrottleResponse> Check(const std::string& action) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::CheckThrottleRequest request;
    request.set_action(action);
    request.set_resource("/bin/fix");
    v1::CheckThrottleResponse response;
    const grpc::Status status = throttle_->CheckThrottle(&context, request, &response);
    return {status, response};
  }

  ServedWorld world_{kHealthSets};
  std::shared_ptr<grpc::Channel> channel_ = world_.Channel();
  std::unique_ptr<v1::ThrottleService::Stub> throttle_ = v1::ThrottleService::NewStub(channel_);
};

TEST_F(ApiServerTest, WatchDecisionsGivesTheOldOnesSinceATimeAndThenTheNew) {
  Decide(2050, "RestartService", "a");
  const auto stream = Watch();

  EXPECT_EQ(stream->Next(), "a");
  Decide(2051, "RestartService", "b");
  EXPECT_EQ(stream->Next(), "b");
}

TEST_F(ApiServerTest, WatchDecisionsWithoutATimeGivesOnlyTheNew) {
  Decide(2050, "RestartService", "old");
  const auto stream = Watch("", "", /*with_old=*/false);

  // The stream may begin after some of them; each is new.
  std::string first;
  std::thread asker([&] { first = stream->Next(); });
  for (int i = 0; i < 400 && first.empty(); ++i) {
    Decide(2051, "RestartService", "new");
    absl::SleepFor(absl::Milliseconds(5));
  }
  asker.join();
  EXPECT_EQ(first, "new");
}

TEST_F(ApiServerTest, WatchDecisionsGivesWhatMatchesInAnyCase) {
  Decide(2050, "RunCommand", "nginx.service");
  Decide(2050, "RestartService", "other");
  Decide(2050, "RestartService", "nginx.service");

  EXPECT_EQ(Watch("restartservice")->Next(), "other");
  const auto both = Watch("RESTARTSERVICE", "NGINX.service");
  EXPECT_EQ(both->Next(), "nginx.service");
  Decide(2051, "RunCommand", "NGINX.SERVICE");
  Decide(2051, "RestartService", "Nginx.Service");
  EXPECT_EQ(both->Next(), "Nginx.Service");
}

TEST_F(ApiServerTest, WatchDecisionsRefusesAnUnknownAction) {
  EXPECT_EQ(Watch("Nonsense")->End(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ApiServerTest, FollowersAreBounded) {
  Decide(2050, "RestartService", "a");
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 8; ++i) {
    streams.push_back(Watch());
    EXPECT_EQ(streams.back()->Next(), "a");
  }
  EXPECT_EQ(Watch()->End(), grpc::StatusCode::RESOURCE_EXHAUSTED);

  streams.clear();
  std::string next;
  for (int i = 0; i < 400 && next != "a"; ++i) {
    next = Watch()->Next();
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_EQ(next, "a");
}

// It reads nothing for so long that what waits for it is more than a follower's 10,000 events, and
// more than gRPC's windows take.
TEST_F(ApiServerTest, AWatcherThatReadsTooSlowlyIsToldThatEventsAreMissing) {
  Decide(2050, "RestartService", "a");
  const auto stream = Watch();
  ASSERT_EQ(stream->Next(), "a");
  for (int i = 0; i < 40'000; ++i) Decide(2050, "RestartService", std::string(1000, 'b'));
  EXPECT_EQ(stream->End(), grpc::StatusCode::DATA_LOSS);
}

TEST_F(ApiServerTest, AChangeIsMadeInTheNameOfTheSocketAndTheUser) {
  grpc::ClientContext reload_context;
  SetDeadline(reload_context);
  v1::ReloadRequest reload;
  reload.set_user("ada");
  v1::ReloadResponse reloaded;
  EXPECT_EQ(v1::AgentService::NewStub(channel_)
                ->Reload(&reload_context, reload, &reloaded)
                .error_message(),
            "s.sock:ada");  // The world's reload says who asked.

  grpc::ClientContext run_context;
  SetDeadline(run_context);
  v1::RunActionRequest run;
  run.set_responder("Fix");
  run.set_user("ada\n\x1b");
  v1::RunActionResponse ran;
  EXPECT_TRUE(v1::ActionService::NewStub(channel_)->Run(&run_context, run, &ran).ok());
  EXPECT_EQ(ran.verdict().requester_name(), "operator:s.sock:ada??");
}

TEST_F(ApiServerTest, TheThrottlesStateHasOneKeyOrAll) {
  const auto ask = [&](const std::string& resource) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::GetThrottleStateRequest request;
    request.set_resource(resource);
    v1::GetThrottleStateResponse response;
    EXPECT_TRUE(throttle_->GetThrottleState(&context, request, &response).ok());
    return response.entries_size();
  };

  EXPECT_EQ(ask(""), 1);
  EXPECT_EQ(ask("/BIN/fix"), 1);
  EXPECT_EQ(ask("/bin/other"), 0);
}

TEST_F(ApiServerTest, ManyMayAskForAVerdictAtOnce) {
  std::atomic<int> passed = 0;
  std::vector<std::thread> askers;
  for (int i = 0; i < 16; ++i) {
    askers.emplace_back([&] {
      for (int j = 0; j < 20; ++j) passed += Check("RunCommand").second.passed();
    });
  }
  for (std::thread& asker : askers) asker.join();
  EXPECT_EQ(passed, 320);
  EXPECT_EQ(Check("Nonsense").first.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ApiServerTest, TheServersEndAnswersWhoStillWaits) {
  world_.StopLoop();  // So that nobody answers.
  grpc::Status status;
  std::thread asker([&] { status = Check("RunCommand").first; });
  // The call may be on its way still: then it is refused, which is an answer too.
  absl::SleepFor(absl::Milliseconds(50));
  const absl::Time before = absl::Now();
  world_.StopServer();
  asker.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "the agent is stopping");
  EXPECT_LT(absl::Now() - before, absl::Seconds(5));
}

}  // namespace
}  // namespace salve
