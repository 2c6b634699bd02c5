// backends/sim/api/pooling_request.h - from a JSON body to a checked request of an endpoint that
// reads prompts without generating: embeddings, scores, ranks, classes.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include <boost/json/object.hpp>

#include "backends/sim/api/prompts.h"
#include "backends/sim/model/embedding.h"

namespace batchproxy::sim {

enum class PoolingTask : std::uint8_t { kEmbed, kPool, kClassify, kScore, kRerank };

struct PoolingRequest {
  PoolingTask task = PoolingTask::kEmbed;
  std::vector<Prompt> prompts;
  std::vector<Prompt> queries;  // of scores and ranks: one per prompt, read together with it
  bool base64 = false;
  int dimensions = kEmbeddingSize;
  int top_n = 0;  // 0: all
};

// Throws ApiError for what vLLM would refuse, over-long prompts included.
PoolingRequest parse_pooling(PoolingTask task, const boost::json::object& body, int max_model_len);

}  // namespace batchproxy::sim
