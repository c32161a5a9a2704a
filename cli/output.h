// Output: how a verb says its result: as a table for people, or as JSON for programs.
#ifndef SALVE_CLI_OUTPUT_H_
#define SALVE_CLI_OUTPUT_H_

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "api/events.pb.h"
#include "channels/event_json.h"
#include "cli/table.h"
#include "google/protobuf/message.h"
#include "google/protobuf/repeated_ptr_field.h"

namespace salve {

enum class Format {
  kTable,
  kJson,   // One value over several lines.
  kJsonl,  // One object a line: one for each item of a list.
};

// A message in protobuf's JSON mapping with the names of api/*.proto; enums by name, zeros and
// empty lists printed; a message that is not set is left out. On one line, or indented.
std::string ToJson(const google::protobuf::Message& message, bool indented);

// A message with a field `events` that is printed as `Events`; its events are given as the channels
// write them: flat, the envelope's and the content's fields side by side (channels/event_json.h).
template <typename Message>
concept HasEvents = requires(Message message) {
  message.events(0).record_id();
};

class Output {
 public:
  Output(std::ostream& out, Format format, TableStyle style)
      : out_(out), format_(format), style_(style) {}

  Format format() const { return format_; }
  bool is_table() const { return format_ == Format::kTable; }
  // For what no table or message prints: sentences of a table output.
  std::ostream& out() { return out_; }
  // Sentences around a table are left out with its header.
  bool with_header() const { return style_.header; }

  Table NewTable(std::vector<std::string> header, std::vector<size_t> widths_min = {}) const {
    return Table(std::move(header), style_, std::move(widths_min));
  }

  // Requires: the format is JSON.
  void Print(const google::protobuf::Message& message) { PrintText(ToJson(message, indented())); }
  // A list: `message`, or in jsonl each of its `items`. Requires: the format is JSON.
  template <typename Item>
  void PrintList(const google::protobuf::Message& message,
                 const google::protobuf::RepeatedPtrField<Item>& items) {
    if (format_ == Format::kJson) {
      Print(message);
      return;
    }
    for (const Item& item : items) Print(item);
  }

  // Requires: the format is JSON.
  void Print(const v1::Event& event) { PrintText(EventToJson(event)); }
  // `message` with all its events in it. Requires: the format is JSON.
  template <HasEvents Message>
  void PrintWithEvents(const Message& message) {
    Message bare = message;
    bare.clear_events();
    PrintText(WithEvents(ToJson(bare, indented()), message.events()));
  }

 private:
  using Events = google::protobuf::RepeatedPtrField<v1::Event>;

  std::string WithEvents(std::string json, const Events& events) const;
  bool indented() const { return format_ == Format::kJson; }
  void PrintText(const std::string& json);

  std::ostream& out_;
  const Format format_;
  const TableStyle style_;
};

}  // namespace salve

#endif  // SALVE_CLI_OUTPUT_H_
