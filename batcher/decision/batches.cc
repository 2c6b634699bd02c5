// batcher/decision/batches.cc - see batches.h.
#include "batcher/decision/batches.h"

namespace batchproxy {

void Batches::leave(BackendId id, FlushReason reason, std::vector<Ticket*>& decided) {
  with_open_.erase(id);
  Open& open = open_[id];
  const BatchInfo batch{++last_, open.prompts, reason};
  for (Ticket* ticket : open.tickets) {
    ticket->verdict.batch = batch;
    decided.push_back(ticket);
  }
  ++counts_[static_cast<std::size_t>(reason)];
  open.tickets.clear();
  open.prompts = 0;
}

}  // namespace batchproxy
