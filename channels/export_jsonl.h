// Copies events into a file, one JSON object a line (event_json.h). At `bytes_max` the file
// becomes PATH.1, PATH.1 becomes PATH.2 and so on; the oldest goes. A file that somebody
// removed, moved away or truncated is begun anew with the next event.
#ifndef SALVE_CHANNELS_EXPORT_JSONL_H_
#define SALVE_CHANNELS_EXPORT_JSONL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "channels/event_export.h"

namespace salve {

struct JsonlExportOptions {
  std::string path;
  uint64_t bytes_max = 64u << 20;  // Of one file; a single longer line still goes in whole.
  uint32_t files_max = 5;          // Rotated files that are kept. 1..100.
};

// The file (mode 0640) is opened at the first event; its folder must exist by then. A Write that
// fails (full disk, no folder) leaves no half line behind; the next one tries again.
std::unique_ptr<EventExport> NewJsonlExport(JsonlExportOptions options);

}  // namespace salve

#endif  // SALVE_CHANNELS_EXPORT_JSONL_H_
