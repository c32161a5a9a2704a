#include "queue/acceptor_record.h"

#include "absl/strings/str_cat.h"
#include "config/names.h"
#include "config/queue.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "throttling/group_history.h"

namespace salve {

std::string AcceptorRecord(absl::string_view address) {
  return absl::StrCat("{\"address\":\"", address, "\"}");
}

absl::StatusOr<Acceptor> ParseAcceptorRecord(absl::string_view key, absl::string_view value) {
  Acceptor acceptor;
  acceptor.server = UnescapeKeyPart(key.substr(key.rfind('/') + 1));
  if (!IsValidName(acceptor.server)) {
    return absl::InvalidArgumentError(absl::StrCat(key, ": ends with no name of a server"));
  }
  if (value.size() > kAcceptorRecordBytesMax) {
    return absl::DataLossError(
        absl::StrCat(key, ": has more than ", kAcceptorRecordBytesMax, " bytes"));
  }
  google::protobuf::Struct json;
  if (!google::protobuf::util::JsonStringToMessage({value.data(), value.size()}, &json).ok()) {
    return absl::DataLossError(absl::StrCat(key, ": holds no JSON object"));
  }
  const auto address = json.fields().find("address");
  if (address == json.fields().end() || !address->second.has_string_value()) {
    return absl::DataLossError(absl::StrCat(key, ": has no address"));
  }
  acceptor.address = address->second.string_value();
  if (const auto parsed = ParseHostPort(acceptor.address); !parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(key, ": ", parsed.status().message()));
  }
  return acceptor;
}

}  // namespace salve
