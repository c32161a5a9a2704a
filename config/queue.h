// The durable queue in salve.textproto: what is wrong with it as written, and what its fields mean
// together. Forward destinations, too: they and transfers to acceptors use the same files.
#ifndef SALVE_CONFIG_QUEUE_H_
#define SALVE_CONFIG_QUEUE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "config/config.pb.h"
#include "config/item_faults.h"

namespace salve {

void CheckQueue(const config::Agent& agent, ItemFaults& faults);

// A forward destination at `path`; its files may come from `remote`.
void CheckForward(const std::string& path, const config::Forward& forward,
                  const config::Agent& agent, ItemFaults& faults);

// A server that is called: its name or address, without brackets, and a port.
struct HostPort {
  std::string host;
  uint16_t port = 0;
};
// "HOST:PORT", "[ADDRESS]:PORT". Errors: kInvalidArgument, with the form that is wanted.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);

// `forward` with the files that `remote` gives it where it names none, and its server's name.
config::Forward WithFilesOf(const config::Remote& remote, config::Forward forward);

// How long to wait after attempt `attempts` (1: the first) failed: queue.retry in turn, whose last
// one goes on. Requires: the configuration was loaded.
absl::Duration RetryWait(const config::Queue& queue, int attempts);

// Times that a peer may fail on a message; 0: without end.
int DeliveriesMax(const config::Queue& queue);

}  // namespace salve

#endif  // SALVE_CONFIG_QUEUE_H_
