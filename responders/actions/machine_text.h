// What /proc tells of a machine, as texts for people: evidence. Each text has at most so many
// bytes and says so when there was more. Blocks for as long as /proc is large: for a worker.
#ifndef SALVE_RESPONDERS_ACTIONS_MACHINE_TEXT_H_
#define SALVE_RESPONDERS_ACTIONS_MACHINE_TEXT_H_

#include <functional>
#include <string>
#include <vector>

namespace salve {

struct MachineView {
  std::string proc = "/proc";
  std::vector<std::string> units;  // "nginx.service", by the cgroups of their processes.
  size_t bytes_max = 1 << 20;      // Of each text.
  std::function<bool()> stop;      // Asked between two processes: the rest is left out.
};

// Each process: pid, parent, state, memory, CPU time, unit, command line. Those of the units
// first.
std::string ProcessesText(const MachineView& view);
// The open descriptors of the units' processes; without units how many each process has.
std::string DescriptorsText(const MachineView& view);
// Load, memory, pressure.
std::string PressureText(const MachineView& view);
// The kernel's tables of sockets.
std::string SocketsText(const MachineView& view);

// `text`, cut at a line's end with a note when it is longer.
std::string CutText(std::string text, size_t bytes_max);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_MACHINE_TEXT_H_
