#include "config/effective.h"

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "config/config.pb.h"
#include "config/duration.h"
#include "config/errors.h"
#include "config/redact.h"
#include "config/rules.h"
#include "config/schema.h"
#include "config/text_file.h"
#include "google/protobuf/text_format.h"

namespace salve {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

const FieldDescriptor* Field(const Message& message, const std::string& name) {
  return message.GetDescriptor()->FindFieldByName(name);
}

void SetMissing(Message& message, const std::string& name, const std::string& value) {
  const FieldDescriptor* field = Field(message, name);
  const Reflection* reflection = message.GetReflection();
  if (!reflection->HasField(message, field)) reflection->SetString(&message, field, value);
}

// --- Defaults that depend on other fields.

void FillProbe(Message& message) {
  config::Probe probe;
  CHECK(probe.ParseFromString(message.SerializeAsString()));
  SetMissing(message, "interval", DurationText(ProbeInterval(probe)));
  SetMissing(message, "timeout", DurationText(ProbeTimeout(probe)));
}

void FillMonitor(Message& message) {
  const FieldDescriptor* field = Field(message, "transition");
  const Reflection* reflection = message.GetReflection();
  if (reflection->FieldSize(message, field) > 0) return;
  const auto add = [&](config::HealthState to, const std::string& after) {
    Message* transition = reflection->AddMessage(&message, field);
    transition->GetReflection()->SetEnumValue(transition, Field(*transition, "to"), to);
    SetMissing(*transition, "after", after);
  };
  add(config::DEGRADED, "0s");
  add(config::UNHEALTHY, "1m");
}

template <typename Fill>
void ForEachMessage(Message& message, const std::string& name, const Fill& fill) {
  const FieldDescriptor* field = Field(message, name);
  const Reflection* reflection = message.GetReflection();
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    fill(*reflection->MutableRepeatedMessage(&message, field, i));
  }
}

void FillHealthSets(Message& file) {
  ForEachMessage(file, "health_set", [](Message& set) {
    ForEachMessage(set, "probe", FillProbe);
    ForEachMessage(set, "monitor", FillMonitor);
  });
  FillDefaults(file);
}

void FillAgent(Message& agent, const AgentDefinition& definition) {
  SetMissing(agent, "server", definition.server);
  const Reflection* reflection = agent.GetReflection();
  Message* coordinator = reflection->MutableMessage(&agent, Field(agent, "coordinator"));
  const FieldDescriptor* local = Field(*coordinator, "local");
  if (!coordinator->GetReflection()->HasOneof(*coordinator, local->containing_oneof())) {
    coordinator->GetReflection()->MutableMessage(coordinator, local);
  }
  FillDefaults(agent);
}

// --- Text.

class Printer {
 public:
  explicit Printer(std::string& out) : out_(out) { values_.SetUseUtf8StringEscaping(true); }

  // `place` is where `message` was written, or null if it was not.
  void Print(const Message& message, const Place* place) {
    const Reflection* reflection = message.GetReflection();
    std::vector<const FieldDescriptor*> fields;
    reflection->ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) {
      const bool is_written = place != nullptr && place->Has(field->name());
      const bool repeated = field->is_repeated();
      const int size = repeated ? reflection->FieldSize(message, field) : 1;
      for (int i = 0; i < size; ++i) {
        if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
          PrintValue(message, field, repeated ? i : -1, is_written ? place : nullptr);
          continue;
        }
        const Message& inner = repeated ? reflection->GetRepeatedMessage(message, field, i)
                                        : reflection->GetMessage(message, field);
        if (is_written) {
          const Place inner_place = place->In(field->name(), i);
          PrintMessage(field->name(), inner, &inner_place);
        } else {
          PrintMessage(field->name(), inner, nullptr);
        }
      }
    }
  }

 private:
  void PrintMessage(const std::string& name, const Message& message, const Place* place) {
    absl::StrAppend(&out_, indent_, name, " {\n");
    indent_ += "  ";
    Print(message, place);
    indent_.resize(indent_.size() - 2);
    absl::StrAppend(&out_, indent_, "}\n");
  }

  void PrintValue(const Message& message, const FieldDescriptor* field, int index,
                  const Place* place) {
    std::string value;
    values_.PrintFieldValueToString(message, field, index, &value);
    absl::StrAppend(&out_, indent_, field->name(), ": ", value);
    if (place != nullptr) {
      const std::string path =
          index < 0 ? field->name() : absl::StrCat(field->name(), "[", index, "]");
      absl::StrAppend(&out_, "  # ", place->DescribeLine(path));
    }
    out_ += "\n";
  }

  std::string& out_;
  std::string indent_;
  google::protobuf::TextFormat::Printer values_;
};

template <typename Fill>
void PrintFile(const SourceFile& source, const std::string& type, const Schema& schema,
               const Fill& fill, std::string& out) {
  ErrorList errors;
  const std::unique_ptr<TextFile> file =
      TextFile::Parse(source.name, source.text, type, schema, errors);
  CHECK(file != nullptr);  // It was loaded once.
  const std::unique_ptr<Message> whole(file->message().New());
  whole->CopyFrom(file->message());
  fill(*whole);
  Redact(*whole);
  const Place root = file->root();
  Printer(out).Print(*whole, &root);
}

}  // namespace

std::string EffectiveConfigText(const Configuration& configuration) {
  const Schema schema;
  const ConfigurationSource& source = configuration.source;
  std::string out = "# salve.textproto\n";
  PrintFile(
      source.agent, "Agent", schema, [&](Message& agent) { FillAgent(agent, configuration.agent); },
      out);
  for (const SourceFile& file : source.health_sets) {
    absl::StrAppend(&out, "\n# conf.d/", file.name, "\n");
    PrintFile(file, "HealthSetFile", schema, FillHealthSets, out);
  }
  return out;
}

}  // namespace salve
