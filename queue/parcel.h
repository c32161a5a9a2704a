// Parcels: a message on its way as bytes, in a file of `queue message export` or a transfer.
#ifndef SALVE_QUEUE_PARCEL_H_
#define SALVE_QUEUE_PARCEL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "queue/message.pb.h"

namespace salve {

constexpr int kParcelVersion = 1;

// A serialized queue::Parcel with the message and its SHA-256.
// Errors: kInvalidArgument: OpenParcel would refuse the message.
absl::StatusOr<std::string> MakeParcel(const queue::Message& message);

// Takes only what MakeParcel could have made: of this version, with a digest that fits, at most
// MessageStore::kMessageBytesMax of message, whose names are names and whose type fits its content.
// Errors: kInvalidArgument: not so; kFailedPrecondition: of a newer version. Both say why.
absl::StatusOr<queue::Message> OpenParcel(absl::string_view bytes);

// Why no queue takes such a message from outside; "": it does.
std::string WhyNoMessage(const queue::Message& message);

}  // namespace salve

#endif  // SALVE_QUEUE_PARCEL_H_
