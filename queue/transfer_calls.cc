#include "queue/transfer_calls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "queue/parcel.h"

namespace salve {
namespace {

constexpr size_t kDetailBytesMax = 1024;

DeliveryResult Result(DeliveryResult::Kind kind, absl::string_view detail) {
  return {.kind = kind, .detail = std::string(detail.substr(0, kDetailBytesMax))};
}

// No message may die of what is wrong with the way or with the caller: only what the peer says
// about the message, or its own failure with it, counts against the message.
DeliveryResult::Kind KindOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kOutOfRange:
      return DeliveryResult::Kind::kFailedOn;
    default:
      return DeliveryResult::Kind::kNotReached;
  }
}

// "web-2:7443: ANOTHER: back pressure"
std::string SaidBy(const std::string& address, const v1::TransferResponse& response) {
  const std::string said =
      absl::StrCat(address, ": ", v1::TransferResponse::Answer_Name(response.answer()),
                   response.reason().empty() ? "" : ": ", response.reason());
  return said.substr(0, kDetailBytesMax);
}

}  // namespace

Peer PeerOf(const config::Forward& forward) {
  return {.address = forward.address(),
          .server_name = forward.server_name(),
          .files = {.certificate = forward.certificate_file(),
                    .key = forward.key_file(),
                    .ca = forward.ca_file()}};
}

TransferCalls::TransferCalls(EventLoop& loop, PeerClient& client, std::string server)
    : loop_(loop), client_(client), server_(std::move(server)) {}

TransferCalls::~TransferCalls() {
  alive_.reset();
  for (const auto& [id, delivery] : deliveries_) client_.Cancel(delivery.call);
}

Deliverer::Id TransferCalls::Start(const Peer& peer, v1::TransferRequest::Purpose purpose,
                                   queue::Message message, Instant deadline, const Meaning& meaning,
                                   Deliverer::Done done) {
  message.clear_handed_to();  // Is about the queue here.
  absl::StatusOr<std::string> parcel = MakeParcel(message);
  if (!parcel.ok()) {
    return Answer(Result(DeliveryResult::Kind::kRefused, parcel.status().message()),
                  std::move(done));
  }
  v1::TransferRequest request;
  request.set_purpose(purpose);
  request.set_sender(server_);
  request.set_parcel(*std::move(parcel));
  request.set_confirms(purpose == v1::TransferRequest::RELAY);
  const Deliverer::Id id{++last_id_};
  deliveries_[id].done = std::move(done);
  deliveries_[id].call = client_.Transfer(
      peer, std::move(request), deadline,
      [this, alive = std::weak_ptr<bool>(alive_), id, meaning,
       address = peer.address](absl::StatusOr<v1::TransferResponse> response) {
        if (alive.expired()) return;
        if (!response.ok()) {
          return End(id, Result(KindOf(response.status()), response.status().message()));
        }
        End(id, Result(meaning(response->answer()), SaidBy(address, *response)));
      });
  return id;
}

Deliverer::Id TransferCalls::Answer(DeliveryResult result, Deliverer::Done done) {
  const Deliverer::Id id{++last_id_};
  deliveries_[id].done = std::move(done);
  loop_.Post([this, alive = std::weak_ptr<bool>(alive_), id, result = std::move(result)] {
    if (!alive.expired()) End(id, result);
  });
  return id;
}

void TransferCalls::Cancel(Deliverer::Id id) {
  const auto found = deliveries_.find(id);
  if (found == deliveries_.end()) return;
  client_.Cancel(found->second.call);
  deliveries_.erase(found);
}

void TransferCalls::End(Deliverer::Id id, DeliveryResult result) {
  const auto found = deliveries_.find(id);
  if (found == deliveries_.end()) return;
  Deliverer::Done done = std::move(found->second.done);
  deliveries_.erase(found);
  done(std::move(result));
}

void TransferCalls::CheckArrival(const Peer& peer, const queue::Message& message, Arrival done) {
  v1::CheckArrivalRequest request;
  request.set_origin_server(message.origin_server());
  request.set_origin_mid(message.origin_mid());
  client_.CheckArrival(peer, std::move(request), loop_.Now() + kAskTime,
                       [alive = std::weak_ptr<bool>(alive_), done = std::move(done)](
                           absl::StatusOr<v1::CheckArrivalResponse> response) mutable {
                         if (!alive.expired()) done(std::move(response));
                       });
}

void TransferCalls::EndTransfers(const Peer& peer, v1::EndTransfersRequest request, Ended done) {
  request.set_sender(server_);
  client_.EndTransfers(peer, std::move(request), loop_.Now() + kAskTime,
                       [alive = std::weak_ptr<bool>(alive_), done = std::move(done)](
                           absl::StatusOr<v1::EndTransfersResponse> response) mutable {
                         if (!alive.expired()) done(std::move(response));
                       });
}

void TransferCalls::Probe(const Peer& peer, Probed done) {
  v1::TransferRequest request;
  request.set_purpose(v1::TransferRequest::PROBE);
  request.set_sender(server_);
  client_.Transfer(peer, std::move(request), loop_.Now() + kAskTime,
                   [alive = std::weak_ptr<bool>(alive_), address = peer.address,
                    done = std::move(done)](absl::StatusOr<v1::TransferResponse> response) mutable {
                     if (alive.expired()) return;
                     if (!response.ok()) return done(response.status());
                     if (response->answer() == v1::TransferResponse::ACCEPTED)
                       return done(absl::OkStatus());
                     done(absl::UnavailableError(SaidBy(address, *response)));
                   });
}

}  // namespace salve
