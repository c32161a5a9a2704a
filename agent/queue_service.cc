#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/api_call.h"
#include "agent/api_services.h"
#include "api/queue.grpc.pb.h"
#include "queue/dispatcher.h"

namespace salve {
namespace {

template <typename Request, typename Response>
using Method = void (Dispatcher::*)(const Request&, Dispatcher::Reply<Response>);

// No thread waits for an answer: many peers may hand over at once, and each is answered after a
// sync.
class QueueService final : public v1::QueueService::CallbackService {
 public:
  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  explicit QueueService(ApiShared& shared) : shared_(shared) {}

  Reactor* ListQueues(Context* context, const v1::ListQueuesRequest* request,
                      v1::ListQueuesResponse* response) override {
    return Ask(context, *request, response, &Dispatcher::ListQueues);
  }
  Reactor* ControlQueue(Context* context, const v1::ControlQueueRequest* request,
                        v1::ControlQueueResponse* response) override {
    return Ask(context, Known(*context, *request), response, &Dispatcher::ControlQueue);
  }
  Reactor* ListMessages(Context* context, const v1::ListMessagesRequest* request,
                        v1::ListMessagesResponse* response) override {
    return Ask(context, *request, response, &Dispatcher::ListMessages);
  }
  Reactor* GetMessage(Context* context, const v1::GetMessageRequest* request,
                      v1::GetMessageResponse* response) override {
    return Ask(context, *request, response, &Dispatcher::GetMessage);
  }
  Reactor* ControlMessage(Context* context, const v1::ControlMessageRequest* request,
                          v1::ControlMessageResponse* response) override {
    // To throw one away is for those who may take one out.
    if (request->verb() == v1::ControlMessageRequest::REMOVE) {
      if (const absl::Status may = Admit(*context, "/salve.v1.QueueService/ExportMessage");
          !may.ok()) {
        Reactor* const reactor = context->DefaultReactor();
        reactor->Finish(ToGrpc(may));
        return reactor;
      }
    }
    return Ask(context, Known(*context, *request), response, &Dispatcher::ControlMessage);
  }
  Reactor* ExportMessage(Context* context, const v1::ExportMessageRequest* request,
                         v1::ExportMessageResponse* response) override {
    return Ask(context, Known(*context, *request), response, &Dispatcher::ExportMessage);
  }
  Reactor* ImportMessage(Context* context, const v1::ImportMessageRequest* request,
                         v1::ImportMessageResponse* response) override {
    return Ask(context, Known(*context, *request), response, &Dispatcher::ImportMessage);
  }
  Reactor* CheckDead(Context* context, const v1::CheckDeadRequest* request,
                     v1::CheckDeadResponse* response) override {
    return Ask(context, *request, response, &Dispatcher::CheckDead);
  }
  Reactor* Reregister(Context* context, const v1::ReregisterRequest* request,
                      v1::ReregisterResponse* response) override {
    return Ask(context, Known(*context, *request), response, &Dispatcher::Reregister);
  }
  Reactor* Prepare(Context* context, const v1::PrepareRequest* request,
                   v1::PrepareResponse* response) override {
    return Ask(context, Known(*context, *request), response, &Dispatcher::Prepare);
  }
  Reactor* GetCluster(Context* context, const v1::GetClusterRequest* request,
                      v1::GetClusterResponse* response) override {
    return Ask(context, *request, response, &Dispatcher::GetCluster);
  }
  Reactor* SetMode(Context* context, const v1::SetModeRequest* request,
                   v1::SetModeResponse* response) override {
    return Ask(context, Known(*context, *request), response, &Dispatcher::SetMode);
  }
  Reactor* Transfer(Context* context, const v1::TransferRequest* request,
                    v1::TransferResponse* response) override {
    return Ask(context, *request, response, &Dispatcher::Transfer);
  }
  Reactor* CheckArrival(Context* context, const v1::CheckArrivalRequest* request,
                        v1::CheckArrivalResponse* response) override {
    return Ask(context, *request, response, &Dispatcher::CheckArrival);
  }
  Reactor* EndTransfers(Context* context, const v1::EndTransfersRequest* request,
                        v1::EndTransfersResponse* response) override {
    return Ask(context, *request, response, &Dispatcher::EndTransfers);
  }

 private:
  absl::Status Admit(Context& context, absl::string_view method) const {
    grpc_auth_context* peer = grpc_call_auth_context(context.c_call());
    const absl::Status status = shared_.door->Admit(peer, method);
    grpc_auth_context_release(peer);
    return status;
  }

  template <typename Request>
  Request Known(Context& context, Request request) const {
    request.set_user(shared_.Who(context, request.user()));
    return request;
  }

  template <typename Request, typename Response>
  Reactor* Ask(Context* context, Request request, Response* response,
               Method<Request, Response> method) {
    return AskWithoutWaiting<Response>(
        shared_, *context, response,
        [asked = std::move(request), method](const ApiParts& parts,
                                             std::function<void(absl::StatusOr<Response>)> reply) {
          if (parts.queue == nullptr) {
            return reply(
                absl::UnavailableError(absl::StrCat("the queue is off: ", parts.queue_off)));
          }
          (parts.queue->*method)(asked, std::move(reply));
        });
  }

  ApiShared& shared_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewQueueService(ApiShared& shared) {
  return std::make_unique<QueueService>(shared);
}

}  // namespace salve
