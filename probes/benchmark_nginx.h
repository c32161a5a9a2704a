// For benchmarks: a local nginx of one worker that answers 200 at once, and the plain blocking
// loop that the probes are compared with.
#ifndef SALVE_PROBES_BENCHMARK_NGINX_H_
#define SALVE_PROBES_BENCHMARK_NGINX_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace salve {

class BenchmarkNginx {
 public:
  // Starts it in a folder of its own, on a free port of loopback, and waits until it answers.
  // Ends the process when there is no nginx. It gets the first processor, the caller another.
  BenchmarkNginx();
  ~BenchmarkNginx();
  int port() const { return port_; }

 private:
  std::string folder_;
  int port_ = 0;
  pid_t pid_ = 0;
};

// Connects once, blocking; with `request` it is sent and the answer read. Closes.
void BlockingLook(int port, const std::string& request);

// What a batch of looks cost, a look.
struct Cost {
  double cpu_us = 0;  // User and system, of this process.
  double wall_us = 0;
};
Cost Measure(int looks, const std::function<void()>& batch);

// The median of the ratios of pairs that stand close together in time: each batch of the probe
// is bracketed by two half batches of the blocking loop, because the machine is noisy.
struct Comparison {
  double cpu_ratio = 0;   // Probe to blocking loop: less is better.
  double rate_ratio = 0;  // Probe to blocking loop: more is better.
  Cost probe, blocking;   // Medians.
};
Comparison Compare(int rounds, int looks, const std::function<void(int)>& probe_batch,
                   const std::function<void(int)>& blocking_batch);

}  // namespace salve

#endif  // SALVE_PROBES_BENCHMARK_NGINX_H_
