// launcher/diagnosis/diagnosis.cc - which of a log's lines are kept, and what is made of them.
#include "launcher/diagnosis/diagnosis.h"

#include <algorithm>
#include <utility>

#include "configs/text/trim.h"
#include "launcher/process/run_separator.h"

namespace batchproxy {
namespace {

// Longer lines are lists of what would have been right; their beginnings are enough.
constexpr std::size_t kLongestLine = 16 * 1024;
constexpr std::size_t kLongestEvidence = 600;
constexpr std::size_t kLastLines = 10;

std::string shortened(std::string_view text) {
  text = trim(text, " \t\r");
  if (text.size() <= kLongestEvidence) return std::string(text);
  std::size_t end = kLongestEvidence;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // UTF-8
  return std::string(text.substr(0, end)) + " ...";
}

bool begins_a_run(std::string_view text) {
  return text.find("non-default args: ") != std::string_view::npos ||
         text.find("vLLM API server version ") != std::string_view::npos;
}

bool is_progress_bar(std::string_view text) {
  return text.find("it/s]") != std::string_view::npos ||
         text.find("s/it]") != std::string_view::npos ||
         text.find("% Completed |") != std::string_view::npos;
}

// "/x/y.py:138: FutureWarning: ..."
bool is_python_warning(std::string_view text) {
  return text.find(".py:") != std::string_view::npos &&
         text.find("Warning: ") != std::string_view::npos;
}

// Whether a person would want to read it, of a failure that we do not know.
bool means_something(const LogLine& line) {
  if (line.level != LogLevel::kNone && line.level != LogLevel::kError) return false;
  const std::string_view text = trim(line.text);
  return !text.empty() && text.find_first_not_of("^~ ") != std::string_view::npos &&
         !is_code(line.text) && !is_progress_bar(text) && !is_python_warning(text);
}

bool tells_of_service(std::string_view text) {
  return text.find("generation throughput: ") != std::string_view::npos ||
         text.find("HTTP/1.1\" 200 ") != std::string_view::npos;
}

// Where its next line says what is wrong.
bool is_told_in_two_lines(Cause cause, std::string_view text) {
  return (cause == Cause::kConfigError || cause == Cause::kBadArgs) &&
         text.find(" validation error") != std::string_view::npos;
}

}  // namespace

void DiagnosisReader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    std::string_view piece = bytes.substr(0, newline);
    bytes.remove_prefix(newline == std::string_view::npos ? bytes.size() : newline + 1);
    // A progress bar returns the carriage, and what follows it is a line of its own.
    for (;;) {
      const std::size_t end = piece.find('\r');
      const std::string_view part = piece.substr(0, end);
      unfinished_line_ +=
          part.substr(0, kLongestLine - std::min(kLongestLine, unfinished_line_.size()));
      if (end == std::string_view::npos) break;
      piece.remove_prefix(end + 1);
      take_line(std::exchange(unfinished_line_, {}));
    }
    if (newline != std::string_view::npos) take_line(std::exchange(unfinished_line_, {}));
  }
}

void DiagnosisReader::take_line(std::string_view line) {
  std::string plain;
  if (line.find('\x1b') != std::string_view::npos) {
    plain = without_escapes(line);
    line = plain;
  }
  if (line.empty()) return;
  if (const std::string_view name = run_in(line); !name.empty()) {
    run_ = Run{};
    run_.name = name;
    return;
  }
  const LogLine taken = take_apart(line);
  if (begins_a_run(taken.text) && has_happened()) run_ = Run{};
  if (taken.level == LogLevel::kInfo || taken.level == LogLevel::kDebug) {
    take_quiet(taken);
  } else {
    take_loud(taken);
  }
}

// Whether the run has come further than to its arguments.
bool DiagnosisReader::has_happened() const {
  const auto& reached = run_.course.newest();
  return (reached && reached->stage > StartupStage::kBoot) || best() || !run_.exception.empty() ||
         !run_.death.empty();
}

void DiagnosisReader::take_quiet(const LogLine& line) {
  if (!run_.is_ready) take_progress(line.text);
  if (sign_in(line) == Sign::kStall) run_.stall = shortened(line.text);
  if (run_.is_ready && run_.death.empty() && tells_of_service(line.text)) {
    forget_failures();  // they were a client's, and the engine goes on
  }
}

void DiagnosisReader::take_loud(const LogLine& line) {
  if (!run_.is_ready && line.level == LogLevel::kNone) take_progress(line.text);
  if (is_code(line.text)) return take_frame(line.text);
  if (const auto cause = std::exchange(run_.unfinished, std::nullopt)) {
    auto& evidence = run_.findings[static_cast<std::size_t>(*cause)]->evidence;
    evidence = shortened(evidence + " " + std::string(trim(line.text)));
  }
  const Recognised recognised = recognise(line);
  if (recognised.cause != Cause::kCount) note(line, recognised);
  switch (sign_in(line)) {
    case Sign::kDeath:
      if (run_.death.empty()) run_.death = shortened(line.text);
      break;
    case Sign::kStall:
      run_.stall = shortened(line.text);
      break;
    case Sign::kWrapper:
      break;
    case Sign::kNone:
      if (line.level == LogLevel::kWarning || !is_exception(line.text)) break;
      run_.exception = shortened(line.text);
      run_.went_on = false;
  }
  if (means_something(line)) keep_last(shortened(line.text));
}

// Once, though a failure is told by several processes.
void DiagnosisReader::keep_last(std::string line) {
  auto& lines = run_.last_lines;
  std::erase(lines, line);
  lines.push_back(std::move(line));
  if (lines.size() > kLastLines) lines.pop_front();
}

void DiagnosisReader::take_progress(std::string_view text) {
  const auto progress = progress_in(text);
  if (!progress || !run_.course.take(*progress)) return;
  run_.stall.clear();
  run_.went_on = true;
  if (std::exchange(run_.oom_awaits_stage, false)) {
    auto& findings = run_.findings;
    run_.frames = Frames::kNone;
    const Cause cause = oom_by_stage();
    std::swap(findings[static_cast<std::size_t>(Cause::kOom)],
              findings[static_cast<std::size_t>(cause)]);
  }
  if (progress->stage != StartupStage::kHttpReady) return;
  // Whatever was said on the way was no reason to fail.
  run_.is_ready = true;
  forget_failures();
}

void DiagnosisReader::forget_failures() {
  run_.findings = {};
  run_.unfinished.reset();
  run_.oom_awaits_stage = false;
  run_.exception.clear();
  run_.death.clear();
  run_.last_lines.clear();
}

// The innermost that says something counts, and it comes last. "Traceback" begins anew.
void DiagnosisReader::take_frame(std::string_view text) {
  struct Place {
    std::string_view text;
    Frames frames;
  };
  constexpr Place kPlaces[] = {
      {"Traceback (most", Frames::kNone},
      {", in load_model", Frames::kLoad},
      {", in load_weights", Frames::kLoad},
      {", in initialize_model", Frames::kLoad},
      {", in process_weights_after_loading", Frames::kLoad},
      {", in determine_available_memory", Frames::kProfile},
      {", in profile_run", Frames::kProfile},
      {", in initialize_kv_cache", Frames::kGraphs},
      {", in initialize_from_config", Frames::kGraphs},
      {", in compile_or_warm_up_model", Frames::kGraphs},
      {", in capture_model", Frames::kGraphs},
      {", in profile_cudagraph_memory", Frames::kGraphs},
      {", in capture_end", Frames::kGraphs},
  };
  if (text.starts_with("    ")) return;  // the source line of a frame
  for (const Place& place : kPlaces) {
    if (text.find(place.text) != std::string_view::npos) run_.frames = place.frames;
  }
}

void DiagnosisReader::note(const LogLine& line, const Recognised& recognised) {
  constexpr std::array kMemoryRanOut{Cause::kOomLoad, Cause::kOomProfile, Cause::kOomGraphs};
  Cause cause = recognised.cause;
  if (cause == Cause::kOom && !recognised.figures.is_of_host) {
    const bool is_echo = std::ranges::any_of(kMemoryRanOut, [this](Cause known) {
      return run_.findings[static_cast<std::size_t>(known)].has_value();
    });
    if (is_echo) return;
    run_.oom_awaits_stage = false;
    cause = oom_by_stage();
    run_.oom_awaits_stage = cause == Cause::kOom && !run_.course.newest() && !best();
  }
  auto& finding = run_.findings[static_cast<std::size_t>(cause)];
  if (finding) return;  // later ones are echoes
  finding = Finding{shortened(line.text), recognised.figures};
  if (is_told_in_two_lines(cause, line.text)) run_.unfinished = cause;
}

// The frames know best; without any, the stage that was reached.
Cause DiagnosisReader::oom_by_stage() const {
  if (run_.is_ready) return Cause::kOom;
  switch (run_.frames) {
    case Frames::kLoad:
      return Cause::kOomLoad;
    case Frames::kProfile:
      return Cause::kOomProfile;
    case Frames::kGraphs:
      return Cause::kOomGraphs;
    case Frames::kNone:
      break;
  }
  if (!run_.course.newest()) return Cause::kOom;
  switch (run_.course.newest()->stage) {
    case StartupStage::kLoadingWeights:
      return Cause::kOomLoad;
    case StartupStage::kWeightsLoaded:
    case StartupStage::kCompiling:
    case StartupStage::kProfilingMemory:
      return Cause::kOomProfile;
    case StartupStage::kKvCacheSized:
    case StartupStage::kCapturingGraphs:
      return Cause::kOomGraphs;
    case StartupStage::kBoot:
    case StartupStage::kConfig:
    case StartupStage::kEngineInit:
    case StartupStage::kEngineReady:
    case StartupStage::kHttpReady:
    case StartupStage::kCount:
      break;
  }
  return Cause::kOom;
}

std::optional<Cause> DiagnosisReader::best() const {
  for (const Cause cause : kAll<Cause>) {
    if (run_.findings[static_cast<std::size_t>(cause)]) return cause;
  }
  return std::nullopt;
}

// The cause that counts, if one was told. An engine that serves logs its clients' failures, too;
// that its address is taken, old versions learn only when they are ready.
std::optional<Cause> DiagnosisReader::told_cause() const {
  const auto cause = best();
  const bool has_ended = !run_.is_ready || !run_.death.empty() || cause == Cause::kPortInUse ||
                         cause == Cause::kPortInUse2;
  return has_ended ? cause : std::nullopt;
}

Diagnosis DiagnosisReader::diagnose() {
  if (!unfinished_line_.empty()) take_line(std::exchange(unfinished_line_, {}));
  Diagnosis diagnosis;
  diagnosis.run = run_.name;
  if (run_.course.newest()) diagnosis.stage = run_.course.newest()->stage;
  if (const auto cause = told_cause()) {
    tell(diagnosis, *cause, *run_.findings[static_cast<std::size_t>(*cause)]);
    for (const Cause other : kAll<Cause>) {
      if (other > *cause && run_.findings[static_cast<std::size_t>(other)]) {
        diagnosis.also.push_back(other);
      }
    }
  } else {
    tell_without_cause(diagnosis);
  }
  return diagnosis;
}

void DiagnosisReader::tell(Diagnosis& diagnosis, Cause cause, const Finding& finding) {
  diagnosis.outcome = Diagnosis::Outcome::kFailed;
  diagnosis.cause = cause;
  diagnosis.evidence = finding.evidence;
  diagnosis.figures = finding.figures;
}

// From what is gone, what was thrown, and what is waited for.
void DiagnosisReader::tell_without_cause(Diagnosis& diagnosis) const {
  const bool has_died = !run_.death.empty();
  const bool has_thrown =
      !run_.exception.empty() && (has_died || (!run_.is_ready && !run_.went_on));
  // Who has waited long enough for a process that hangs gives up with no more than this.
  const bool has_given_up = has_thrown && run_.exception.starts_with("TimeoutError");
  const bool waits = !run_.is_ready && !has_thrown && !has_died;
  if (!run_.stall.empty() && (has_given_up || waits)) {
    tell(diagnosis, Cause::kSlowOrHung, {run_.stall, {}});
  } else if (has_thrown) {
    diagnosis.outcome = Diagnosis::Outcome::kUnknown;
    diagnosis.evidence = run_.exception;
    diagnosis.last_lines.assign(run_.last_lines.begin(), run_.last_lines.end());
  } else if (has_died) {
    tell(diagnosis, Cause::kKilled, {run_.death, {}});  // Python would have said why
  } else if (run_.is_ready) {
    diagnosis.outcome = Diagnosis::Outcome::kHealthy;
  }
}

}  // namespace batchproxy
