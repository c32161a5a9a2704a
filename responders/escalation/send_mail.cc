#include "responders/escalation/send_mail.h"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "channels/event_text.h"

namespace salve {
namespace {

constexpr size_t kAnswerBytesMax = 64 * 1024;  // Of all that the relay says.
constexpr size_t kLineBytesMax = 200;          // Of one line, when it is told.
constexpr absl::Duration kQuitMax = absl::Seconds(2);

struct FreeCurl {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

// One transfer, as libcurl's callbacks see it.
struct Transfer {
  const MailOrder& order;
  const Clock& clock;
  const std::atomic<bool>& cancelled;
  size_t sent = 0;
  size_t received = 0;
  int last_code = 0;
  Instant last_line_at = {};
  std::string refusal = {};  // The last line with a code of 400 or more.
  bool later = false;        // One of them was below 500.

  // The mail is taken, and libcurl waits for nothing but the answer to QUIT.
  bool IsTaken() const { return sent == order.mail.size() && last_code / 100 == 2; }
};

bool IsNumeric(const std::string& host) {
  unsigned char address[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), address) == 1;
}

size_t OnRead(char* into, size_t size, size_t count, void* data) {
  Transfer& transfer = *static_cast<Transfer*>(data);
  const std::string& mail = transfer.order.mail;
  const size_t n = std::min(size * count, mail.size() - transfer.sent);
  memcpy(into, mail.data() + transfer.sent, n);
  transfer.sent += n;
  return n;
}

size_t OnLine(char* bytes, size_t size, size_t count, void* data) {
  Transfer& transfer = *static_cast<Transfer*>(data);
  const absl::string_view line(bytes, size * count);
  transfer.received += line.size();
  if (transfer.received > kAnswerBytesMax) return 0;
  int code = 0;
  if (line.size() < 3 || !absl::SimpleAtoi(line.substr(0, 3), &code)) return line.size();
  transfer.last_code = code;
  transfer.last_line_at = transfer.clock.Now();
  if (code >= 400) {
    transfer.later |= code < 500;
    // With a password, the line might echo it.
    const bool tell = transfer.order.password.empty();
    std::string text(absl::StripAsciiWhitespace(tell ? line : line.substr(0, 3)));
    std::replace_if(text.begin(), text.end(), absl::ascii_iscntrl, ' ');
    transfer.refusal = CleanText(text, kLineBytesMax);
  }
  return line.size();
}

int OnProgress(void* data, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const Transfer& transfer = *static_cast<const Transfer*>(data);
  const Instant now = transfer.clock.Now();
  return transfer.cancelled || now >= transfer.order.deadline ||
         (transfer.IsTaken() && now - transfer.last_line_at > kQuitMax);
}

std::string WhyNot(const Transfer& transfer, CURLcode code, const char* details,
                   const std::string& relay) {
  if (transfer.received > kAnswerBytesMax) return absl::StrCat(relay, " says more than 64 KiB");
  if (code == CURLE_OPERATION_TIMEDOUT || code == CURLE_ABORTED_BY_CALLBACK) {
    return absl::StrCat(relay, " took too long",
                        transfer.last_code == 0
                            ? ": it has said nothing"
                            : absl::StrCat("; the last that it said was ", transfer.last_code));
  }
  if (!transfer.refusal.empty()) return absl::StrCat(relay, " refuses: ", transfer.refusal);
  if (code == CURLE_LOGIN_DENIED) return absl::StrCat(relay, " refuses the user or the password");
  return absl::StrCat(
      relay, ": ",
      details[0] == '\0' || !transfer.order.password.empty() ? curl_easy_strerror(code) : details);
}

// Whether the relay refused the letter itself: its sender, its recipients or its text. Before MAIL
// it did not come to that.
bool IsRefusal(const Transfer& transfer, CURLcode code) {
  if (transfer.refusal.empty()) return false;
  return code == CURLE_SEND_ERROR || (code == CURLE_WEIRD_SERVER_REPLY && transfer.sent > 0);
}

}  // namespace

Relay RelayOf(const std::string& url) {
  Relay relay;
  absl::string_view rest = url;
  relay.is_tls = absl::ConsumePrefix(&rest, "smtps://");
  absl::ConsumePrefix(&rest, "smtp://");
  relay.port = relay.is_tls ? 465 : 25;
  size_t colon = rest.find(':');
  if (absl::ConsumePrefix(&rest, "[")) {
    const size_t end = rest.find(']');
    relay.host = std::string(rest.substr(0, end));
    rest = end == absl::string_view::npos ? absl::string_view() : rest.substr(end + 1);
    colon = rest.find(':');
  } else {
    relay.host = std::string(rest.substr(0, colon));
  }
  if (colon != absl::string_view::npos && !absl::SimpleAtoi(rest.substr(colon + 1), &relay.port)) {
    relay.port = 0;
  }
  relay.is_numeric = IsNumeric(relay.host);
  return relay;
}

absl::StatusOr<std::string> SendMail(const MailOrder& order, const Clock& clock,
                                     const std::atomic<bool>& cancelled) {
  const config::Smtp& smtp = order.smtp;
  const Relay relay = RelayOf(smtp.url());
  const std::string name = absl::StrCat(relay.host, ":", relay.port);
  const std::unique_ptr<CURL, FreeCurl> handle(curl_easy_init());
  CURL* easy = handle.get();
  if (easy == nullptr) return absl::UnavailableError("no memory");
  Transfer transfer{.order = order, .clock = clock, .cancelled = cancelled};
  char details[CURL_ERROR_SIZE] = "";

  // libcurl takes the name to ask for and to check from the URL.
  const std::string& server_name = smtp.tls().server_name();
  const std::string& host = server_name.empty() ? relay.host : server_name;
  const std::string in_url = absl::StrContains(host, ':') ? absl::StrCat("[", host, "]") : host;
  const std::string url =
      absl::StrCat(relay.is_tls ? "smtps://" : "smtp://", in_url, ":", relay.port, "/", order.helo);
  // An address in the URL is no name: there is nothing to resolve.
  const std::string entry =
      absl::StrCat("+", host, ":", relay.port, ":", absl::StrJoin(order.addresses, ","));
  const std::unique_ptr<curl_slist, FreeCurl> resolve(
      IsNumeric(host) ? nullptr : curl_slist_append(nullptr, entry.c_str()));
  std::unique_ptr<curl_slist, FreeCurl> recipients;
  for (const std::string& to : smtp.to()) {
    recipients.reset(curl_slist_append(recipients.release(), absl::StrCat("<", to, ">").c_str()));
  }
  const int64_t left = absl::ToInt64Milliseconds(order.deadline - clock.Now());
  const long ms = static_cast<long>(std::clamp<int64_t>(left, 1, 3600 * 1000));

  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  curl_easy_setopt(easy, CURLOPT_RESOLVE, resolve.get());
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, details);
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, ms);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, ms);
  curl_easy_setopt(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, ms / 1000 + 1);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, &OnProgress);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &OnLine);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  // What is no header is nothing to us.
  curl_easy_setopt(
      easy, CURLOPT_WRITEFUNCTION,
      +[](char*, size_t size, size_t count, void*) { return size * count; });

  curl_easy_setopt(easy, CURLOPT_MAIL_FROM, absl::StrCat("<", smtp.from(), ">").c_str());
  curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, recipients.get());
  curl_easy_setopt(easy, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
  curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, &OnRead);
  curl_easy_setopt(easy, CURLOPT_READDATA, &transfer);

  const bool verify = !smtp.tls().has_verify() || smtp.tls().verify();
  curl_easy_setopt(easy, CURLOPT_USE_SSL,
                   static_cast<long>(smtp.require_tls() ? CURLUSESSL_ALL : CURLUSESSL_TRY));
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
  if (!smtp.tls().ca_file().empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, smtp.tls().ca_file().c_str());
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  if (!order.password.empty()) {
    curl_easy_setopt(easy, CURLOPT_USERNAME, smtp.user().c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, order.password.c_str());
  }

  const CURLcode code = curl_easy_perform(easy);
  if (code != CURLE_OK) {
    const std::string why = WhyNot(transfer, code, details, name);
    if (!IsRefusal(transfer, code)) return absl::UnavailableError(why);
    return transfer.later ? absl::AbortedError(why) : absl::FailedPreconditionError(why);
  }
  return transfer.refusal.empty() ? "" : absl::StrCat("it also said: ", transfer.refusal);
}

}  // namespace salve
