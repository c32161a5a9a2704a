#include "throttling/ledger_line.h"

#include <utility>

namespace salve {

LedgerLine::LedgerLine(const std::vector<BootRow>& boots, const std::vector<AttemptRow>& attempts,
                       const std::string& boot_id, Instant now)
    : line_(BootsOf(boots, attempts, boot_id, now)) {}

std::vector<SeenBoot> LedgerLine::BootsOf(const std::vector<BootRow>& boots,
                                          const std::vector<AttemptRow>& attempts,
                                          const std::string& boot_id, Instant now) {
  std::vector<SeenBoot> seen;
  for (const BootRow& row : boots) {
    index_[row.number] = seen.size();
    numbers_.push_back(row.number);
    seen.push_back(row.boot);
  }
  for (const AttemptRow& row : attempts) {
    WasSeen(seen, row.boot, row.attempt.start);
    if (row.end_boot != 0) WasSeen(seen, row.end_boot, row.attempt.end);
  }
  AddRunningBoot(seen, boot_id, now);
  return seen;
}

// An attempt after a boot's last heartbeat shows that the boot lasted longer.
void LedgerLine::WasSeen(std::vector<SeenBoot>& boots, int64_t number, Instant moment) const {
  const auto index = index_.find(number);
  if (index == index_.end()) return;
  SeenBoot& boot = boots[index->second];
  if (moment <= boot.last) return;
  boot.last_wall += moment - boot.last;
  boot.last = moment;
}

void LedgerLine::AddRunningBoot(std::vector<SeenBoot>& boots, const std::string& boot_id,
                                Instant now) {
  if (!boots.empty() && boots.back().boot_id == boot_id && boots.back().last <= now) return;
  SeenBoot running;
  running.boot_id = boot_id;
  running.last = now;
  for (const SeenBoot& boot : boots) {
    // A snapshot brought back an earlier moment: what it had already lived through by then must
    // not count a second time.
    if (boot.boot_id == boot_id) running.first = now;
  }
  const int64_t number = numbers_.empty() ? 1 : numbers_.back() + 1;
  index_[number] = boots.size();
  numbers_.push_back(number);
  boots.push_back(std::move(running));
}

void LedgerLine::SetBootIds(AttemptRow& row) const {
  const auto id_of = [this](int64_t number) -> std::string {
    const auto index = index_.find(number);
    return index == index_.end() ? "" : line_.boots()[index->second].boot_id;
  };
  row.attempt.boot_id = id_of(row.boot);
  if (row.end_boot != 0) row.attempt.end_boot_id = id_of(row.end_boot);
}

// What happened in a boot that is no longer known counts as if at the start of the oldest that
// is: younger than it was, never older.
absl::Duration LedgerLine::PointOf(int64_t number, Instant moment) const {
  const auto index = index_.find(number);
  if (index != index_.end()) return line_.At(index->second, moment);
  return line_.At(0, line_.boots().front().first);
}

}  // namespace salve
