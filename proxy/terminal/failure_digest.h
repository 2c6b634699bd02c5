// proxy/terminal/failure_digest.h - FailureDigest: what the log says of engines that do not come
// up. A fault that they share is told once, with the names of all: "engine-0, engine-1 and 2 more".
//
//   it fails ─▶ with those that fail alike ─▶ told: when nobody else can fail alike, or after a
//                                             while; its details only the first time
//
// What differs is told apart. Engines are alike if their causes are the same, or else what is seen
// of their ends, but for their own names, those of their nodes, and figures in their logs.
//
// Threading: plain values; the time is given.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "batcher/base/time.h"
#include "launcher/launcher.h"
#include "proxy/terminal/line.h"

namespace batchproxy {

// "It is started again in 0.9 s", "They are not started again": of engines that have ended.
std::string what_next(const std::optional<Duration>& next, bool are_several = false);

// Engines of ours that are not started again by themselves, while others are left.
Lines tell_lost(const std::vector<std::string>& engines);

class FailureDigest {
 public:
  // A start of `engine` has failed; `next`: until its next one. `starting`: others that may fail.
  Lines on_failed(const std::string& engine, const EngineFailure& failure,
                  const std::optional<Duration>& next, const std::vector<std::string>& starting,
                  TimePoint now);
  // It waits for something that takes long; `text` follows its name. Told by on_tick().
  void on_delay(const std::string& engine, const std::string& text, TimePoint now);
  // It stays down, as its last failure says. Told behind that, or at once.
  Lines on_lost(const std::string& engine);
  // It is told in another way who stays down.
  void forget_lost() { lost_.clear(); }
  // It came up: what is told of it from now on is news.
  void on_up(const std::string& engine) { told_.erase(engine); }
  // What has waited long enough for others.
  Lines on_tick(TimePoint now);
  // All of it.
  Lines tell_all(TimePoint now);

 private:
  static constexpr Duration kGather = std::chrono::seconds(2);
  // What was told before is no news: the starts that follow are further apart each time.
  static constexpr Duration kGatherRepeated = std::chrono::seconds(5);
  static constexpr Duration kGatherDelays = std::chrono::seconds(1);

  struct Member {
    std::string engine;
    EngineFailure failure;
    std::optional<TimePoint> next{};  // its next start
  };
  struct Group {
    std::vector<Member> members;  // at least one
    TimePoint since;
    bool is_delay = false;
  };

  void add(Member member, bool is_delay, TimePoint now);
  bool is_pending(const std::string& engine) const;
  bool is_told(const Group& group) const;
  bool is_due(const Group& group, TimePoint now) const;
  Lines tell(Group group, TimePoint now);
  Lines tell_failure(const Group& group, TimePoint now);
  Lines tell_known_lost();

  static bool are_alike(const Member& one, const Member& other);
  static bool is_repeated(const Member& before, const Member& now);
  static std::string names_of(const Group& group);

  std::vector<Group> groups_;             // that are to be told
  std::vector<std::string> lost_;         // engines of these that stay down
  std::map<std::string, Member> told_{};  // by engine: how it failed last, if that was told
  std::optional<Member> last_told_;       // with its details
};

}  // namespace batchproxy
