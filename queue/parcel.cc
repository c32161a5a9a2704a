#include "queue/parcel.h"

#include <openssl/sha.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "queue/message_store.h"

namespace salve {
namespace {

constexpr size_t kNameBytesMax = 256;
// Beside the message: the version, the digest, tags and lengths.
constexpr size_t kWrappingBytesMax = 128;
constexpr int kPriorityMax = 10;

std::string Sha256(absl::string_view bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

bool IsText(absl::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
}

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && IsText(text);
}

// MIDs become names of files and words of command lines.
bool IsMid(absl::string_view text) {
  return IsName(text) && text[0] != '.' && text.find_first_of("/ \\") == absl::string_view::npos;
}

std::string WhyNoContent(const queue::Message& message) {
  if (message.type() == queue::UP) {
    const queue::Deferred& deferred = message.deferred();
    if (!message.has_deferred() || message.has_letter()) return "a UP holds an action alone";
    if (deferred.responder().empty() == deferred.action().empty()) {
      return "a UP names either a responder or an action";
    }
    if (!IsName(deferred.resource())) return "deferred.resource is no name";
    return "";
  }
  if (!message.has_letter() || message.has_deferred()) return "an AF or AR holds a letter alone";
  if (!queue::Letter::Kind_IsValid(message.letter().kind())) return "letter.kind is unknown";
  if (!IsName(message.destination())) return "destination is no name";
  return "";
}

}  // namespace

std::string WhyNoMessage(const queue::Message& message) {
  if (!IsMid(message.mid())) return "mid is missing or no MID";
  if (!IsMid(message.origin_mid())) return "origin_mid is missing or no MID";
  if (!IsName(message.origin_server())) return "origin_server is missing or no name";
  if (message.type() == queue::TYPE_UNSPECIFIED || !queue::Type_IsValid(message.type())) {
    return absl::StrCat("type ", static_cast<int>(message.type()), " is unknown");
  }
  if (message.created_ns() < 0 || message.expires_ns() < 0) return "a time before 1970";
  if (message.attempts() < 0 || message.deliveries() < 0 || message.crash_count() < 0 ||
      message.hops() < 0) {
    return "a negative count";
  }
  if (message.priority() < -kPriorityMax || message.priority() > kPriorityMax) {
    return absl::StrCat("priority ", message.priority(), " is not in [-10, 10]");
  }
  if (message.submission_key().size() > kNameBytesMax || !IsText(message.submission_key())) {
    return "submission_key is no name";
  }
  if (message.correlation().size() > kNameBytesMax || !IsText(message.correlation())) {
    return "correlation is no name";
  }
  return WhyNoContent(message);
}

absl::StatusOr<std::string> MakeParcel(const queue::Message& message) {
  if (const std::string why = WhyNoMessage(message); !why.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the message can't be packed: ", why));
  }
  queue::Parcel parcel;
  parcel.set_version(kParcelVersion);
  // Text that is not UTF-8 can be written but not read back.
  if (!message.SerializeToString(parcel.mutable_message()) ||
      !queue::Message().ParseFromString(parcel.message())) {
    return absl::InvalidArgumentError("the message can't be packed: a text of it is not UTF-8");
  }
  if (parcel.message().size() > MessageStore::kMessageBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("the message can't be packed: it has ",
                                                   parcel.message().size(), " bytes, allowed are ",
                                                   MessageStore::kMessageBytesMax));
  }
  parcel.set_digest(Sha256(parcel.message()));
  return parcel.SerializeAsString();
}

absl::StatusOr<queue::Message> OpenParcel(absl::string_view bytes) {
  if (bytes.size() > MessageStore::kMessageBytesMax + kWrappingBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("the parcel is too large: ", bytes.size(), " bytes"));
  }
  queue::Parcel parcel;
  if (!parcel.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      parcel.version() < kParcelVersion) {
    return absl::InvalidArgumentError("this is no parcel with a message");
  }
  if (parcel.version() > kParcelVersion) {
    return absl::FailedPreconditionError(absl::StrCat("the parcel has version ", parcel.version(),
                                                      ", this program knows ", kParcelVersion,
                                                      ": it was made by a newer one; use that"));
  }
  if (parcel.message().size() > MessageStore::kMessageBytesMax) {
    return absl::InvalidArgumentError("the message in the parcel is too large");
  }
  if (parcel.digest() != Sha256(parcel.message())) {
    return absl::InvalidArgumentError("the parcel is damaged: its message does not fit its digest");
  }
  queue::Message message;
  if (!message.ParseFromString(parcel.message())) {
    return absl::InvalidArgumentError("the message in the parcel can't be read");
  }
  if (const std::string why = WhyNoMessage(message); !why.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the message in the parcel is refused: ", why));
  }
  return message;
}

}  // namespace salve
