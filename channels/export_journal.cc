#include "channels/export_journal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "channels/describe.h"

namespace salve {
namespace {

// "FIELD=value\n", or for a value with line breaks the field, its length and its bytes.
void AppendEntry(absl::string_view field, absl::string_view value, std::string* datagram) {
  if (value.empty()) return;
  if (value.find('\n') == absl::string_view::npos) {
    absl::StrAppend(datagram, field, "=", value, "\n");
    return;
  }
  const uint64_t length = htole64(value.size());
  absl::StrAppend(datagram, field, "\n");
  datagram->append(reinterpret_cast<const char*>(&length), sizeof(length));
  absl::StrAppend(datagram, value, "\n");
}

absl::string_view PriorityOf(v1::Level level) {
  switch (level) {
    case v1::Error:
      return "3";
    case v1::Warning:
      return "4";
    default:
      return "6";
  }
}

std::string DatagramOf(const v1::Event& event) {
  std::string datagram;
  // UTC: the journal itself shows each reader the time in his own zone, this text it can't.
  AppendEntry("MESSAGE", Describe(event, absl::UTCTimeZone()), &datagram);
  AppendEntry("PRIORITY", PriorityOf(event.level()), &datagram);
  AppendEntry("SYSLOG_IDENTIFIER", "salved", &datagram);
  AppendEntry("SALVE_CHANNEL", v1::Channel_Name(event.channel()), &datagram);
  AppendEntry("SALVE_EVENT_ID", absl::StrCat(event.event_id()), &datagram);
  AppendEntry("SALVE_RECORD_ID", absl::StrCat(event.record_id()), &datagram);
  AppendEntry("SALVE_LEVEL", v1::Level_Name(event.level()), &datagram);
  AppendEntry("SALVE_SERVER", event.server(), &datagram);
  AppendEntry("SALVE_INCIDENT", event.incident_id(), &datagram);
  AppendEntry("SALVE_HEALTH_SET", event.health_set(), &datagram);
  AppendEntry("SALVE_NAME", event.name(), &datagram);
  return datagram;
}

class JournalExport final : public EventExport {
 public:
  explicit JournalExport(std::string path) : path_(std::move(path)) {
    address_.sun_family = AF_UNIX;
    const size_t length = std::min(path_.size(), sizeof(address_.sun_path) - 1);
    memcpy(address_.sun_path, path_.data(), length);
  }

  std::string name() const override { return "journal"; }

  absl::Status Write(const v1::Event& event) override {
    if (!socket_.is_open()) socket_.reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket_.is_open()) return Failed(errno);
    const std::string datagram = DatagramOf(event);
    // Never waits: a journal that hangs must not stop the events on their way to the disk.
    const ssize_t sent =
        sendto(socket_.get(), datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address_), sizeof(address_));
    return sent < 0 ? Failed(errno) : absl::OkStatus();
  }

 private:
  absl::Status Failed(int error) const {
    char text[128];
    return absl::UnavailableError(absl::StrCat(path_, ": ", strerror_r(error, text, sizeof(text))));
  }

  const std::string path_;
  sockaddr_un address_ = {};
  UniqueFd socket_;
};

}  // namespace

std::unique_ptr<EventExport> NewJournalExport(std::string socket) {
  return std::make_unique<JournalExport>(std::move(socket));
}

}  // namespace salve
