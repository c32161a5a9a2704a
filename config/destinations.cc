#include "config/destinations.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "config/errors.h"
#include "config/names.h"
#include "config/queue.h"
#include "config/text_template.h"

namespace salve {
namespace {

constexpr int kDestinationsMax = 20;
constexpr int kAddressesMax = 50;
constexpr int kHeadersMax = 50;
constexpr size_t kAddressBytesMax = 254;
constexpr size_t kSubjectBytesMax = 1000;
constexpr absl::string_view kCredential = "credential:";

bool IsPort(absl::string_view text) {
  int port = 0;
  return absl::SimpleAtoi(text, &port) && port >= 1 && port <= 65535 &&
         std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

// "HOST", "HOST:PORT", "[ADDRESS]:PORT".
bool IsHostAndPort(absl::string_view text) {
  absl::string_view host = text;
  absl::string_view port;
  if (absl::StartsWith(text, "[")) {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) return false;
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
  } else if (const size_t colon = text.find(':'); colon != absl::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  if (!port.empty() && !(absl::ConsumePrefix(&port, ":") && IsPort(port))) return false;
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains(".-_:", c);
  });
}

void CheckTemplate(const std::string& path, const std::string& text, size_t bytes_max,
                   ItemFaults& faults) {
  if (text.size() > bytes_max || absl::StrContains(text, '\0')) {
    faults.Add(path, absl::StrCat("has a NUL, or more than ", bytes_max, " bytes"));
    return;
  }
  const auto parsed = TextTemplate::Parse(text, NamesOfMessages());
  if (!parsed.ok()) faults.Add(path, parsed.status().message());
}

void CheckAddress(const std::string& path, const std::string& address, ItemFaults& faults) {
  const size_t at = address.find('@');
  const bool is_address = at != std::string::npos && at > 0 && at + 1 < address.size() &&
                          at == address.rfind('@') && address.size() <= kAddressBytesMax &&
                          address[0] != '-' &&
                          std::all_of(address.begin(), address.end(), [](char c) {
                            return absl::ascii_isgraph(c) && !absl::StrContains("<>()[],;:\\\"", c);
                          });
  if (is_address) return;
  faults.Add(path, address.empty()
                       ? "is needed"
                       : absl::StrCat(Quoted(address), " is no address: write NAME@DOMAIN"));
}

// A secret is never written here, only where it is.
void CheckSecretFile(const std::string& path, const std::string& file, ItemFaults& faults) {
  absl::string_view name = file;
  if (absl::StartsWith(file, "/")) return;
  if (absl::ConsumePrefix(&name, kCredential) && IsValidName(name) && name[0] != '.') return;
  faults.Add(path, absl::StrCat(Quoted(file), " is neither a path from / on nor credential:NAME"));
}

void CheckTls(const std::string& path, const config::Tls& tls, ItemFaults& faults) {
  if (!tls.ca_file().empty() && !absl::StartsWith(tls.ca_file(), "/")) {
    faults.Add(path + ".ca_file", absl::StrCat(Quoted(tls.ca_file()), " is no path from / on"));
  }
  if (!tls.server_name().empty() && !IsHostAndPort(tls.server_name())) {
    faults.Add(path + ".server_name", absl::StrCat(Quoted(tls.server_name()), " is no name"));
  }
  if (tls.min_days_left() != 0) {
    faults.Add(path + ".min_days_left",
               "is for probes: an escalation is sent as long as it can be");
  }
}

void CheckSmtp(const std::string& path, const config::Smtp& smtp, ItemFaults& faults) {
  absl::string_view rest = smtp.url();
  const bool is_tls = absl::ConsumePrefix(&rest, "smtps://");
  if ((!is_tls && !absl::ConsumePrefix(&rest, "smtp://")) || !IsHostAndPort(rest)) {
    faults.Add(path + ".url", absl::StrCat(Quoted(smtp.url()), " is no relay: write ",
                                           "smtp://HOST[:PORT] or smtps://HOST[:PORT]"));
  }
  CheckAddress(path + ".from", smtp.from(), faults);
  if (smtp.to().empty()) faults.Add(path + ".to", "is needed");
  if (smtp.to_size() > kAddressesMax) {
    faults.Add(path + ".to", absl::StrCat("there are more than ", kAddressesMax));
  }
  for (int i = 0; i < smtp.to_size(); ++i) {
    CheckAddress(absl::StrCat(path, ".to[", i, "]"), smtp.to(i), faults);
  }
  CheckTemplate(path + ".subject", smtp.subject(), kSubjectBytesMax, faults);
  CheckTemplate(path + ".body", smtp.body(), 64 << 10, faults);
  if (smtp.user().empty() != smtp.password_file().empty()) {
    faults.Add(path, "user and password_file are needed both or not at all");
  }
  if (!smtp.password_file().empty()) {
    CheckSecretFile(path + ".password_file", smtp.password_file(), faults);
    if (!is_tls && !smtp.require_tls()) {
      faults.Add(path + ".password_file",
                 "a password is sent only over TLS: write require_tls: true, or smtps://");
    }
  }
  CheckTls(path + ".tls", smtp.tls(), faults);
}

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("!#$%&'*+-.^_`|~", c);
  });
}

void CheckWebhook(const std::string& path, const config::Webhook& webhook, ItemFaults& faults) {
  absl::string_view rest = webhook.url();
  const bool has_scheme =
      absl::ConsumePrefix(&rest, "https://") || absl::ConsumePrefix(&rest, "http://");
  if (!has_scheme || !std::all_of(rest.begin(), rest.end(), absl::ascii_isgraph) ||
      !IsHostAndPort(rest.substr(0, rest.find_first_of("/?#")))) {
    faults.Add(path + ".url", absl::StrCat(Quoted(webhook.url()), " is no URL: write ",
                                           "http://HOST[:PORT]/… or https://HOST[:PORT]/…"));
  }
  if (webhook.header_size() > kHeadersMax) {
    faults.Add(path + ".header", absl::StrCat("there are more than ", kHeadersMax));
  }
  for (int i = 0; i < webhook.header_size(); ++i) {
    const config::HttpHeader& header = webhook.header(i);
    const std::string at = absl::StrCat(path, ".header[", i, "]");
    if (!IsToken(header.name())) {
      faults.Add(at + ".name", absl::StrCat(Quoted(header.name()), " is no name of a header"));
    }
    if (std::any_of(header.value().begin(), header.value().end(), absl::ascii_iscntrl)) {
      faults.Add(at + ".value", "holds a control character");
    }
    if (absl::EqualsIgnoreCase(header.name(), "Authorization")) {
      faults.Add(at, "a secret is not written here: use bearer_token_file");
    }
  }
  CheckTemplate(path + ".body", webhook.body(), 64 << 10, faults);
  if (!webhook.bearer_token_file().empty()) {
    CheckSecretFile(path + ".bearer_token_file", webhook.bearer_token_file(), faults);
  }
  CheckTls(path + ".tls", webhook.tls(), faults);
}

}  // namespace

void CheckDestinations(const config::Agent& agent, ItemFaults& faults) {
  if (agent.destination_size() > kDestinationsMax) {
    faults.Add("destination", absl::StrCat("there are more than ", kDestinationsMax));
  }
  absl::flat_hash_set<std::string> seen;
  for (int i = 0; i < agent.destination_size(); ++i) {
    const config::Destination& destination = agent.destination(i);
    const std::string path = absl::StrCat("destination[", i, "]");
    if (!IsValidName(destination.name())) {
      faults.Add(path + ".name",
                 absl::StrCat(Quoted(destination.name()), " is no name: letters, digits and . _ - ",
                              "are allowed, 100 of them at most"));
    } else if (!seen.insert(absl::AsciiStrToLower(destination.name())).second) {
      faults.Add(path + ".name", absl::StrCat(Quoted(destination.name()), " is there twice"));
    }
    if (destination.has_smtp()) {
      CheckSmtp(path + ".smtp", destination.smtp(), faults);
    } else if (destination.has_webhook()) {
      CheckWebhook(path + ".webhook", destination.webhook(), faults);
    } else if (destination.has_forward()) {
      CheckForward(path + ".forward", destination.forward(), agent, faults);
    } else {
      faults.CheckHasOne(destination, "kind", path);
    }
  }
}

void CheckDestinationsOf(const config::Escalate& escalate, const config::Agent& agent,
                         ItemFaults& faults) {
  std::vector<std::string> known;
  for (const config::Destination& destination : agent.destination()) {
    known.push_back(destination.name());
  }
  absl::flat_hash_set<std::string> seen;
  for (int i = 0; i < escalate.to_size(); ++i) {
    const std::string& name = escalate.to(i);
    const std::string path = absl::StrCat("escalate.to[", i, "]");
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      faults.Add(path, absl::StrCat("salve.textproto has no destination ", Quoted(name),
                                    DidYouMean(name, known)));
    } else if (!seen.insert(name).second) {
      faults.Add(path, absl::StrCat(Quoted(name), " is there twice"));
    }
  }
}

}  // namespace salve
