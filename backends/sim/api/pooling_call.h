// backends/sim/api/pooling_call.h - PoolingCall: one accepted call of an endpoint that generates
// nothing. Each prompt, with its query if it has one, is a prefill and no more.
//
// Threading: confined to the server.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "backends/sim/api/api_call.h"
#include "backends/sim/api/pooling_request.h"

namespace batchproxy::sim {

class PoolingCall : public ApiCall {
 public:
  PoolingCall(PoolingRequest request, CallIdentity identity);

  std::vector<Work> work() const override;
  RequestTally tally() const override;
  std::string body() const override;

 private:
  // What the engine reads for `index`.
  std::vector<Token> sequence(std::size_t index) const;
  double score(std::size_t index) const;
  std::size_t prompt_tokens() const;
  boost::json::object data_of(std::size_t index) const;
  boost::json::array ranking() const;

  const PoolingRequest request_;
  const CallIdentity identity_;
};

// "embd-" and so on.
std::string_view id_prefix(PoolingTask task);

}  // namespace batchproxy::sim
