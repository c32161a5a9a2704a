#include "responders/escalation/render.h"

#include <algorithm>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "channels/event_text.h"
#include "config/text_template.h"

namespace salve {
namespace {

constexpr char kSubject[] = "[{server}] {subject}";
constexpr char kMail[] =
    "{message}\n"
    "\n"
    "what:      {kind}\n"
    "server:    {server}\n"
    "group:     {group}\n"
    "monitor:   {health_set}/{monitor}\n"
    "state:     {state}\n"
    "error:     {error}\n"
    "time:      {time}\n"
    "incident:  {incident}\n"
    "\n"
    "On the server: salvectl explain {incident}\n";
constexpr char kDigestMail[] = "{message}\n\nserver: {server}\ntime:   {time}\n";
constexpr char kJson[] =
    R"({{"kind": "{kind}", "subject": "{subject}", "message": "{message}", "server": "{server}", )"
    R"("group": "{group}", "health_set": "{health_set}", "monitor": "{monitor}", )"
    R"("state": "{state}", "error": "{error}", "incident": "{incident}", "time": "{time}"})";

constexpr size_t kSubjectBytesMax = 400;
constexpr size_t kBodyBytesMax = 256 * 1024;
constexpr size_t kEncodedWordBytes = 42;  // 56 in Base64: a word has at most 75.
constexpr size_t kMailLineMax = 76;

std::string Render(absl::string_view text, const Letter& letter,
                   absl::FunctionRef<std::string(std::string)> escape) {
  const auto parsed = TextTemplate::Parse(text, NamesOfMessages());
  CHECK(parsed.ok());
  return parsed->Render(
      [&](absl::string_view name) { return escape(NoticeValue(letter.notice, name)); });
}

std::string AsIs(std::string value) { return value; }

// A header's value in printable ASCII; beyond it as encoded words of RFC 2047.
std::string HeaderText(std::string text) {
  std::replace_if(text.begin(), text.end(), absl::ascii_iscntrl, ' ');
  text = CleanText(text, kSubjectBytesMax);
  if (std::all_of(text.begin(), text.end(), absl::ascii_isprint) &&
      !absl::StrContains(text, "=?")) {
    return text;
  }
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(at + kEncodedWordBytes, text.size());
    // Each word must be whole characters.
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    words.push_back(
        absl::StrCat("=?UTF-8?B?", absl::Base64Escape(text.substr(at, end - at)), "?="));
    at = end;
  }
  return absl::StrJoin(words, "\r\n ");
}

// One line of the body as quoted-printable.
std::string QuotedPrintable(absl::string_view line) {
  std::string out;
  size_t column = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool is_last = i + 1 == line.size();
    const bool is_plain =
        (absl::ascii_isgraph(c) && c != '=') || (!is_last && (c == ' ' || c == '\t'));
    const std::string piece =
        is_plain ? std::string(1, c) : absl::StrFormat("=%02X", static_cast<unsigned char>(c));
    if (column + piece.size() > kMailLineMax - 1) {
      out += "=\r\n";
      column = 0;
    }
    out += piece;
    column += piece.size();
  }
  return out + "\r\n";
}

std::string JsonEscaped(std::string value) {
  std::string out;
  for (const char c : CleanText(value, kBodyBytesMax)) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (absl::ascii_iscntrl(c)) {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string RenderMail(const config::Smtp& smtp, const Letter& letter) {
  const Notice& notice = letter.notice;
  std::string mail = absl::StrCat(
      "From: <", smtp.from(), ">\r\nTo: ",
      absl::StrJoin(
          smtp.to(), ",\r\n ",
          [](std::string* out, const std::string& to) { absl::StrAppend(out, "<", to, ">"); }),
      "\r\nSubject: ",
      HeaderText(Render(smtp.subject().empty() ? kSubject : smtp.subject(), letter, AsIs)),
      "\r\nDate: ",
      absl::FormatTime("%a, %d %b %Y %H:%M:%S +0000", notice.time, absl::UTCTimeZone()),
      "\r\nMessage-ID: <", letter.id, "@", notice.server, ">\r\n");
  // Mails of one incident stand together.
  if (!notice.incident_id.empty()) {
    absl::StrAppend(&mail, "References: <", notice.incident_id, "@", notice.server, ">\r\n");
  }
  absl::StrAppend(&mail,
                  "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                  "Content-Type: text/plain; charset=utf-8\r\n"
                  "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
  const bool is_digest = notice.kind == Notice::Kind::kDigest;
  const std::string body = Render(!smtp.body().empty() ? absl::string_view(smtp.body())
                                  : is_digest          ? kDigestMail
                                                       : kMail,
                                  letter, AsIs);
  for (absl::string_view line : absl::StrSplit(CleanText(body, kBodyBytesMax), '\n')) {
    mail += QuotedPrintable(line);
  }
  return mail;
}

std::string RenderBody(const config::Webhook& webhook, const Letter& letter) {
  return Render(webhook.body().empty() ? kJson : webhook.body(), letter, JsonEscaped);
}

}  // namespace salve
