// proxy/top/screen.cc - the screen, part by part: what all do, who needs a look, the table of the
// engines or one of them in detail, and the keys.
#include "proxy/top/screen.h"

#include <algorithm>
#include <array>
#include <ranges>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "configs/text/columns.h"
#include "configs/text/figures.h"
#include "configs/text/printable.h"

namespace batchproxy {

namespace {

struct SortRow {
  SortBy id{};
  std::string_view word{};
};
constexpr EnumTable<SortRow> kSorts({
    {SortBy::kName, "name"},
    {SortBy::kCondition, "condition"},
    {SortBy::kInFlight, "in flight"},
    {SortBy::kRate, "answers/s"},
    {SortBy::kP95, "p95"},
});

std::string padded(const std::string& shown, std::size_t width, bool to_the_right) {
  const std::string space(width - std::min(width, columns_of(shown)), ' ');
  return to_the_right ? space + shown : shown + space;
}

Style style_of(Condition condition) {
  switch (condition) {
    case Condition::kFine:
      return Style::kPlain;
    case Condition::kQuiet:
    case Condition::kSlow:
    case Condition::kUntended:
    case Condition::kLoading:
    case Condition::kPaused:
    case Condition::kStopping:
    case Condition::kStopped:
      return Style::kWarning;
    case Condition::kStuck:
    case Condition::kFailing:
    case Condition::kDown:
    case Condition::kCount:
      break;
  }
  return Style::kBad;
}

// --- the table ----------------------------------------------------------------------------------

// A column shows itself on screens of at least `from` columns; that of the nodes where engines have
// one, and the others have so much less room then.
struct Column {
  std::string_view head;
  std::size_t from;
  std::size_t width;
  bool to_the_right;
  std::string (*text)(const BackendSnapshot&);
  bool is_of_nodes = false;
};

constexpr std::size_t kEndless = SIZE_MAX;  // a width without an end

// What the table has to show its columns on.
struct TableRoom {
  std::size_t width = 0;
  bool has_nodes = false;  // an engine is on another node
  // Of the table's columns; none where the width has an end, and they have theirs.
  std::vector<std::size_t> widths{};
};

constexpr bool kLeft = false, kRight = true;
constexpr std::size_t kWide = 60;         // from here on names have more room
constexpr std::size_t kLeastRemark = 20;  // columns: less of it tells nothing

std::string seconds_or_none(double seconds) {
  return seconds > 0 ? short_time(seconds) : "-";
}

constexpr std::array kColumns = {
    Column{"engine", 0, 12, kLeft, [](const BackendSnapshot& one) { return one.name; }},
    Column{"is", 0, 8, kLeft,
           [](const BackendSnapshot& one) { return std::string(to_string(one.condition)); }},
    Column{"node", 80, 12, kLeft, [](const BackendSnapshot& one) { return one.node; }, true},
    Column{"flight", 0, 9, kRight,
           [](const BackendSnapshot& one) {
             return fmt::format("{}/{}", one.inflight.get(), one.room.get());
           }},
    Column{"ans/s", 0, 6, kRight,
           [](const BackendSnapshot& one) { return short_number(one.trend.answers_10s); }},
    Column{"wait", 80, 5, kRight,
           [](const BackendSnapshot& one) {
             return one.tells_figures ? std::to_string(one.engine_waiting.get()) : "-";
           }},
    Column{"tok/s", 80, 6, kRight,
           [](const BackendSnapshot& one) {
             return one.tells_figures ? short_number(one.trend.tokens_10s) : "-";
           }},
    Column{"p50", 60, 7, kRight,
           [](const BackendSnapshot& one) { return seconds_or_none(one.trend.p50); }},
    Column{"p95", 60, 7, kRight,
           [](const BackendSnapshot& one) { return seconds_or_none(one.trend.p95); }},
    Column{"oldest", 80, 7, kRight,
           [](const BackendSnapshot& one) { return seconds_or_none(one.oldest.real()); }},
    Column{"KV", 90, 4, kRight,
           [](const BackendSnapshot& one) {
             return one.tells_figures ? percent(one.kv_use.real()) : "-";
           }},
    Column{"hits", 100, 4, kRight,
           [](const BackendSnapshot& one) {
             return one.trend.prefix_hits ? percent(*one.trend.prefix_hits) : "-";
           }},
    Column{"restarts", 120, 8, kRight,
           [](const BackendSnapshot& one) { return std::to_string(one.restarts.get()); }},
    Column{"since", 120, 8, kRight,
           [](const BackendSnapshot& one) { return short_time(one.in_state.real()); }},
    Column{"GPUs", 140, 8, kLeft, [](const BackendSnapshot& one) { return one.gpus; }},
    Column{"model", 160, 24, kLeft, [](const BackendSnapshot& one) { return one.models; }},
};

std::size_t width_of(const Column& column, const TableRoom& room) {
  const auto place = static_cast<std::size_t>(&column - kColumns.data());
  if (!room.widths.empty()) return room.widths[place];
  return column.width + (place == 0 && room.width >= kWide ? 4 : 0);
}

// With which nothing in the table of these is cut.
std::vector<std::size_t> widths_of(const std::vector<const BackendSnapshot*>& shown) {
  std::vector<std::size_t> widths;
  for (const Column& column : kColumns) {
    std::size_t width = column.width;
    for (const BackendSnapshot* one : shown) {
      width = std::max(width, columns_of(printable(column.text(*one))));
    }
    widths.push_back(width);
  }
  return widths;
}

bool has_room(const Column& column, const TableRoom& room) {
  const auto* const nodes = std::ranges::find(kColumns, true, &Column::is_of_nodes);
  const bool shows_nodes = room.has_nodes && room.width >= nodes->from;
  if (column.is_of_nodes) return shows_nodes;
  const std::size_t taken = shows_nodes ? nodes->width + 1 : 0;
  return column.from == 0 || column.from + taken <= room.width;
}

// `text` gives what stands in a column.
template <class TextOf>
std::string row(const TableRoom& room, TextOf text) {
  std::string line;
  for (const Column& column : kColumns) {
    if (!has_room(column, room)) continue;
    if (!line.empty()) line += ' ';
    line += padded(text(column), width_of(column, room), column.to_the_right);
  }
  return line;
}

// Names of one kind differ at their ends. Names are as long as their bytes here.
std::string cut_in_front(std::string text, std::size_t most) {
  const bool fits = text.size() <= most || columns_of(text) != text.size();
  return fits ? text : "~" + text.substr(text.size() - most + 1);
}

std::string row(const BackendSnapshot& one, const TableRoom& room) {
  std::string line = row(room, [&](const Column& column) {
    const std::size_t width = width_of(column, room);
    std::string text = printable(column.text(one));
    const bool is_name = &column == &kColumns.front() || column.is_of_nodes;
    return is_name ? cut_in_front(std::move(text), width) : cut_to_columns(text, width);
  });
  const bool can_remark = columns_of(line) + kLeastRemark <= room.width;
  if (can_remark && !one.remark.empty()) line += "  " + printable(one.remark);
  return line;
}

// --- the parts of the screen --------------------------------------------------------------------

class Canvas {
 public:
  // `has_end`: of lines, below; then each takes one.
  Canvas(std::size_t width, bool has_end)
      : width_(width == 0 ? kEndless : width), has_end_(has_end) {}

  void line(std::string_view text, Style style = Style::kPlain) {
    lines.push_back({cut_to_columns(text, width_), style});
  }
  // What nothing is to be missing of, if there is room.
  void sentence(std::string_view text, Style style) {
    if (has_end_) return line(text, style);
    for (const std::string& part : wrapped(text, width_)) line(part, style);
  }
  // Phrases, as many on a line as fit.
  void phrases(const std::vector<std::string>& all) {
    std::string text;
    for (const std::string& phrase : all) {
      if (phrase.empty()) continue;
      if (!text.empty() && columns_of(text) + 3 + columns_of(phrase) > width_) {
        line(text);
        text.clear();
      }
      text += (text.empty() ? "" : " · ") + phrase;
    }
    if (!text.empty()) line(text);
  }
  // A field of one engine, on as many lines as it takes: what is wrong with it stands at the end.
  void field(std::string_view name, std::string_view value) {
    std::string head(name);
    for (const std::string& part : wrapped(value, width_ - std::min(width_, kFieldNames))) {
      line(fmt::format("{:<{}}{}", head, kFieldNames, part));
      head.clear();
    }
  }
  std::size_t width() const { return width_; }

  std::vector<ScreenLine> lines;

 private:
  static constexpr std::size_t kFieldNames = 18;  // columns

  const std::size_t width_;
  const bool has_end_;
};

std::string errors_of(const Snapshot& now) {
  std::string text;
  for (std::size_t i = 0; i < now.errors.size(); ++i) {
    if (now.errors[i] == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "errors so far: " : ", ", LabelOf<Errc>::word(i),
                        now.errors[i].get());
  }
  return text;
}

std::string jobs_line(const JobSnapshot& job) {
  std::string text = fmt::format("job {}: {}, {} of {} answered", printable(job.id),
                                 printable(job.status), job.done, job.total);
  if (job.failed > 0) text += fmt::format(", {} failed", job.failed);
  if (job.eta) text += ", ready in about " + short_time(*job.eta);
  return text;
}

std::string recorded_line(const RecordedJobSnapshot& job) {
  std::string text = fmt::format("job {}", printable(job.name));
  if (!job.key.empty()) text += fmt::format(" of {}", printable(job.key));
  return text + fmt::format(": {} answers recorded, {} from the record, {} under way", job.recorded,
                            job.replayed, job.under_way);
}

void show_whole(Canvas& canvas, const Snapshot& now) {
  std::string title = "batchproxy " + printable(now.version);
  title += now.draining ? "  draining" : now.any_ready() ? "  ready" : "  no backend is ready";
  title += "  up " + short_time(now.uptime) + "  " + printable(now.flush);
  if (!now.models.empty()) title += "  " + printable(now.models);
  canvas.line(title, Style::kTitle);
  canvas.phrases({fmt::format("{} answers/s", short_number(now.last_10s.answered)),
                  fmt::format("{}/s in the last minute", short_number(now.last_60s.answered)),
                  fmt::format("{} tokens/s", short_number(now.last_10s.tokens)),
                  fmt::format("{} queued", now.queued.get()),
                  now.queued > 0 ? "oldest " + short_time(now.oldest_waiting.real()) : "",
                  fmt::format("{} in flight", now.inflight.get()),
                  now.last_60s.errors > 0
                      ? fmt::format("{} errors/s", short_number(now.last_60s.errors))
                      : ""});
  if (!now.waiting_for.empty()) {
    canvas.sentence("waiting for " + printable(now.waiting_for), Style::kWarning);
  }
  if (const std::string errors = errors_of(now); !errors.empty()) {
    canvas.line(errors, now.last_10s.errors > 0 ? Style::kBad : Style::kPlain);
  }
  constexpr std::size_t kJobsShown = 3;
  for (const JobSnapshot& job : now.jobs | std::views::take(kJobsShown)) {
    canvas.line(jobs_line(job));
  }
  if (now.jobs.size() > kJobsShown) {
    canvas.line(fmt::format("and {} more batches", now.jobs.size() - kJobsShown));
  }
  for (const RecordedJobSnapshot& job : now.recording | std::views::take(kJobsShown)) {
    canvas.line(recorded_line(job));
  }
  if (now.recording.size() > kJobsShown) {
    canvas.line(fmt::format("and {} more recorded jobs", now.recording.size() - kJobsShown));
  }
}

// The worst first; kFine is the least of them.
int severity(Condition condition) {
  switch (condition) {
    case Condition::kStuck:
      return 0;
    case Condition::kFailing:
      return 1;
    case Condition::kDown:
      return 2;
    case Condition::kQuiet:
      return 3;
    case Condition::kSlow:
      return 4;
    case Condition::kUntended:
      return 5;
    case Condition::kLoading:
      return 6;
    case Condition::kPaused:
      return 7;
    case Condition::kStopping:
      return 8;
    case Condition::kStopped:
      return 9;
    case Condition::kFine:
    case Condition::kCount:
      break;
  }
  return 10;
}

constexpr std::size_t kConcernsListed = 20;  // where there is no screen's end

// "2 stuck, 30 loading"
std::string count_conditions(std::span<const BackendSnapshot* const> engines) {
  std::string text;
  for (auto it = engines.begin(); it != engines.end();) {
    const Condition condition = (*it)->condition;
    const auto next = std::ranges::find_if(
        it, engines.end(), [&](const BackendSnapshot* one) { return one->condition != condition; });
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", next - it, to_string(condition));
    it = next;
  }
  return text;
}

// Those that need a look, each with a sentence: whoever has a second reads this. Of more than
// `most` the worst, and how many more there are.
void show_concerns(Canvas& canvas, const Snapshot& now, std::size_t most) {
  std::vector<const BackendSnapshot*> concerns;
  for (const BackendSnapshot& one : now.backends) {
    if (one.condition != Condition::kFine) concerns.push_back(&one);
  }
  if (concerns.size() > most) {
    std::ranges::sort(concerns, {}, [](const BackendSnapshot* one) {
      return std::pair(severity(one->condition), one);
    });
  }
  for (const BackendSnapshot* one : concerns | std::views::take(most)) {
    std::string text = fmt::format("{} is {}", printable(one->name), to_string(one->condition));
    if (!one->remark.empty()) text += ": " + printable(one->remark);
    canvas.sentence(text, style_of(one->condition));
  }
  if (concerns.size() > most) {
    const std::span rest = std::span(concerns).subspan(most);
    canvas.line(fmt::format("and {} more: {}", rest.size(), count_conditions(rest)),
                style_of(rest.front()->condition));
  }
  const std::size_t count = now.backends.size();
  if (concerns.empty() && count > 0) {
    canvas.line(count == 1 ? "the engine is fine" : fmt::format("all {} engines are fine", count),
                Style::kGood);
  }
}

// `most` lines; those around the chosen one when there are more, and which these are.
void show_table(Canvas& canvas, const Snapshot& now, const TopView& view, std::size_t most) {
  TableRoom room{.width = canvas.width(),
                 .has_nodes = std::ranges::any_of(
                     now.backends, [](const BackendSnapshot& one) { return !one.node.empty(); })};
  const auto shown = listed(now, view);
  if (room.width == kEndless) room.widths = widths_of(shown);
  canvas.line(row(room, [](const Column& column) { return std::string(column.head); }),
              Style::kHeading);
  const auto chosen = std::ranges::find(shown, view.chosen, &BackendSnapshot::name);
  const auto place = chosen == shown.end() ? 0 : static_cast<std::size_t>(chosen - shown.begin());
  const bool says_which = shown.size() > most && most > 1;
  if (says_which) --most;
  const std::size_t first = place + 1 > most ? place + 1 - most : 0;
  for (std::size_t i = first; i < std::min(first + most, shown.size()); ++i) {
    const bool is_chosen = view.with_keys && i == place && chosen != shown.end();
    canvas.line(row(*shown[i], room), is_chosen ? Style::kChosen : style_of(shown[i]->condition));
  }
  if (shown.empty()) canvas.line("no engine is called like that", Style::kDim);
  if (says_which) {
    canvas.line(fmt::format("{} to {} of {} engines", first + 1, first + most, shown.size()),
                Style::kDim);
  }
}

void show_detail(Canvas& canvas, const BackendSnapshot& one) {
  const auto field = [&canvas](std::string_view name, const std::string& value) {
    if (!value.empty()) canvas.field(name, printable(value));
  };
  canvas.line(printable(one.name), Style::kHeading);
  field("is", fmt::format("{}{}{}", to_string(one.condition), one.remark.empty() ? "" : ": ",
                          one.remark));
  field("state", fmt::format("{} for {}", to_string(one.state), short_time(one.in_state.real())));
  field("address", one.url + (one.simulated ? "  (simulated)" : ""));
  field("serves", one.models);
  field("GPUs", one.gpus);
  field("node", one.node);
  std::string in_flight = fmt::format("{} of {} prompts", one.inflight.get(), one.room.get());
  if (one.inflight > 0) {
    in_flight += fmt::format(", the oldest for {}, no byte for {}", short_time(one.oldest.real()),
                             short_time(one.quiet.real()));
  }
  field("in flight", in_flight);
  if (one.tells_figures) {
    field("it says", fmt::format("{} run, {} wait, KV cache {}", one.engine_running.get(),
                                 one.engine_waiting.get(), percent(one.kv_use.real())));
    field("tokens",
          fmt::format("{}/s of answers, {} of prompts so far", short_number(one.trend.tokens_10s),
                      short_number(static_cast<double>(one.prompt_tokens.get()))));
  }
  if (one.trend.prefix_hits) field("prefix hits", percent(*one.trend.prefix_hits));
  field("answers",
        fmt::format("{}/s, {}/s in the last minute, {} so far", short_number(one.trend.answers_10s),
                    short_number(one.trend.answers_60s), one.answered.get()));
  field("they take", fmt::format("p50 {}, p95 {}", seconds_or_none(one.trend.p50),
                                 seconds_or_none(one.trend.p95)));
  field("restarts", std::to_string(one.restarts.get()));
  for (const std::string& repair : one.repairs) field("repaired", repair);
  if (one.last_problem) {
    field("last problem", fmt::format("{} ago: {}", short_time(one.last_problem->seconds_ago),
                                      one.last_problem->text));
  }
}

std::string keys_line(const TopView& view) {
  if (view.detail) return "enter back  d drain/resume  r restart  q quit";
  return fmt::format("q quit  enter detail  d drain/resume  r restart  s sort: {}  / filter{}",
                     to_string(view.sort), view.filter.empty() ? "" : ": " + view.filter);
}

bool matches(const BackendSnapshot& one, std::string_view filter) {
  const auto has = [filter](std::string_view text) {
    return text.find(filter) != std::string_view::npos;
  };
  return has(one.name) || has(one.models) || has(to_string(one.state)) ||
         has(to_string(one.condition));
}

}  // namespace

std::string_view to_string(SortBy sort) {
  return kSorts[sort].word;
}

std::vector<const BackendSnapshot*> listed(const Snapshot& now, const TopView& view) {
  std::vector<const BackendSnapshot*> shown;
  for (const BackendSnapshot& one : now.backends) {
    if (matches(one, view.filter)) shown.push_back(&one);
  }
  // Those that are equal stay as they are configured.
  const auto by = [&shown](auto key) {
    std::ranges::sort(shown, {}, [key](const BackendSnapshot* one) {
      return std::pair(static_cast<double>(key(one)), one);
    });
  };
  switch (view.sort) {
    case SortBy::kName:  // as they are configured: engine-2 stands before engine-10
    case SortBy::kCount:
      break;
    case SortBy::kCondition:
      by([](const BackendSnapshot* one) { return severity(one->condition); });
      break;
    case SortBy::kInFlight:
      by([](const BackendSnapshot* one) { return -static_cast<double>(one->inflight.get()); });
      break;
    case SortBy::kRate:
      by([](const BackendSnapshot* one) { return -one->trend.answers_10s; });
      break;
    case SortBy::kP95:
      by([](const BackendSnapshot* one) { return -one->trend.p95; });
      break;
  }
  return shown;
}

std::vector<ScreenLine> draw(const Snapshot& now, const TopView& view, ScreenSize size) {
  const bool is_endless = size.height == 0;
  const std::size_t below = (view.with_keys ? 1 : 0) + (view.message.empty() ? 0 : 1);
  const std::size_t height = is_endless ? SIZE_MAX : std::max<std::size_t>(size.height, below);
  Canvas canvas(size.width, !is_endless);
  show_whole(canvas, now);
  // A quarter of the screen at most, so that the table stays.
  show_concerns(canvas, now, is_endless ? kConcernsListed : std::max<std::size_t>(height / 4, 2));
  canvas.line("");
  const auto chosen = std::ranges::find(now.backends, view.chosen, &BackendSnapshot::name);
  if (view.detail && chosen != now.backends.end()) {
    show_detail(canvas, *chosen);
  } else {
    const std::size_t taken = canvas.lines.size() + 1 + below;
    show_table(canvas, now, view, height > taken ? height - taken : 1);
  }
  if (is_endless) return std::move(canvas.lines);
  canvas.lines.resize(height - below);
  if (!view.message.empty()) canvas.line(printable(view.message), Style::kWarning);
  if (view.with_keys) canvas.line(keys_line(view), Style::kDim);
  return std::move(canvas.lines);
}

}  // namespace batchproxy
