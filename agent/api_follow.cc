#include "agent/api_follow.h"

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

constexpr int kFollowersMax = 8;

// One of the threads of a listener that followers hold; the bound keeps some for the others.
class Seat {
 public:
  explicit Seat(std::atomic<int>& taken) : taken_(taken), before_(taken++) {}
  ~Seat() { --taken_; }
  bool is_free() const { return before_ < kFollowersMax; }

 private:
  std::atomic<int>& taken_;
  const int before_;
};

absl::Status StillAdmitted(const ApiShared& shared, grpc::ServerContext& context,
                           absl::string_view method) {
  grpc_auth_context* peer = grpc_call_auth_context(context.c_call());
  const absl::Status status = shared.door->Admit(peer, method);
  grpc_auth_context_release(peer);
  return status;
}

}  // namespace

grpc::Status Follow(ApiShared& shared, grpc::ServerContext& context, const FollowOptions& options,
                    grpc::ServerWriter<v1::Event>& writer) {
  const Seat seat(shared.followers);
  if (!seat.is_free()) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                        absl::StrCat("there are ", kFollowersMax, " event followers already"));
  }
  auto tail = shared.parts->reader.Tail(options.request);
  if (!tail.ok()) return ToGrpc(tail.status());
  while (!context.IsCancelled() && !shared.closing) {
    const EventSubscription::Batch batch = (*tail)->Next(absl::Milliseconds(200));
    const absl::Status admitted = StillAdmitted(shared, context, options.method);
    if (!admitted.ok()) return ToGrpc(admitted);
    if (batch.missed > 0 && options.ends_when_missed) {
      return grpc::Status(grpc::StatusCode::DATA_LOSS,
                          absl::StrCat(batch.missed, " events were missed: read faster"));
    }
    for (const v1::Event& event : batch.events) {
      if (options.wanted != nullptr && !options.wanted(event)) continue;
      if (!writer.Write(event)) return grpc::Status::OK;
    }
    if (batch.closed) break;
  }
  return grpc::Status::OK;
}

}  // namespace salve
