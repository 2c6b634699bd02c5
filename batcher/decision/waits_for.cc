// batcher/decision/waits_for.cc - the reasons, from those that concern all of its backends to those
// that concern the ticket.
#include "batcher/decision/waits_for.h"

#include <optional>

#include "batcher/base/flush_rule.h"
#include "batcher/decision/merger.h"

namespace batchproxy {

namespace {

// Whether one of `among` is like that.
bool any(const BackendSet& among, const Fleet& fleet, auto is) {
  for (const BackendId id : among) {
    if (is(fleet[id])) return true;
  }
  return false;
}

// Why none of its backends may be given anything.
std::optional<WaitsFor> why_closed(const Ticket& ticket, const Fleet& fleet, TimePoint now) {
  if (ticket.among.empty()) return WaitsFor::kModel;
  if (!fleet.any(ticket.among, &Backend::has_server)) return WaitsFor::kBackend;
  if (!fleet.any(ticket.among, &Backend::serves)) return WaitsFor::kHealth;
  const auto takes = [now](const Backend& one) { return one.takes(now); };
  if (!any(ticket.among, fleet, takes)) return WaitsFor::kPause;
  if (ticket.suspect) return WaitsFor::kAlone;
  if (!fleet.any(ticket.among, &Backend::is_open)) return WaitsFor::kSuspect;
  return std::nullopt;
}

}  // namespace

WaitsFor waits_for(const Ticket& ticket, const Fleet& fleet, const Merger& merger,
                   const SchedulerOptions& options, TimePoint now) {
  if (const auto closed = why_closed(ticket, fleet, now)) return *closed;
  if (!fleet.any(ticket.among, &Backend::is_ready)) return WaitsFor::kRampUp;
  if (!rule_of(options.policy).goes_by_room()) return WaitsFor::kBatch;
  if (!fleet.any(ticket.among, &Backend::has_room)) {
    const auto will_have = [](const Backend& one) {
      return one.ready && one.inflight < one.room.prompts();
    };
    return any(ticket.among, fleet, will_have) ? WaitsFor::kRampUp : WaitsFor::kRoom;
  }
  if (ticket.background) return WaitsFor::kOthers;
  if (ticket.affine && !fleet[*ticket.affine].has_room()) return WaitsFor::kBeginning;
  const auto gathers = [&](const Backend& one) {
    return one.has_room() && merger.gathers(ticket, one);
  };
  return any(ticket.among, fleet, gathers) ? WaitsFor::kCall : WaitsFor::kInTime;
}

}  // namespace batchproxy
