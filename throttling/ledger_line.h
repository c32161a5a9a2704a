// LedgerLine: where the rows of a ledger lie on the uptime line: which boots they speak of,
// which of them is running, when each began and ended. Pure; one thread.
#ifndef SALVE_THROTTLING_LEDGER_LINE_H_
#define SALVE_THROTTLING_LEDGER_LINE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "throttling/ledger_store.h"
#include "throttling/uptime_line.h"

namespace salve {

class LedgerLine {
 public:
  // What the file says, and which boot is running now. A new boot gets the next number.
  LedgerLine(const std::vector<BootRow>& boots, const std::vector<AttemptRow>& attempts,
             const std::string& boot_id, Instant now);

  // As UptimeLine::Look.
  bool Look(Instant now, absl::Time wall, bool synchronised) {
    return line_.Look(now, wall, synchronised);
  }

  absl::Duration StartOf(const AttemptRow& row) const {
    return PointOf(row.boot, row.attempt.start);
  }
  // Requires: it has ended.
  absl::Duration EndOf(const AttemptRow& row) const {
    return PointOf(row.end_boot, row.attempt.end);
  }

  // The running boot as it was last looked at.
  BootRow RunningBoot() const { return {numbers_.back(), line_.boots().back()}; }
  // Fills in the boot ids of a row's attempt; empty where the boot is no longer known.
  void SetBootIds(AttemptRow& row) const;

 private:
  std::vector<SeenBoot> BootsOf(const std::vector<BootRow>& boots,
                                const std::vector<AttemptRow>& attempts, const std::string& boot_id,
                                Instant now);
  void WasSeen(std::vector<SeenBoot>& boots, int64_t number, Instant moment) const;
  void AddRunningBoot(std::vector<SeenBoot>& boots, const std::string& boot_id, Instant now);
  absl::Duration PointOf(int64_t number, Instant moment) const;

  absl::flat_hash_map<int64_t, size_t> index_;  // Of a boot on the line, by its number.
  std::vector<int64_t> numbers_;                // By index.
  UptimeLine line_;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_LEDGER_LINE_H_
