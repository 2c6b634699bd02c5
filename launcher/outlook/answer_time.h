// launcher/outlook/answer_time.h - how long who is asked may take to answer.
//
// Threading: plain values.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

namespace batchproxy {

struct AnswerTime {
  std::chrono::seconds most{5};
  // Is told, as a sentence, for whom we wait, if that takes longer than a look does.
  std::function<void(const std::string& sentence)> on_wait{};
};

// So long nobody wonders.
inline constexpr std::chrono::seconds kUnnoticed{3};

// Waits until `is_done`, but not for longer than that. `whom`: "Ray at URL".
template <class IsDone>
void wait_for_answer(const AnswerTime& time, const std::string& whom,
                     std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                     IsDone is_done) {
  const bool may_wonder = time.on_wait && time.most > kUnnoticed;
  if (changed.wait_for(lock, may_wonder ? kUnnoticed : time.most, is_done) || !may_wonder) return;
  time.on_wait("waiting for " + whom +
               ", without an answer so far: " + std::to_string(time.most.count()) + " s at most");
  changed.wait_for(lock, time.most - kUnnoticed, is_done);
}

}  // namespace batchproxy
