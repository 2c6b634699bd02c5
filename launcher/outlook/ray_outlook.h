// launcher/outlook/ray_outlook.h - does a Ray answer, does it take our token, and do the engines
// fit on its nodes?
//
// Threading: pure functions over values, but for ray_outlook(), which blocks for a few seconds at
// most, and ray_obstacle(), which blocks for as long as its answer time.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/finding.h"
#include "launcher/base/machine.h"
#include "launcher/outlook/answer_time.h"
#include "launcher/outlook/room.h"
#include "launcher/ray/ray_client.h"

namespace batchproxy {

// What was asked, in this order. One that got no answer in time has neither status nor refusal.
struct RayAnswers {
  RayReply version{};
  RayReply nodes{};
  RayReply cluster{};
};

// The nodes that are alive, of a body of GET /api/v0/nodes; nothing when it is none.
std::optional<std::vector<NodeRoom>> parse_ray_nodes(std::string_view body);

// Why no engine can start as Ray has answered; nothing if they can. It was waited for so long.
std::optional<Finding> ray_problem(const std::string& url, const RayReply& version,
                                   std::chrono::seconds waited);

// `url`: where Ray was asked. Engines need so many GPUs each.
std::vector<Finding> ray_findings(const std::string& url, bool has_token, const RayAnswers& answers,
                                  const std::vector<std::size_t>& needs);

// Asks it; the options' address and token are good.
std::vector<Finding> ray_outlook(const Options& options, const Machine& machine,
                                 const std::vector<std::size_t>& needs);

// Asks for no more than ray_problem() needs.
std::optional<Finding> ray_obstacle(const Options& options, const Machine& machine,
                                    const AnswerTime& time);

}  // namespace batchproxy
