#include "config/redact.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "re2/re2.h"

namespace salve {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr char kHidden[] = "***";

// Fields of which nothing is shown: they hold tokens as often as not.
constexpr absl::string_view kWhole[] = {"HttpProbe.body", "TcpProbe.send", "Webhook.body"};
// "NAME=value" each.
constexpr absl::string_view kEnvironments[] = {"ExecProbe.environment", "RunCommand.environment"};
// Whose path is a secret: https://hooks.example.org/services/T0/B0/XXXX.
constexpr absl::string_view kCapabilityUrls[] = {"Webhook.url"};
// Whatever else a header may hold, it is not known to be no secret.
constexpr absl::string_view kHarmlessHeaders[] = {"accept",
                                                  "accept-encoding",
                                                  "accept-language",
                                                  "cache-control",
                                                  "connection",
                                                  "content-type",
                                                  "expect",
                                                  "host",
                                                  "origin",
                                                  "pragma",
                                                  "range",
                                                  "user-agent",
                                                  "x-forwarded-for",
                                                  "x-forwarded-host",
                                                  "x-forwarded-proto",
                                                  "x-request-id"};

constexpr char kSecretWords[] =
    "(?:passw(?:or)?d|passwd|pwd|passphrase|secret|token|credential|signature|"
    "(?:api|access|private|routing|shared|auth)[_-]?key|apikey)";

template <size_t kSize>
bool IsIn(const absl::string_view (&names)[kSize], absl::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// "HttpProbe.body"
absl::string_view NameOf(const FieldDescriptor* field) {
  absl::string_view name = field->full_name();
  return absl::StripPrefix(name, "salve.config.");
}

// "--password", "-token": what comes next is one.
bool AnnouncesSecret(const std::string& argument) {
  static const RE2& announces = *new RE2(absl::StrCat("(?i)--?[\\w-]*", kSecretWords));
  return RE2::FullMatch(argument, announces);
}

std::string RedactEnvironment(const std::string& entry) {
  const size_t equals = entry.find('=');
  return equals == std::string::npos ? kHidden : absl::StrCat(entry.substr(0, equals + 1), kHidden);
}

std::string RedactUrl(const std::string& url) {
  static const RE2& host = *new RE2("^(\\w+://)(?:[^/?#]*@)?([^/?#@]*)");
  std::string scheme, name;
  if (!RE2::PartialMatch(url, host, &scheme, &name)) return kHidden;
  return absl::StrCat(scheme, name, "/", kHidden);
}

std::string RedactValue(const FieldDescriptor* field, const std::string& value,
                        const std::string& before) {
  const absl::string_view name = NameOf(field);
  if (value.empty()) return value;
  if (IsIn(kWhole, name)) return kHidden;
  if (IsIn(kEnvironments, name)) return RedactEnvironment(value);
  if (IsIn(kCapabilityUrls, name)) return RedactUrl(value);
  if (field->is_repeated() && AnnouncesSecret(before)) return kHidden;
  return RedactText(value);
}

void RedactStrings(Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  if (!field->is_repeated()) {
    const std::string value = reflection->GetString(message, field);
    reflection->SetString(&message, field, RedactValue(field, value, ""));
    return;
  }
  std::string before;
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    const std::string value = reflection->GetRepeatedString(message, field, i);
    reflection->SetRepeatedString(&message, field, i, RedactValue(field, value, before));
    before = value;
  }
}

void RedactHeader(Message& header) {
  const Reflection* reflection = header.GetReflection();
  const FieldDescriptor* value = header.GetDescriptor()->FindFieldByName("value");
  RedactStrings(header, header.GetDescriptor()->FindFieldByName("name"));
  const std::string name =
      reflection->GetString(header, header.GetDescriptor()->FindFieldByName("name"));
  if (reflection->GetString(header, value).empty()) return;
  if (IsIn(kHarmlessHeaders, absl::AsciiStrToLower(name))) return RedactStrings(header, value);
  reflection->SetString(&header, value, kHidden);
}

// "password=…", but not "password_file=…", which is a path.
std::string RedactNamed(const std::string& text) {
  static const RE2& named = *new RE2(absl::StrCat("(?is)(.*?)([\\w-]*", kSecretWords,
                                                  "[\\w-]*)=('[^']*'|\"[^\"]*\"|[^&\\s\"',;]+)"));
  re2::StringPiece rest(text);
  std::string shown, before, name, value;
  while (RE2::Consume(&rest, named, &before, &name, &value)) {
    const bool is_place =
        absl::EndsWithIgnoreCase(name, "file") || absl::EndsWithIgnoreCase(name, "path");
    absl::StrAppend(&shown, before, name, "=", is_place ? value : kHidden);
  }
  return absl::StrCat(shown, absl::string_view(rest.data(), rest.size()));
}

}  // namespace

void Redact(Message& message) {
  if (message.GetDescriptor()->full_name() == "salve.config.HttpHeader") {
    return RedactHeader(message);
  }
  const Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      RedactStrings(message, field);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field->is_repeated()) Redact(*reflection->MutableMessage(&message, field));
      for (int i = 0; field->is_repeated() && i < reflection->FieldSize(message, field); ++i) {
        Redact(*reflection->MutableRepeatedMessage(&message, field, i));
      }
    }
  }
}

std::string RedactedText(const Message& message) {
  const std::unique_ptr<Message> shown(message.New());
  shown->CopyFrom(message);
  Redact(*shown);
  return shown->ShortDebugString();
}

std::string RedactText(absl::string_view text) {
  // A password may hold what a URL may not; then the first '/' does not end the part of the host.
  static const RE2& in_url =
      *new RE2("://(?:[^/?#\\s\"'<>]*|[^/?#\\s\"'@:]*:[0-9]*[^0-9/?#\\s\"'@][^\\s\"'@]*)@");
  static const RE2& header = *new RE2(
      "(?i)((?:authorization|cookie|x-[\\w-]*(?:key|token|auth|secret)[\\w-]*)\\s*:\\s*)[^\\r\\n\"]"
      "+");
  std::string shown(text);
  RE2::GlobalReplace(&shown, in_url, "://***@");
  RE2::GlobalReplace(&shown, header, "\\1***");
  return RedactNamed(shown);
}

}  // namespace salve
