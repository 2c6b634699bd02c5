// proxy/terminal/failure_digest.h - FailureDigest: what the log says of engines that do not come
// up, or that end. A fault that they share is told once, with the names of all: "engine-0, engine-1
// and 2 more".
//
//   it fails ─▶ with those that fail alike ─▶ told: when nobody else can fail alike, before it is
//                                             started again, or after a while
//
// What is told is remembered by its fault, not by its engine, until those have come up that had it.
// So whoever has it later adds a line without the details, and so does who has it again; details
// that are new are told always.
//
// What differs is told apart. Engines are alike if their causes are the same, or else what is seen
// of their ends, but for their own names, those of their nodes, and figures in their logs.
//
// Threading: plain values; the time is given.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "batcher/base/time.h"
#include "launcher/launcher.h"
#include "proxy/terminal/line.h"

namespace batchproxy {

// Engines of ours that are not started again by themselves, while others are left.
Lines tell_lost(const std::vector<std::string>& engines);

class FailureDigest {
 public:
  // A start of `engine` has failed; `next`: until its next one. `others`: that may yet fail alike.
  Lines on_failed(const std::string& engine, const EngineFailure& failure,
                  const std::optional<Duration>& next, const std::vector<std::string>& others,
                  TimePoint now);
  // It has ended after it had come up.
  Lines on_ended(const std::string& engine, const EngineFailure& failure,
                 const std::string& log_file, const std::optional<Duration>& next,
                 const std::vector<std::string>& others, TimePoint now);
  // It waits for something that takes long; `text` follows its name. Told by on_tick(), once until
  // it is up.
  void on_delay(const std::string& engine, const std::string& text, TimePoint now);
  // It stays down, as its last failure says. Told behind that, or at once.
  Lines on_lost(const std::string& engine);
  // It is told in another way who stays down.
  void forget_lost() { lost_.clear(); }
  // It is about to be started again: what is news of its last end comes before.
  Lines on_starting(const std::string& engine, TimePoint now);
  // It came up: what is told of it from now on is news.
  void on_up(const std::string& engine);
  // What has waited long enough for others.
  Lines on_tick(TimePoint now);
  // All of it.
  Lines tell_all(TimePoint now);

 private:
  static constexpr Duration kGather = std::chrono::seconds(2);
  // What was told before is no news: the starts that follow are further apart each time.
  static constexpr Duration kGatherKnown = std::chrono::seconds(5);
  static constexpr Duration kGatherEnds = std::chrono::seconds(1);
  static constexpr Duration kGatherDelays = std::chrono::seconds(1);

  enum class Kind : std::uint8_t { kStart, kEnd, kDelay };

  struct Member {
    std::string engine;
    EngineFailure failure;
    std::optional<TimePoint> next{};  // its next start
    int tries = 1;                    // of a start, with this one
    std::string log_file{};           // of an end
  };
  using Members = std::vector<Member>;
  // Engines that are to be told of in one sentence.
  struct Group {
    Kind kind;
    Members members;  // at least one
    TimePoint since;
  };
  // What was told of a fault.
  struct Told {
    Kind kind;
    Member first;
    std::vector<std::string> engines;  // that have it, by name
    std::set<std::string> details;     // as mark_of() makes them
  };

  void add(Kind kind, Member member, TimePoint now);
  Lines add_failure(Kind kind, Member member, const std::vector<std::string>& others,
                    TimePoint now);
  bool is_pending(const std::string& engine) const;
  bool is_due(const Group& group, TimePoint now);
  bool has_news(const Group& group);
  Told* find_told(const Group& group);
  // Tells the groups that are `due`, and keeps the others.
  Lines tell_those(auto due, TimePoint now);
  Lines tell(Group group, TimePoint now);
  Lines tell_delay(Group group);
  Lines tell_failure(const Group& group, TimePoint now);
  Told& told_of(const Group& group);
  Lines tell_known_lost();

  static bool are_alike(const Member& one, const Member& other);
  static std::string names_of(const Members& members);
  static std::string what_next(const Members& members, TimePoint now);
  static std::string tries_of(const Members& members);
  static std::string sentence_about(const Group& group, const Told* told, TimePoint now);
  static Lines tell_details(const Group& group, Told& told);
  static void add_engines(Told& told, const Group& group);

  std::vector<Group> groups_;         // that are to be told
  std::vector<std::string> lost_;     // engines of these that stay down
  std::deque<Told> told_;             // the latest last
  std::map<std::string, int> tries_;  // by engine: starts in a row that have failed
};

}  // namespace batchproxy
