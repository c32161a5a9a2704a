// The faults of one item: `file:line:column: probe 'Web/Ping': tcp.port: what is wrong`.
#ifndef SALVE_CONFIG_ITEM_FAULTS_H_
#define SALVE_CONFIG_ITEM_FAULTS_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "config/errors.h"
#include "config/text_file.h"
#include "google/protobuf/message.h"

namespace salve {

class ItemFaults {
 public:
  // `title` is e.g. "probe 'Web/Ping'"; it may be empty. `silent`: faults are noticed and not
  // told, as those of a for_each item of which one target has told already.
  ItemFaults(std::string title, const Place& place, ErrorList& errors, bool silent = false)
      : title_(std::move(title)), place_(place), errors_(errors), silent_(silent) {}

  // The field at `path`, relative to the item, is wrong; with an empty path the item itself.
  void Add(absl::string_view path, absl::string_view why);

  // Adds a status of a kind's check, whose message is "path: why"; OK adds nothing.
  void Add(const absl::Status& status);

  // Adds a fault at `path` when `message` has no member of its oneof `oneof`, with their names.
  void CheckHasOne(const google::protobuf::Message& message, const std::string& oneof,
                   absl::string_view path = "");

  bool any() const { return any_; }
  bool silent() const { return silent_; }
  // False when a further fault would only be counted: what takes time to say may be left out.
  bool tells() const { return !silent_ && !errors_.full(); }
  const Place& place() const { return place_; }

 private:
  const std::string title_;
  const Place place_;
  ErrorList& errors_;
  const bool silent_;
  bool any_ = false;
};

}  // namespace salve

#endif  // SALVE_CONFIG_ITEM_FAULTS_H_
