// launcher/diagnosis/diagnosis.h - why an engine failed, from its log.
//
// DiagnosisReader takes a log in pieces of any size and keeps a few kilobytes of it, however long
// it is. Only the last run in it counts: a run begins with our separator (process/run_separator.h)
// or, without one, where vLLM tells its arguments again.
//
// All of the run is read before anything is decided: the line that tells the cause stands up to
// hundreds of lines above the end, and what other processes say of it follows.
//
// Threading: confined to one thread; no I/O.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/diagnosis/cause.h"
#include "launcher/diagnosis/figures.h"
#include "launcher/diagnosis/recognisers.h"
#include "launcher/diagnosis/startup_stage.h"

namespace batchproxy {

struct Diagnosis {
  enum class Outcome : std::uint8_t {
    kHealthy,  // it came up, and nothing has ended it but a request to stop
    kUnended,  // it did not come up, and no failure is told: still starting, or cut off
    kFailed,   // for the reason `cause`
    kUnknown,  // for a reason that we do not know
  };

  Outcome outcome = Outcome::kUnended;
  std::optional<Cause> cause;         // with kFailed
  Figures figures;                    // of the evidence
  std::string evidence;               // the decisive line, trimmed; with kUnknown the best there is
  std::vector<Cause> also;            // others that were told, by priority; they may follow from it
  std::optional<StartupStage> stage;  // how far the start came, if the log tells
  std::string run;                    // "engine-0, run 3, 2026-11-29T14:33:18Z", if the log is ours
  std::vector<std::string> last_lines;  // the last that mean something, with kUnknown

  bool has_failed() const { return outcome == Outcome::kFailed || outcome == Outcome::kUnknown; }
};

class DiagnosisReader {
 public:
  void feed(std::string_view bytes);

  // What is to be said of what was fed so far. A last line without end counts.
  Diagnosis diagnose();

 private:
  // Which part of a start the frames of a traceback name.
  enum class Frames : std::uint8_t { kNone, kLoad, kProfile, kGraphs };

  struct Finding {
    std::string evidence;
    Figures figures;
  };

  // One run of the engine.
  struct Run {
    std::string name;
    StartupCourse course;
    bool is_ready = false;
    std::array<std::optional<Finding>, kCountOf<Cause>> findings{};
    std::optional<Cause> unfinished;  // its next line belongs to it
    Frames frames = Frames::kNone;
    bool oom_awaits_stage = false;  // it came before the log told of any stage
    std::string exception;          // the last that is no echo of another
    bool went_on = false;           // there was progress behind it
    std::string death;              // the first line that tells of a process's end
    std::string stall;
    std::deque<std::string> last_lines;
  };

  void take_line(std::string_view line);
  void take_quiet(const LogLine& line);
  void take_loud(const LogLine& line);
  void take_progress(std::string_view text);
  void take_frame(std::string_view text);
  void keep_last(std::string line);
  void forget_failures();
  void note(const LogLine& line, const Recognised& recognised);
  bool has_happened() const;
  Cause oom_by_stage() const;
  std::optional<Cause> best() const;
  std::optional<Cause> told_cause() const;
  static void tell(Diagnosis& diagnosis, Cause cause, const Finding& finding);
  void tell_without_cause(Diagnosis& diagnosis) const;

  std::string unfinished_line_;
  Run run_;
};

}  // namespace batchproxy
