// Performance data of Nagios plugins, after the plugin development guidelines:
//   'label'=value[UOM];[warn];[crit];[min];[max]
// with blanks between. A quoted label may hold blanks and '=', and '' for a quote.
#ifndef SALVE_PROBES_PERF_DATA_H_
#define SALVE_PROBES_PERF_DATA_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "probes/probe.h"

namespace salve {

// What a plugin printed, taken apart. The first line is `TEXT | DATA`; of the lines after it,
// text goes on until one with a '|', behind which all is data.
struct PluginOutput {
  std::string text;  // Of the first line, without blanks at its ends.
  std::vector<ProbeValue> values;
};

// Never fails: what is no performance data is left out, as are values that are "U"
// (undetermined), no finite number, or with a unit that is not one of s, ms, us, ns, %, B, KB,
// MB, GB, TB, c and none. At most 64 values, of at most 64 KiB of output, labels of at most 128
// bytes. Units become "s", "ms", "us", "ns", "percent", "bytes", "" (a count, also "c"); numbers
// in KB … TB are multiplied out by 1,024.
PluginOutput ParsePluginOutput(absl::string_view output);

}  // namespace salve

#endif  // SALVE_PROBES_PERF_DATA_H_
