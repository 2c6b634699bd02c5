// batcher/decision/batches.cc - see batches.h.
#include "batcher/decision/batches.h"

namespace batchproxy {

void Batches::close(Open& open, FlushReason reason, std::vector<Ticket*>& decided) {
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
