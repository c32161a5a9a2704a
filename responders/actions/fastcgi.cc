#include "responders/actions/fastcgi.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint16_t kRequestId = 1;
constexpr size_t kHeaderBytes = 8;

enum RecordType : uint8_t {
  kBeginRequest = 1,
  kEndRequest = 3,
  kParams = 4,
  kStdin = 5,
  kStdout = 6,
  kStderr = 7,
};

absl::Status Bad(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat("the answer ", what));
}

uint8_t ByteOf(absl::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }
uint16_t NumberAt(absl::string_view bytes, size_t at) {
  return static_cast<uint16_t>(ByteOf(bytes, at) << 8 | ByteOf(bytes, at + 1));
}

void AppendRecord(RecordType type, absl::string_view content, std::string& to) {
  CHECK(content.size() <= 0xffff);
  const uint8_t header[kHeaderBytes] = {kVersion,
                                        type,
                                        kRequestId >> 8,
                                        kRequestId & 0xff,
                                        static_cast<uint8_t>(content.size() >> 8),
                                        static_cast<uint8_t>(content.size() & 0xff),
                                        0,
                                        0};
  to.append(reinterpret_cast<const char*>(header), sizeof(header));
  to.append(content.data(), content.size());
}

void AppendLength(size_t length, std::string& to) {
  if (length > 127) {
    to.push_back(static_cast<char>(0x80 | length >> 24));
    to.push_back(static_cast<char>(length >> 16 & 0xff));
    to.push_back(static_cast<char>(length >> 8 & 0xff));
  }
  to.push_back(static_cast<char>(length & 0xff));
}

void AppendParam(absl::string_view name, absl::string_view value, std::string& to) {
  AppendLength(name.size(), to);
  AppendLength(value.size(), to);
  absl::StrAppend(&to, name, value);
}

// What follows the header of CGI; its Status line, where it has one, goes to `status`.
absl::StatusOr<std::string> BodyOf(absl::string_view output, int& status) {
  const size_t with_cr = output.find("\r\n\r\n"), without = output.find("\n\n");
  const size_t end = std::min(with_cr, without);
  if (end == absl::string_view::npos) return Bad("has a header without an end");
  for (absl::string_view line : absl::StrSplit(output.substr(0, end), '\n')) {
    if (!absl::StartsWithIgnoreCase(line, "status:")) continue;
    line = absl::StripAsciiWhitespace(line.substr(sizeof("status:") - 1));
    if (!absl::SimpleAtoi(line.substr(0, line.find(' ')), &status)) return Bad("has no status");
  }
  return std::string(output.substr(end + (end == with_cr ? 4 : 2)));
}

}  // namespace

std::string FastCgiGet(absl::string_view path) {
  std::string bytes, params;
  constexpr char kResponder[] = {0, 1, 0, 0, 0, 0, 0, 0};  // And close the connection afterwards.
  AppendRecord(kBeginRequest, absl::string_view(kResponder, sizeof(kResponder)), bytes);
  AppendParam("REQUEST_METHOD", "GET", params);
  AppendParam("SCRIPT_NAME", path, params);
  AppendParam("SCRIPT_FILENAME", path, params);
  AppendParam("REQUEST_URI", path, params);
  AppendParam("QUERY_STRING", "", params);
  AppendParam("SERVER_PROTOCOL", "HTTP/1.1", params);
  AppendParam("GATEWAY_INTERFACE", "CGI/1.1", params);
  AppendRecord(kParams, params, bytes);
  AppendRecord(kParams, "", bytes);
  AppendRecord(kStdin, "", bytes);
  return bytes;
}

absl::StatusOr<FastCgiAnswer> ReadFastCgiAnswer(absl::string_view bytes) {
  if (bytes.size() > kFastCgiAnswerBytesMax) return Bad("is too long");
  std::string output;
  while (bytes.size() >= kHeaderBytes) {
    if (ByteOf(bytes, 0) != kVersion || NumberAt(bytes, 2) != kRequestId) {
      return Bad("is no FastCGI");
    }
    const uint8_t type = ByteOf(bytes, 1);
    const size_t length = NumberAt(bytes, 4), padding = ByteOf(bytes, 6);
    bytes.remove_prefix(kHeaderBytes);
    if (bytes.size() < length) break;
    const absl::string_view content = bytes.substr(0, length);
    if (type == kStdout) {
      output.append(content.data(), content.size());
    } else if (type == kEndRequest) {
      if (length < 8) return Bad("ends too early");
      if (const int refusal = ByteOf(content, 4); refusal != 0) {
        return Bad(absl::StrCat("is a refusal: protocol status ", refusal));
      }
      FastCgiAnswer answer{.is_complete = true};
      ASSIGN_OR_RETURN(answer.body, BodyOf(output, answer.status));
      return answer;
    } else if (type != kStderr) {
      return Bad(absl::StrCat("has a record of type ", type));
    }
    bytes.remove_prefix(std::min(length + padding, bytes.size()));
  }
  return FastCgiAnswer{};
}

}  // namespace salve
