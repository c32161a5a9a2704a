#include "probes/grpc_frame.h"

#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace salve {
namespace {

constexpr size_t kPrefixBytes = 5;  // Whether it is compressed, and the length.
constexpr size_t kMessageTextMax = 200;
constexpr int kVarintBytesMax = 10;
constexpr uint64_t kStatusField = 1;
constexpr uint64_t kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5;

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(what); }

std::string Varint(uint64_t number) {
  std::string bytes;
  for (; number >= 0x80; number >>= 7) bytes += static_cast<char>(number | 0x80);
  return bytes + static_cast<char>(number);
}

bool TakeVarint(absl::string_view& bytes, uint64_t& number) {
  number = 0;
  for (int i = 0; i < kVarintBytesMax; ++i) {
    if (bytes.empty()) return false;
    const uint64_t byte = static_cast<unsigned char>(bytes[0]);
    bytes.remove_prefix(1);
    number |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) return true;
  }
  return false;
}

bool Skip(absl::string_view& bytes, uint64_t wire_type) {
  uint64_t size = 0;
  switch (wire_type) {
    case kVarint:
      return TakeVarint(bytes, size);
    case kFixed64:
      size = 8;
      break;
    case kFixed32:
      size = 4;
      break;
    case kLengthDelimited:
      if (!TakeVarint(bytes, size)) return false;
      break;
    default:
      return false;
  }
  if (size > bytes.size()) return false;
  bytes.remove_prefix(size);
  return true;
}

int HexDigit(char c) {
  if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return -1;
  return absl::ascii_isdigit(static_cast<unsigned char>(c)) ? c - '0'
                                                            : absl::ascii_tolower(c) - 'a' + 10;
}

}  // namespace

std::string GrpcHealthRequest(absl::string_view service) {
  std::string message;
  if (!service.empty()) absl::StrAppend(&message, "\x0a", Varint(service.size()), service);
  std::string body(1, '\0');  // Not compressed.
  for (int shift = 24; shift >= 0; shift -= 8) body += static_cast<char>(message.size() >> shift);
  return body + message;
}

absl::StatusOr<uint64_t> ParseGrpcHealthResponse(absl::string_view body) {
  if (body.empty()) return Bad("it holds no message");
  if (body.size() < kPrefixBytes) return Bad("its message is cut");
  if (body[0] != 0) return Bad("its message is compressed");
  uint64_t size = 0;
  for (const char byte : body.substr(1, 4)) size = size << 8 | static_cast<unsigned char>(byte);
  absl::string_view message = body.substr(kPrefixBytes);
  if (message.size() < size) return Bad("its message is cut");
  if (message.size() > size) return Bad("it holds more than one message");
  uint64_t status = 0;  // As the language has it, what is not there is 0.
  while (!message.empty()) {
    uint64_t tag = 0;
    if (!TakeVarint(message, tag)) return Bad("its message cannot be read");
    const bool is_status = tag == (kStatusField << 3 | kVarint);
    if (!(is_status ? TakeVarint(message, status) : Skip(message, tag & 7))) {
      return Bad("its message cannot be read");
    }
  }
  return status;
}

std::string ServingStatusName(uint64_t status) {
  static constexpr const char* kNames[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  return status < std::size(kNames) ? kNames[status] : absl::StrCat("status ", status);
}

std::string GrpcStatusName(int code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  if (code >= 0 && code < static_cast<int>(std::size(kNames))) return kNames[code];
  return absl::StrCat("code ", code);
}

std::string GrpcMessageText(absl::string_view header) {
  std::string text;
  for (size_t i = 0; i < header.size() && text.size() < kMessageTextMax; ++i) {
    char c = header[i];
    if (c == '%' && i + 2 < header.size() && HexDigit(header[i + 1]) >= 0 &&
        HexDigit(header[i + 2]) >= 0) {
      c = static_cast<char>(HexDigit(header[i + 1]) << 4 | HexDigit(header[i + 2]));
      i += 2;
    }
    text += absl::ascii_isprint(static_cast<unsigned char>(c)) ? c : '?';
  }
  return text;
}

}  // namespace salve
