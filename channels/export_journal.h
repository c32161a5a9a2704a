// Copies events into journald as native entries: MESSAGE= (the sentence of describe.h),
// PRIORITY=, SYSLOG_IDENTIFIER=salved, SALVE_CHANNEL=, SALVE_EVENT_ID=, SALVE_RECORD_ID=,
// SALVE_LEVEL=, SALVE_SERVER=, SALVE_INCIDENT=, SALVE_HEALTH_SET=, SALVE_NAME=; empty ones are
// left out. It speaks the documented datagram protocol itself, since sd_journal_sendv waits
// without bound for a journald that hangs.
#ifndef SALVE_CHANNELS_EXPORT_JOURNAL_H_
#define SALVE_CHANNELS_EXPORT_JOURNAL_H_

#include <memory>
#include <string>

#include "channels/event_export.h"

namespace salve {

// `socket` is journald's ("/run/systemd/journal/socket"); it need not be there yet: each Write
// that finds none fails with kUnavailable, and the next one tries again.
std::unique_ptr<EventExport> NewJournalExport(std::string socket = "/run/systemd/journal/socket");

}  // namespace salve

#endif  // SALVE_CHANNELS_EXPORT_JOURNAL_H_
