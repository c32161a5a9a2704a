// Bytes for people, as `hexdump -C` writes them: offset, sixteen bytes in hex, the same as text.
#ifndef SALVE_CLI_HEX_DUMP_H_
#define SALVE_CLI_HEX_DUMP_H_

#include <string>

#include "absl/strings/string_view.h"

namespace salve {

// A line for each sixteen bytes, each with its end; the last one is the length. Bytes that are no
// printable ASCII are '.'. Nothing for no bytes.
std::string HexDump(absl::string_view bytes);

}  // namespace salve

#endif  // SALVE_CLI_HEX_DUMP_H_
