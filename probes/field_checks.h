// What the kinds of probes and actions check their configuration with. Each error is
// kInvalidArgument with the field's path first: "http.body_match: missing ): (a".
#ifndef SALVE_PROBES_FIELD_CHECKS_H_
#define SALVE_PROBES_FIELD_CHECKS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "config/config.pb.h"
#include "re2/re2.h"

namespace salve {

absl::Status BadField(absl::string_view path, absl::string_view what);

// `value` must be in [min, max].
absl::Status CheckRange(absl::string_view path, uint64_t value, uint64_t min, uint64_t max);
// At most `max` bytes.
absl::Status CheckLength(absl::string_view path, absl::string_view value, size_t max);

// "NAME=value".
absl::Status CheckEnvironment(absl::string_view path, absl::string_view entry);

// A duration in [min, max]; `fallback` when `text` is empty.
absl::StatusOr<absl::Duration> ParseDurationField(absl::string_view path, const std::string& text,
                                                  absl::Duration min, absl::Duration max,
                                                  absl::Duration fallback);

// Compiles a user's pattern; null when it is empty. A pattern takes at most 2 MiB.
absl::StatusOr<std::unique_ptr<RE2>> CompilePattern(absl::string_view path,
                                                    const std::string& pattern);

// The Tls message at `path`.
absl::Status CheckTls(absl::string_view path, const config::Tls& tls);

}  // namespace salve

#endif  // SALVE_PROBES_FIELD_CHECKS_H_
