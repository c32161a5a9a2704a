// Whatever a probe has seen: a mail has exactly its own headers and short lines of ASCII, and the
// default body is the JSON object that it should be.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "channels/event_text.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "responders/escalation/render.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  salve::Letter letter;
  letter.id = "1";
  letter.notice.server = "web-1";
  letter.notice.subject = text;
  letter.notice.message = text;
  letter.notice.error = text;
  salve::config::Smtp smtp;
  smtp.set_from("a@b");
  smtp.add_to("c@d");
  const std::string mail = salve::RenderMail(smtp, letter);
  const size_t end = mail.find("\r\n\r\n");
  CHECK(end != std::string::npos);
  int headers = 0;
  for (absl::string_view line : absl::StrSplit(absl::string_view(mail).substr(0, end), "\r\n")) {
    headers += !absl::StartsWith(line, " ");
    for (const char c : line) CHECK(absl::ascii_isprint(c));
  }
  CHECK(headers == 9);
  for (absl::string_view line : absl::StrSplit(absl::string_view(mail).substr(end + 4), "\r\n")) {
    CHECK(line.size() <= 76);
    for (const char c : line) CHECK(absl::ascii_isprint(c) || c == '\t');
  }
  google::protobuf::Struct object;
  CHECK(google::protobuf::util::JsonStringToMessage(salve::RenderBody({}, letter), &object).ok());
  CHECK(object.fields_size() == 11);
  CHECK(object.fields().at("error").string_value() == salve::CleanText(text, 256 * 1024));
  return 0;
}
