// tests/fault_sim/fake_server.cc - see fake_server.h.
#include "tests/fault_sim/fake_server.h"

namespace batchproxy::fault_sim {

bool FakeServer::take(const ServerCall& call) {
  if (!listens_) return false;
  calls_[++last_id_] = call;
  work(last_id_);
  return true;
}

void FakeServer::work(std::uint64_t id) {
  const ServerCall& call = calls_.at(id);
  const Duration soon = dice_.between(Duration(1ms), Duration(50ms));
  if (call.marker == Marker::kPoison && immune_) return answer_in(soon, id, {.status = 400});
  if (call.marker == Marker::kPoison) {
    time_.after(soon, [this, id] {
      if (!calls_.contains(id)) return;
      time_.note("{} dies of a poison", name_);
      calls_.at(id).caller->on_killed_engine();
      crash(dice_.between(Duration(200ms), Duration(8s)));
    });
    return;
  }
  switch (mood_) {
    case Mood::kHangs:
      return;
    case Mood::kServerErrors:
      return answer_in(soon, id, {.status = dice_.chance(50) ? 500u : 503u});
    case Mood::kNotReady:
      return answer_in(soon, id, {.status = 503});
    case Mood::kGarbage:
      return answer_in(soon, id, {.failure = CallFailure::kBadAnswer});
    case Mood::kBareErrors:
      return answer_in(soon, id, {.failure = CallFailure::kBareError});
    case Mood::kBusy:
      return answer_in(soon, id,
                       {.status = dice_.chance(50) ? 429u : 503u,
                        .wait = dice_.between(Duration(100ms), Duration(60s))});
    case Mood::kWell:
    case Mood::kSlow:
      break;
  }
  if (call.marker == Marker::kAlways400) return answer_in(soon, id, {.status = 400});
  if (call.marker == Marker::kAlways500) return answer_in(soon, id, {.status = 500});
  const Duration work =
      dice_.between(Duration(5ms), Duration(400ms)) * (mood_ == Mood::kSlow ? 20 : 1);
  if (call.streaming) {
    time_.after(work / 3, [this, id] {
      const auto found = calls_.find(id);
      if (found == calls_.end() || found->second.began) return;
      found->second.began = true;
      found->second.caller->on_head(found->second.number);
    });
  }
  answer_in(work, id, {.status = 200});
}

void FakeServer::answer_in(Duration wait, std::uint64_t id, const Reply& reply) {
  time_.after(wait, [this, id, reply] { answer(id, reply); });
}

void FakeServer::answer(std::uint64_t id, const Reply& reply) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  const ServerCall call = found->second;
  calls_.erase(found);
  call.caller->on_reply(call.number, reply);
}

void FakeServer::hang_up(const Caller* caller, std::uint64_t number) {
  std::erase_if(calls_, [&](const auto& entry) {
    return entry.second.caller == caller && entry.second.number == number;
  });
}

ProbeResult FakeServer::probe() {
  if (!listens_) return ProbeResult::kRefused;
  if (mood_ == Mood::kNotReady) return ProbeResult::kNotReady;
  if (mood_ == Mood::kHangs && dice_.chance(50)) return ProbeResult::kSilent;
  return dice_.chance(2) ? ProbeResult::kSilent : ProbeResult::kOk;
}

// An engine that hangs counts no further.
EngineSample FakeServer::sample() {
  if (mood_ != Mood::kHangs) steps_ += dice_.below(20);
  return {.running = static_cast<double>(std::min<std::size_t>(calls_.size(), 16)),
          .waiting = static_cast<double>(dice_.below(4)),
          .preemptions = 0,
          .steps = steps_};
}

void FakeServer::crash(Duration away) {
  if (!listens_) return;
  time_.note("{} crashes with {} calls", name_, calls_.size());
  listens_ = false;
  const unsigned life = ++lives_;
  // It may have time to say so.
  const bool says_so = dice_.chance(50);
  for (const auto& [id, lost] : std::exchange(calls_, {})) {
    Reply reply{.failure = lost.began ? CallFailure::kCutAnswer : CallFailure::kNoAnswer};
    if (says_so && !lost.began) reply = {.status = 500, .says_dead = true};
    time_.after(dice_.between(Duration(1us), Duration(200us)),
                [call = lost, reply] { call.caller->on_reply(call.number, reply); });
  }
  time_.after(away, [this, life] {
    if (life == lives_) start();
  });
}

void FakeServer::start() {
  if (listens_) return;
  time_.note("{} is back", name_);
  listens_ = true;
  mood_ = Mood::kWell;
}

void FakeServer::set_mood(Mood mood) {
  const bool wakes = mood_ == Mood::kHangs && mood != Mood::kHangs;
  mood_ = mood;
  if (!wakes) return;
  for (const auto& [id, call] : std::map(calls_)) work(id);
}

}  // namespace batchproxy::fault_sim
