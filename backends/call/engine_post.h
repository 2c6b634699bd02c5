// backends/call/engine_post.h - one POST to an engine from the control thread, for what an operator
// asks of it. Clients' requests go through UpstreamCall.
//
// Threading: the io_context's own thread.
#pragma once

#include <memory>
#include <string>

#include "backends/names/endpoint.h"
#include "backends/net/task.h"

namespace batchproxy {

struct EngineReply {
  unsigned status = 0;  // 0: there was no answer
  std::string body{};
  std::string problem{};  // why there was none
};

// Sends `json` with the endpoint's own key, over a connection of its own. All of it, from
// connecting to the answer's last byte, may take `patience`.
Task<EngineReply> order_engine(asio::io_context& io, std::shared_ptr<const Endpoint> at,
                               std::string target, std::string json, Duration patience);

}  // namespace batchproxy
