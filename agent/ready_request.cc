#include "agent/ready_request.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace salve {
namespace {

const char* ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Service Unavailable";
  }
}

// Whether the empty line after the headers is there; a bare newline ends a line too.
bool IsWhole(absl::string_view received) {
  return absl::StrContains(received, "\r\n\r\n") || absl::StrContains(received, "\n\n");
}

}  // namespace

ReadyRequest ReadReadyRequest(absl::string_view received) {
  using Kind = ReadyRequest::Kind;
  const bool is_whole = IsWhole(received.substr(0, kReadyRequestBytesMax));
  if (!is_whole && received.size() >= kReadyRequestBytesMax) return {Kind::kTooLarge, ""};
  const size_t end = received.find('\n');
  if (end == absl::string_view::npos) return {};
  absl::string_view line = received.substr(0, end);
  absl::ConsumeSuffix(&line, "\r");
  // What is no HTTP is told at its first line.
  const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
  const bool is_http = parts.size() == 3 && !parts[0].empty() &&
                       std::all_of(parts[0].begin(), parts[0].end(), absl::ascii_isupper) &&
                       absl::StartsWith(parts[1], "/") &&
                       std::all_of(parts[1].begin(), parts[1].end(), absl::ascii_isgraph) &&
                       (parts[2] == "HTTP/1.1" || parts[2] == "HTTP/1.0");
  if (!is_http) return {Kind::kBad, ""};
  if (!is_whole) return {};
  const Kind kind = parts[0] == "GET"    ? Kind::kGet
                    : parts[0] == "HEAD" ? Kind::kHead
                                         : Kind::kOther;
  return {kind, std::string(parts[1].substr(0, parts[1].find('?')))};
}

std::string ReadyAnswer(int status, absl::string_view body, bool is_head) {
  return absl::StrCat("HTTP/1.1 ", status, " ", ReasonOf(status),
                      "\r\nContent-Type: text/plain\r\nContent-Length: ", body.size(),
                      status == 405 ? "\r\nAllow: GET, HEAD" : "",
                      "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
                      is_head ? "" : body);
}

}  // namespace salve
