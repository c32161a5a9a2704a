#include "probes/conversation_fields.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "probes/field_checks.h"
#include "probes/numeric_address.h"
#include "probes/socket_address.h"

namespace salve {
namespace {

constexpr size_t kPasswordBytesMax = 1024;
constexpr const char* kDefaultHost = "127.0.0.1";

bool IsControl(char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); }

bool IsPath(const std::string& host) { return absl::StartsWith(host, "/"); }

absl::Status CheckUnixSocket(const ConversationFields& fields) {
  const auto path = [&](absl::string_view field) { return absl::StrCat(fields.kind, ".", field); };
  RETURN_IF_ERROR(CheckLength(path("host"), fields.host, kUnixPathBytesMax));
  if (fields.port != 0) return BadField(path("port"), "a Unix socket has none");
  const bool needs_name = fields.start_tls || (fields.tls != nullptr &&
                                               (!fields.tls->has_verify() || fields.tls->verify()));
  if (needs_name && (fields.tls == nullptr || fields.tls->server_name().empty())) {
    return BadField(path("tls.server_name"), "needed: a Unix socket has no name to be checked");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckWord(absl::string_view path, absl::string_view value, size_t max) {
  RETURN_IF_ERROR(CheckLength(path, value, max));
  if (std::none_of(value.begin(), value.end(), IsControl)) return absl::OkStatus();
  return BadField(path, "a control character (CR, LF, NUL …) can't stand in it");
}

absl::Status CheckConversationFields(const ConversationFields& fields) {
  const auto path = [&](absl::string_view field) { return absl::StrCat(fields.kind, ".", field); };
  RETURN_IF_ERROR(CheckWord(path("host"), fields.host, 253));
  RETURN_IF_ERROR(CheckRange(path("port"), fields.port, 0, 65535));
  if (fields.tls != nullptr) RETURN_IF_ERROR(CheckTls(path("tls"), *fields.tls));
  if (IsPath(fields.host)) RETURN_IF_ERROR(CheckUnixSocket(fields));
  RETURN_IF_ERROR(CheckWord(path("user"), fields.user));
  if (fields.password_file.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckWord(path("password_file"), fields.password_file, 4095));
  if (!IsPath(fields.password_file)) {
    return BadField(path("password_file"),
                    absl::StrCat("'", fields.password_file, "' is no path from / on"));
  }
  if (fields.tls == nullptr && !fields.start_tls && IsNumericAddress(fields.host) &&
      !IsLoopback(fields.host)) {
    return BadField(path("password_file"),
                    absl::StrCat("no password is sent to ", fields.host, " without TLS"));
  }
  return absl::OkStatus();
}

absl::Status CheckBothOrNone(const ConversationFields& fields) {
  if (fields.user.empty() == fields.password_file.empty()) return absl::OkStatus();
  return BadField(absl::StrCat(fields.kind, fields.user.empty() ? ".user" : ".password_file"),
                  "user and password_file are needed both or not at all");
}

TlsClient::Options TlsOptionsOf(const config::Tls& tls, const std::string& host) {
  return {.verify = !tls.has_verify() || tls.verify(),
          .ca_file = tls.ca_file(),
          .server_name = tls.server_name().empty() ? host : tls.server_name()};
}

ConversationOptions OptionsOf(const ConversationFields& fields) {
  ConversationOptions options;
  options.host = fields.host.empty() ? kDefaultHost : fields.host;
  const bool has_tls = fields.tls != nullptr || fields.start_tls;
  options.tls_from_start = has_tls && !fields.start_tls;
  const uint16_t usual_port = options.tls_from_start ? fields.tls_port : fields.plain_port;
  options.port = fields.port == 0 ? usual_port : static_cast<uint16_t>(fields.port);
  if (has_tls) {
    const config::Tls& tls = fields.tls == nullptr ? config::Tls::default_instance() : *fields.tls;
    options.tls = TlsOptionsOf(tls, options.host);
    options.min_days_left = tls.min_days_left();
  }
  options.needs_secrecy = !fields.password_file.empty();
  return options;
}

absl::StatusOr<std::string> ReadPassword(const std::string& file) {
  if (file.empty()) return std::string();
  // One byte more than fits: so that a longer line is seen.
  absl::StatusOr<std::string> text = ReadFile(file, kPasswordBytesMax + 2);
  if (!text.ok()) {
    return absl::UnavailableError(
        absl::StrCat("cannot read the password file ", text.status().message()));
  }
  text->resize(std::min(text->size(), text->find('\n')));
  if (absl::EndsWith(*text, "\r")) text->pop_back();
  if (text->empty() || text->size() > kPasswordBytesMax ||
      std::any_of(text->begin(), text->end(), IsControl)) {
    return absl::UnavailableError(
        absl::StrCat("the first line of the password file ", file,
                     " is empty, has a control character or more than 1 KiB"));
  }
  return *std::move(text);
}

}  // namespace salve
