// backends/call/engine_post.cc - see engine_post.h.
#include "backends/call/engine_post.h"

#include <utility>

#include "backends/call/control_stream.h"

namespace batchproxy {

namespace {

constexpr std::size_t kMaxReply = 1 << 20;  // bytes

}  // namespace

Task<EngineReply> order_engine(asio::io_context& io, std::shared_ptr<const Endpoint> at,
                               std::string target, std::string json, Duration patience) {
  ControlStream stream(io.get_executor());
  ControlReply reply;
  reply.error = co_await connect_in_turn(stream, at->addresses, patience);
  if (!reply.error) {
    reply = co_await post_json(stream, *at, std::move(target), std::move(json), kMaxReply);
  }
  std::string problem = reply.error ? why_no_reply(reply) : "";
  co_return EngineReply{reply.status, std::move(reply.body), std::move(problem)};
}

}  // namespace batchproxy
