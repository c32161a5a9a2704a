// Text for XML: times, escaping, UTF-8. Pure.
#ifndef SALVE_CONFIG_XML_TEXT_H_
#define SALVE_CONFIG_XML_TEXT_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace salve {

// "2015-02-10T22:29:57.9448377Z": UTC, always seven decimals (the rest is cut). Never is
// 9999-12-31T23:59:59.9999999Z, and so is all that is later.
std::string ResultTime(absl::Time time);
// & < > " escaped; tabs and line breaks become character references, what XML does
// not allow becomes '?'.
std::string XmlEscape(absl::string_view text);

// Bytes of the UTF-8 sequence at the start of `text`; 0 when it is none. Requires: not empty.
size_t Utf8Length(absl::string_view text);

}  // namespace salve

#endif  // SALVE_CONFIG_XML_TEXT_H_
