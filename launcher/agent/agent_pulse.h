// launcher/agent/agent_pulse.h - AgentPulse: how long an agent has been silent, when people are
// told, and when it is waited for no longer.
//
//   it has an engine      silence is told after `patience`, and so is its end; the engine serves on
//   it has none yet       silent for `time_without_engine`: it is given up
//   it was told to end    silent for `answer_time`: it is given up; one that answers has the time
//                         of its order, and `grace`
//
// Silence begins with the first question that stays without an answer. Time in which nobody looked
// does not count: it was ours, and nothing is known of the agent's.
//
// Threading: plain values; the time is passed in.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/base/time.h"

namespace batchproxy {

struct AgentPatience {
  Duration every = std::chrono::seconds(2);         // from one question to the next
  Duration patience = std::chrono::seconds(5);      // with what is silent, before people are told
  Duration answer_time = std::chrono::seconds(15);  // to show that it has heard an order
  Duration grace = std::chrono::seconds(15);        // beyond the time of its order, to obey
  Duration time_without_engine = std::chrono::seconds(120);
};

class AgentPulse {
 public:
  enum class Act : std::uint8_t {
    kNothing,         // until next_due()
    kAsk,             // ask it whether it is there
    kTellSilent,      // it does not answer; its engine goes on
    kTellBack,        // it answers again: see last_silence()
    kTellUnheard,     // it does not answer an order
    kTellUnfinished,  // it has heard an order, and its engine has not ended
    kGiveUp,          // wait no longer for it; the last act
  };

  // It has come, at `now`.
  AgentPulse(const AgentPatience& patience, TimePoint now);

  // It has said anything.
  void on_heard(TimePoint now);
  // It has an engine that may go on without it.
  void on_engine() { has_engine_ = true; }
  // It was told to end its engine within `time`.
  void on_order(TimePoint now, Duration time);

  // What is due. To be asked until it is nothing: at next_due(), and when something has happened.
  Act take(TimePoint now);
  TimePoint next_due() const;

  // For how long it has been silent; nothing while it answers, or may still.
  std::optional<Duration> silence(TimePoint now) const;
  // The last silence that has ended.
  Duration last_silence() const { return last_silence_; }
  // When it will be given up: nothing while it has no order to end, and an engine.
  std::optional<TimePoint> end() const;
  bool has_engine() const { return has_engine_; }
  bool has_order() const { return ordered_at_.has_value(); }
  // It has an order, and takes so long that people should know.
  bool is_late(TimePoint now) const;

 private:
  // Silent for long enough to be told.
  bool is_silent(TimePoint now) const;

  const AgentPatience patience_;
  TimePoint looked_at_;
  TimePoint next_question_;
  std::optional<TimePoint> asked_at_;  // and heard nothing since
  std::optional<TimePoint> ordered_at_;
  Duration time_of_order_{};
  Duration last_silence_{};
  bool has_engine_ = false;
  bool is_told_silent_ = false;
  bool is_back_ = false;  // which is to be told
  bool is_told_unheard_ = false;
  bool is_told_unfinished_ = false;
  bool is_over_ = false;
};

}  // namespace batchproxy
