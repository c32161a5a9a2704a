// What the beginning of a file in a mail queue tells of its mail. Pure.
#ifndef SALVE_PROBES_MAIL_FILE_H_
#define SALVE_PROBES_MAIL_FILE_H_

#include <cstddef>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace salve {

struct MailFile {
  // When the mail came to this server. The times of the file do not tell: Postfix sets them to the
  // next attempt, Exim writes it anew after each. Nothing when the file does not read like one.
  std::optional<absl::Time> arrived;
  bool is_frozen = false;  // Exim's: given up, until a person or a timeout.
};

// So much of a file is enough.
inline constexpr size_t kPostfixHeadBytes = 512;
inline constexpr size_t kEximHeadBytes = 4096;

// Of a queue file of Postfix.
MailFile ParsePostfixFile(absl::string_view head);

// Of a -H file of Exim.
MailFile ParseEximFile(absl::string_view head);

}  // namespace salve

#endif  // SALVE_PROBES_MAIL_FILE_H_
