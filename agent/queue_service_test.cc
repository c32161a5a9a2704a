// The durable queue through the API's own server.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "agent/served_world.h"
#include "api/queue.grpc.pb.h"
#include "api/salve.grpc.pb.h"

namespace salve {
namespace {

constexpr char kHealthSets[] = R"(
    health_set {
      name: "Web"
      probe { name: "Told" notification {} }
      monitor { name: "Down" probe: "Told" consecutive_failures {} }
      responder { name: "Fix" monitor: "Down" on: UNHEALTHY run_command { command: "/bin/fix" } }
    })";

class QueueServiceTest : public testing::Test {
 protected:
  void Serve(Role role = Role::kAdmin) {
    world_ = std::make_unique<ServedWorld>(kHealthSets, role);
    stub_ = v1::QueueService::NewStub(world_->Channel());
  }
  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::QueueService::StubInterface::*method)(grpc::ClientContext*,
                                                                            const Request&,
                                                                            Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(20, GPR_TIMESPAN)));
    return (static_cast<v1::QueueService::StubInterface*>(stub_.get())->*method)(&context, request,
                                                                                 response);
  }
  // Deferred actions wait while actions are paused.
  void Pause() {
    v1::PauseRequest request;
    request.set_verb(v1::PauseRequest::PAUSE);
    request.set_reason("test");
    grpc::ClientContext context;
    v1::PauseResponse response;
    const auto stub = v1::ActionService::NewStub(world_->Channel());
    ASSERT_TRUE(stub->Pause(&context, request, &response).ok());
  }
  std::string Defer() {
    v1::RunActionRequest request;
    request.set_responder("Fix");
    request.set_defer(true);
    request.set_user("ada");
    grpc::ClientContext context;
    v1::RunActionResponse response;
    const auto stub = v1::ActionService::NewStub(world_->Channel());
    const grpc::Status status = stub->Run(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.mid();
  }

  std::unique_ptr<ServedWorld> world_;
  std::unique_ptr<v1::QueueService::Stub> stub_;
};

TEST_F(QueueServiceTest, ADeferredActionIsListedShownSuspendedAndRemoved) {
  Serve();
  Pause();
  const std::string mid = Defer();
  ASSERT_FALSE(mid.empty());

  v1::ListQueuesResponse queues;
  ASSERT_TRUE(
      Call(&v1::QueueService::StubInterface::ListQueues, v1::ListQueuesRequest(), &queues).ok());
  EXPECT_EQ(queues.server(), "test-1");
  bool is_there = false;
  for (const v1::QueueStatus& queue : queues.queues()) {
    is_there |= queue.name() == "local//bin/fix" && queue.messages() == 1;
  }
  EXPECT_TRUE(is_there) << queues.ShortDebugString();

  v1::GetMessageRequest get;
  get.set_id(mid);
  v1::GetMessageResponse got;
  ASSERT_TRUE(Call(&v1::QueueService::StubInterface::GetMessage, get, &got).ok());
  EXPECT_EQ(got.message().type(), "UP");
  EXPECT_EQ(got.message().responder(), "Web/Fix");

  v1::ControlMessageRequest control;
  control.set_id(mid);
  v1::ControlMessageResponse controlled;
  control.set_verb(v1::ControlMessageRequest::SUSPEND);
  ASSERT_TRUE(Call(&v1::QueueService::StubInterface::ControlMessage, control, &controlled).ok());
  control.set_verb(v1::ControlMessageRequest::REMOVE);
  ASSERT_TRUE(Call(&v1::QueueService::StubInterface::ControlMessage, control, &controlled).ok());
  ASSERT_TRUE(Call(&v1::QueueService::StubInterface::GetMessage, get, &got).ok());
  EXPECT_EQ(got.message().state(), "removed");
}

TEST_F(QueueServiceTest, WhatThereIsNotIsNotFound) {
  Serve();
  v1::GetMessageRequest get;
  get.set_id("test-1-0-0");
  v1::GetMessageResponse got;
  EXPECT_EQ(Call(&v1::QueueService::StubInterface::GetMessage, get, &got).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(QueueServiceTest, AnOperatorSuspendsAndDoesNotRemove) {
  Serve(Role::kOperator);
  Pause();
  v1::ControlMessageRequest control;
  control.set_id(Defer());
  v1::ControlMessageResponse controlled;
  control.set_verb(v1::ControlMessageRequest::REMOVE);
  EXPECT_EQ(
      Call(&v1::QueueService::StubInterface::ControlMessage, control, &controlled).error_code(),
      grpc::StatusCode::PERMISSION_DENIED);
  control.set_verb(v1::ControlMessageRequest::SUSPEND);
  EXPECT_TRUE(Call(&v1::QueueService::StubInterface::ControlMessage, control, &controlled).ok());
}

}  // namespace
}  // namespace salve
