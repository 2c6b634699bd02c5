// proxy/terminal/narrator.h - Narrator: what the log says about backends and requests: from what
// was and what is, to lines.
//
// The narrator remembers what it has said, so that nothing is said twice, and something that passes
// is said to have passed. It writes nothing: log() does.
//
// Threading: confined to the control thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backends/roster.h"
#include "batcher/scheduler.h"
#include "launcher/launcher.h"
#include "proxy/metrics/snapshot.h"
#include "proxy/terminal/failure_digest.h"
#include "proxy/terminal/line.h"

namespace batchproxy {

void log(const Lines& lines);

// --- what has become of one backend, whatever was said before -----------------------------------

Lines tell_stall(const BackendRecord& backend, const Stall& stall);
// The name of a backend leads elsewhere; `news` may be empty.
Lines tell_move(const BackendRecord& backend, const std::string& news);
// A backend has begun or ceased to ask for a key that we have not. `have_keys`: clients have keys
// of ours, which are not passed on.
Lines tell_of_key(const BackendRecord& backend, bool was_keyed, bool have_keys);
// None is left. `any_was_up`: requests wait for one, `hold_timeout` seconds at most; else we stop.
Lines tell_all_lost(bool any_was_up, double hold_timeout);

class Narrator {
 public:
  // Failures are told from here on.
  void begin(const Snapshot& now);
  // We stop: that backends go is no news any more. Also once they have gone: what was still to be
  // said of them.
  Lines stop_serving(TimePoint now) {
    serving_ = false;
    return failures_.tell_all(now);
  }
  bool is_serving() const { return serving_; }

  // The state of one backend of `roster` has changed.
  Lines on_step(const BackendRecord& before, const BackendRecord& now, const Roster& roster);
  // An engine of ours did not come up. That several fail for the same reason is said once: while
  // others of `roster` are starting, a while later.
  Lines on_failed_start(const BackendRecord& engine, const EngineFailure& failure,
                        const std::optional<Duration>& next, const Roster& roster, TimePoint now);
  // An engine of ours ended after it had come up. `next`: how long until it is started again, if it
  // is. That several end in the same way is said once: while others of `roster` are up, a moment
  // later.
  Lines on_exited(const BackendRecord& engine, const EngineFailure& failure,
                  const std::string& log_file, const std::optional<Duration>& next,
                  const Roster& roster, TimePoint now);
  // An engine of ours is about to be started, for the first time or again.
  Lines on_starting(const BackendRecord& engine, TimePoint now) {
    return failures_.on_starting(engine.name(), now);
  }
  // Something of an engine of ours takes long, in words that follow its name: told by on_tick().
  void on_delay(const BackendRecord& engine, const std::string& text, TimePoint now) {
    failures_.on_delay(engine.name(), text, now);
  }
  // An engine of ours is not started again by itself, and others are left.
  Lines on_lost(const BackendRecord& engine) { return failures_.on_lost(engine.name()); }
  // None is left. `any_was_up`: requests wait for one, `hold_timeout` seconds at most; else we
  // stop.
  Lines on_all_lost(bool any_was_up, double hold_timeout, TimePoint now);
  // Whether any backend is ready may have changed; `held` requests have waited for one, and wait
  // `hold_timeout` seconds at most.
  Lines on_ready_set(bool any_ready, std::uint64_t held, double hold_timeout);
  // No backend is ready, after one was, and that has been said.
  bool in_outage() const { return outage_; }

  // Whether to say now how the backends that are up are used: once, when all are up that will be,
  // or ten seconds have passed.
  bool announces(const Snapshot& now);

  // Once a second: which calls failed and which requests were refused since the last time.
  Lines on_tick(const Snapshot& now, TimePoint at);

 private:
  Lines first_ready(const BackendRecord& now, const Roster& roster) const;
  Lines failures(const Snapshot& now) const;
  Lines refusals(const Snapshot& now);

  Snapshot last_;           // what has been said about failures
  Snapshot last_refusals_;  // and about requests refused
  bool serving_ = true;
  bool announced_ = false;
  bool outage_ = false;
  FailureDigest failures_;  // of engines of ours
};

}  // namespace batchproxy
