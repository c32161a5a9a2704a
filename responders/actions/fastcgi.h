// FastCGI, as little of it as a status page takes: one GET request, and its answer. Pure.
#ifndef SALVE_RESPONDERS_ACTIONS_FASTCGI_H_
#define SALVE_RESPONDERS_ACTIONS_FASTCGI_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace salve {

// What is read of an answer; a longer one is an error.
inline constexpr size_t kFastCgiAnswerBytesMax = 64 * 1024;

// The bytes of a GET of `path`, from BEGIN_REQUEST to the empty STDIN. Requires: `path` begins with
// '/' and is at most 1 KiB long.
std::string FastCgiGet(absl::string_view path);

struct FastCgiAnswer {
  bool is_complete = false;  // False: more must come, and the rest says nothing yet.
  int status = 200;          // Of HTTP.
  std::string body;
};

// Reads what has come so far.
// Errors: kUnavailable: it is no FastCGI, it is longer than kFastCgiAnswerBytesMax, the server
// refused the request, or its HTTP header does not end.
absl::StatusOr<FastCgiAnswer> ReadFastCgiAnswer(absl::string_view bytes);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_FASTCGI_H_
