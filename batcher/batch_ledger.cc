// batcher/batch_ledger.cc - see batch_ledger.h.
#include "batcher/batch_ledger.h"

namespace batchproxy {

void BatchLedger::granted(const Verdict& verdict, TimePoint now) {
  auto [it, is_new] = open_.try_emplace(verdict.batch.id);
  if (!is_new) return;
  it->second.summary.batch = verdict.batch;
  it->second.summary.backend = verdict.backend;
  it->second.remaining = verdict.batch.prompts;
  it->second.since = now;
}

std::optional<BatchSummary> BatchLedger::completed(std::uint64_t id, std::uint32_t prompts, bool ok,
                                                   TimePoint now) {
  const auto it = open_.find(id);
  if (it == open_.end()) return std::nullopt;
  Open& open = it->second;
  if (ok) open.summary.answered += prompts;
  open.remaining -= prompts;
  if (open.remaining > 0) return std::nullopt;
  BatchSummary summary = open.summary;
  summary.took = now - open.since;
  open_.erase(it);
  return summary;
}

}  // namespace batchproxy
