#include "probes/network_errors.h"

#include <errno.h>
#include <string.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace salve {
namespace {

bool IsOurs(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:  // All local ports to this target are taken.
    case EAFNOSUPPORT:
    case EACCES:
    case EPERM:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string HostAndPort(absl::string_view host, int port) {
  const bool is_v6 = host.find(':') != absl::string_view::npos;
  return is_v6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

Observation TimedOutWhile(absl::Duration elapsed, absl::string_view phase) {
  const double ms = absl::ToDoubleMilliseconds(elapsed);
  return TimedOut(ms < 1000 ? absl::StrFormat("timed out after %.0f ms while %s", ms, phase)
                            : absl::StrFormat("timed out after %.1f s while %s", ms / 1000, phase));
}

Observation SocketError(int error, absl::string_view what) {
  char buffer[256];
  std::string text = absl::StrCat(what, ": ", strerror_r(error, buffer, sizeof buffer));
  return IsOurs(error) ? Rejected(std::move(text)) : Failed(std::move(text));
}

Observation ResolveError(const absl::Status& error, absl::Duration elapsed) {
  std::string text(error.message());
  switch (error.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return TimedOutWhile(elapsed, "resolving: " + text);
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAborted:
      return Failed(std::move(text));
    default:
      return Rejected(std::move(text));
  }
}

}  // namespace salve
