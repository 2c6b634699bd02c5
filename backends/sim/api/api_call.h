// backends/sim/api/api_call.h - ApiCall: one accepted call, from the work it puts on the engine to
// the bytes of its answer, whole or as server-sent events.
//
// Threading: confined to the server.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backends/sim/model/server_model.h"

namespace batchproxy::sim {

struct CallIdentity {
  std::string id;  // e.g. "cmpl-..."
  std::string model;
  std::int64_t created = 0;  // Unix time
};

// Requests of the engine that ended, by reason.
struct RequestTally {
  std::uint64_t stop = 0;
  std::uint64_t length = 0;
};

class ApiCall {
 public:
  virtual ~ApiCall() = default;

  // What the engine must compute; at least one item.
  virtual std::vector<Work> work() const = 0;

  // How its items end, if they are not aborted.
  virtual RequestTally tally() const = 0;

  // The whole answer, as JSON.
  virtual std::string body() const = 0;

  // The parts of a streamed answer: what comes before the first token, the next token of item
  // `index`, and what follows the last token of all.
  virtual bool stream() const { return false; }
  virtual std::string opening() const { return {}; }
  virtual std::string next_chunk(int /*index*/) { return {}; }
  virtual std::string closing() const { return {}; }
};

}  // namespace batchproxy::sim
