// An EventExport copies events to a place outside the store, for other programs to read. The
// store's writer thread calls it, one event at a time, in the order of the record ids.
#ifndef SALVE_CHANNELS_EVENT_EXPORT_H_
#define SALVE_CHANNELS_EVENT_EXPORT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "api/events.pb.h"

namespace salve {

class EventExport {
 public:
  virtual ~EventExport() = default;

  // What a person calls it, e.g. "journal" or the path of the file.
  virtual std::string name() const = 0;

  // Copies one event. Must not wait for another process. An event that can't be copied is
  // lost for this export only. Errors: kUnavailable, kResourceExhausted.
  virtual absl::Status Write(const v1::Event& event) = 0;
};

// A set of channels, as a small value.
class ChannelSet {
 public:
  static ChannelSet All() { return ChannelSet(~uint64_t{0}); }
  static ChannelSet None() { return ChannelSet(0); }

  ChannelSet With(v1::Channel channel) const { return ChannelSet(bits_ | Bit(channel)); }
  bool Has(v1::Channel channel) const { return (bits_ & Bit(channel)) != 0; }

 private:
  explicit ChannelSet(uint64_t bits) : bits_(bits) {}
  static uint64_t Bit(v1::Channel channel) {
    return channel < 0 || channel > 63 ? 0 : uint64_t{1} << channel;
  }
  uint64_t bits_;
};

// An export and the channels that go there.
struct ExportRoute {
  std::unique_ptr<EventExport> target;
  ChannelSet channels = ChannelSet::All();
};

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_EXPORT_H_
