// backends/sim/model/server_model.cc - the event loop of one simulated server.
#include "backends/sim/model/server_model.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

namespace batchproxy::sim {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

ServerModel::ServerModel(const Hardware& hardware, const EngineLimits& limits,
                         const FrontEndCosts& costs)
    : engine_(hardware, limits), front_end_(costs) {}

bool ServerModel::begin_call(CallId call, std::vector<Work> items, bool stream, double now) {
  assert(!items.empty() && !calls_.contains(call));
  const bool fits = std::ranges::all_of(items, [this](const Work& work) {
    return engine_.could_hold(work.prompt_tokens, work.output_tokens);
  });
  if (!fits) return false;

  const int count = static_cast<int>(items.size());
  calls_.emplace(call, Call{next_request_, count, count, stream});
  front_end_.accept_call(now);
  for (int index = 0; index < count; ++index) {
    Work& work = items[static_cast<std::size_t>(index)];
    const EngineRequestId id = next_request_++;
    items_.emplace(id, Item{call, index});
    submissions_.push_back({front_end_.accept_prompt(now),
                            {id, work.prompt_tokens, work.output_tokens, std::move(work.blocks)}});
  }
  return true;
}

void ServerModel::cancel_call(CallId call) {
  const auto found = calls_.find(call);
  if (found == calls_.end()) return;
  const Call cancelled = found->second;
  calls_.erase(found);
  const EngineRequestId end =
      cancelled.first_request + static_cast<EngineRequestId>(cancelled.items);
  for (EngineRequestId id = cancelled.first_request; id < end; ++id) {
    items_.erase(id);
    engine_.abort(id);
  }
  std::erase_if(submissions_, [&](const Submission& submission) {
    return submission.request.id >= cancelled.first_request && submission.request.id < end;
  });
  std::erase_if(outgoing_, [call](const Delivery& delivery) { return delivery.call == call; });
}

std::optional<double> ServerModel::next_event() const {
  double next = kNever;
  if (!submissions_.empty()) next = submissions_.front().at;
  if (engine_.stepping()) next = std::min(next, step_ends_at_);
  if (!outgoing_.empty()) next = std::min(next, outgoing_.front().at);
  if (next == kNever) return std::nullopt;
  return next;
}

std::span<const Delivery> ServerModel::advance(double now) {
  delivered_.clear();
  for (auto next = next_event(); next && *next <= now; next = next_event()) {
    if (!outgoing_.empty() && outgoing_.front().at == *next) {
      const Delivery& delivery = outgoing_.front();
      if (delivery.call_finished) calls_.erase(delivery.call);
      delivered_.push_back(delivery);
      outgoing_.pop_front();
    } else if (!submissions_.empty() && submissions_.front().at == *next) {
      engine_.submit(std::move(submissions_.front().request));
      submissions_.pop_front();
      if (!engine_.stepping()) start_step(*next);
    } else {
      finish_step();
    }
  }
  return delivered_;
}

void ServerModel::start_step(double now) {
  if (const std::optional<double> seconds = engine_.begin_step()) step_ends_at_ = now + *seconds;
}

void ServerModel::finish_step() {
  const double now = step_ends_at_;
  for (const TokenEvent& token : engine_.end_step()) on_token(token, now);
  start_step(now);
}

void ServerModel::on_token(const TokenEvent& token, double now) {
  const auto item = items_.find(token.id);
  assert(item != items_.end());
  const auto [call_id, index] = item->second;
  Call& call = calls_.at(call_id);
  if (!call.stream && !token.finished) return;

  double at = call.stream ? front_end_.send_chunk(now) : now;
  bool call_finished = false;
  if (token.finished) {
    items_.erase(item);
    at = front_end_.finish_prompt(now, call.stream ? 0 : token.count);
    call_finished = --call.unfinished == 0;
    if (call_finished) at = front_end_.finish_call(now);
  }
  outgoing_.push_back({at, call_id, index, token.count, token.finished, call_finished});
}

}  // namespace batchproxy::sim
