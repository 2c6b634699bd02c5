// tests/proxy/screen_test.cc - what `batchproxy top` and `batchproxy status` show, at four widths.
//
// UPDATE_GOLDEN=1 draws the picture in the README anew; read the difference before you commit it.
#include "proxy/top/screen.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/text/figures.h"

namespace batchproxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

BackendSnapshot engine(int number) {
  BackendSnapshot made;
  made.name = "engine-" + std::to_string(number);
  made.url = "http://127.0.0.1:800" + std::to_string(number);
  made.state = BackendState::kReady;
  made.models = "meta-llama/Llama-3.1-8B";
  made.gpus = std::to_string(number);
  made.inflight = 60;
  made.room = 64;
  made.oldest = 1.2;
  made.in_state = 3600;
  made.tells_figures = true;
  made.kv_use = 0.42;
  made.engine_waiting = 3;
  made.trend = {.answers_10s = 12.3, .tokens_10s = 1234, .answers = 100, .p50 = 0.52, .p95 = 1.1};
  return made;
}

// Of four engines one is slow and one hung.
Snapshot four() {
  Snapshot now;
  now.version = "1.0";
  now.uptime = 3725;
  now.flush = "eager";
  now.models = "meta-llama/Llama-3.1-8B";
  now.queued = 12;
  now.inflight = 240;
  now.oldest_waiting = 2.5;
  now.waits_for = WaitsFor::kModel;
  now.last_10s = {.received = 40, .answered = 37, .tokens = 3700};
  now.last_60s = {.received = 41, .answered = 39};
  for (int i = 0; i < 4; ++i) now.backends.push_back(engine(i));
  BackendSnapshot& slow = now.backends[1];
  slow.trend.p50 = 3.1;
  slow.trend.p95 = 6.4;
  BackendSnapshot& hung = now.backends[2];
  hung.stuck = 1;
  hung.inflight = 10;
  hung.oldest = 31;
  hung.quiet = 31;
  hung.trend.answers_10s = 0;
  judge(now);
  return now;
}

std::vector<std::string> texts(const std::vector<ScreenLine>& lines) {
  std::vector<std::string> texts;
  for (const ScreenLine& line : lines) {
    texts.push_back(line.text.substr(0, line.text.find_last_not_of(' ') + 1));
  }
  return texts;
}

std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }));
}

TEST(Screen, FitsAtEveryWidthAndFillsEveryHeight) {
  Snapshot now = four();
  now.backends[0].name = "a-very-long-name-of-an-engine-with-ümläuts-in-it";
  now.backends[3].remark = std::string(500, 'x');
  for (const bool detail : {false, true}) {
    TopView view{.chosen = now.backends[0].name, .detail = detail, .message = "hello"};
    for (std::size_t width = 1; width < 220; ++width) {
      for (const std::size_t height : {3u, 10u, 24u, 60u}) {
        const auto lines = draw(now, view, {width, height});
        ASSERT_EQ(lines.size(), height);
        for (const ScreenLine& line : lines) ASSERT_LE(columns(line.text), width) << line.text;
      }
    }
  }
}

TEST(Screen, At40Columns) {
  EXPECT_THAT(
      texts(draw(four(), {}, {40, 15})),
      ElementsAre(
          "batchproxy 1.0  ready  up 1:02:05  eage~", "37 answers/s · 39/s in the last minute",
          "3700 tokens/s · 12 queued · oldest 2.5 s", "240 in flight",
          "waiting for a backend that serves their~", "engine-1 is slow: half of its answers t~",
          "engine-2 is stuck: 10 prompts without a~", "", "engine       is          flight  ans/s",
          "engine-0     fine         60/64     12", "engine-1     slow         60/64     12",
          "engine-2     stuck        10/64      0", "engine-3     fine         60/64     12", "",
          "q quit  enter detail  d drain/resume  r~"));
}

TEST(Screen, At80Columns) {
  EXPECT_THAT(
      texts(draw(four(), {}, {80, 14})),
      ElementsAre("batchproxy 1.0  ready  up 1:02:05  eager  meta-llama/Llama-3.1-8B",
                  "37 answers/s · 39/s in the last minute · 3700 tokens/s · 12 queued",
                  "oldest 2.5 s · 240 in flight", "waiting for a backend that serves their model",
                  "engine-1 is slow: half of its answers take 3.1 s, those of others 520 ms",
                  "engine-2 is stuck: 10 prompts without a byte for 31 s", "",
                  "engine           is          flight  ans/s  wait  tok/s     p50     p95  oldest",
                  "engine-0         fine         60/64     12     3   1234  520 ms   1.1 s   1.2 s",
                  "engine-1         slow         60/64     12     3   1234   3.1 s   6.4 s   1.2 s",
                  "engine-2         stuck        10/64      0     3   1234  520 ms   1.1 s    31 s",
                  "engine-3         fine         60/64     12     3   1234  520 ms   1.1 s   1.2 s",
                  "", "q quit  enter detail  d drain/resume  r restart  s sort: name  / filter"));
}

// Four simulated pairs under 64 workers, of which one is slow and one has fallen silent.
Snapshot of_the_readme() {
  Snapshot now;
  now.version = BATCHPROXY_VERSION;
  now.uptime = 63;
  now.flush = "eager";
  now.models = "meta-llama/Llama-2-7b-chat-hf";
  now.inflight = 70;
  now.last_10s = {.received = 70, .answered = 69, .tokens = 594};
  now.last_60s = {.received = 84, .answered = 83};
  for (int i = 0; i < 4; ++i) {
    BackendSnapshot& one = now.backends.emplace_back(engine(i));
    one.models = now.models;
    one.room = 256;
    one.engine_waiting = 0;
    one.trend.answers = 1200;
  }
  const auto set = [&now](std::size_t i, std::uint32_t inflight, double oldest,
                          BackendTrend trend) {
    trend.answers = 1200;
    now.backends[i].inflight = inflight;
    now.backends[i].oldest = oldest;
    now.backends[i].trend = trend;
  };
  set(0, 11, 0.709, {.answers_10s = 28, .tokens_10s = 255, .p50 = 0.4, .p95 = 0.818});
  set(1, 22, 6.2, {.answers_10s = 5.6, .tokens_10s = 49, .p50 = 5, .p95 = 9.5});
  set(2, 27, 9.7, {.answers_10s = 5.4, .p50 = 0.436, .p95 = 0.845});
  set(3, 10, 1.2, {.answers_10s = 30, .tokens_10s = 244, .p50 = 0.41, .p95 = 0.857});
  now.backends[3].engine_waiting = 1;
  now.backends[2].quiet = 8;
  now.backends[2].tells_figures = false;  // its metrics have fallen silent, too
  judge(now);
  return now;
}

TEST(Screen, IsAsTheReadmeShowsIt) {
  const std::string path = BATCHPROXY_SOURCE_DIR "/README.md";
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  std::string readme = text.str();
  const std::size_t begin = readme.find("\nbatchproxy 0.") + 1;
  ASSERT_NE(begin, std::string::npos + 1);
  const std::size_t size = readme.find("\n```", begin) + 1 - begin;
  std::string drawn;
  for (const std::string& line : texts(draw(of_the_readme(), {.with_keys = false}, {88, 0}))) {
    drawn += line + "\n";
  }
  if (std::getenv("UPDATE_GOLDEN")) {
    std::ofstream(path) << std::string(readme).replace(begin, size, drawn);
  } else {
    EXPECT_EQ(readme.substr(begin, size), drawn);
  }
}

TEST(Screen, ShowsMoreOnWiderScreens) {
  Snapshot now = four();
  now.backends[0].trend.prefix_hits = 0.9;
  const auto heading = [&now](std::size_t width) {
    const auto lines = texts(draw(now, {}, {width, 0}));
    return *std::ranges::find_if(
        lines, [](const std::string& line) { return line.starts_with("engine "); });
  };
  EXPECT_THAT(heading(100), HasSubstr("oldest   KV hits"));
  EXPECT_THAT(heading(100), Not(HasSubstr("GPUs")));
  EXPECT_THAT(heading(200), HasSubstr("hits restarts    since GPUs     model"));
  const auto wide = texts(draw(now, {}, {200, 0}));
  EXPECT_THAT(wide, testing::Contains(
                        testing::AllOf(HasSubstr("engine-2"), HasSubstr("meta-llama/Llama-3.1-8B"),
                                       HasSubstr("10 prompts without a byte for 31 s"))));
  EXPECT_THAT(wide, testing::Contains(HasSubstr(" 42%  90%")));
}

TEST(Screen, CutsNothingWithoutAWidth) {
  Snapshot now = four();
  const std::string why = "it did not start: " + std::string(300, 'x') + " the end";
  now.backends[3].name = "an-engine-with-a-name-that-is-longer-than-its-column";
  now.backends[3].node = "a-node-with-a-name-that-is-longer-than-its-column";
  now.backends[3].models = "a/model-with-a-name-that-is-longer-than-its-column";
  now.backends[3].state = BackendState::kFailed;
  now.backends[3].last_problem = LastProblem{why, 3};
  judge(now);
  const auto lines = texts(draw(now, {.with_keys = false}, {0, 0}));
  EXPECT_THAT(lines, testing::Each(Not(HasSubstr("~"))));
  EXPECT_THAT(lines, testing::Contains(now.backends[3].name + " is down: " + why));
  EXPECT_THAT(lines, testing::Contains(testing::AllOf(
                         testing::StartsWith(now.backends[3].name + " down"),
                         HasSubstr(now.backends[3].node), HasSubstr(now.backends[3].models),
                         testing::EndsWith("  " + why))));
  const auto heading = std::ranges::find_if(
      lines, [](const std::string& line) { return line.starts_with("engine "); });
  EXPECT_EQ(heading->find("is "), lines.back().find("down ")) << "columns stand below their heads";
}

TEST(Screen, WrapsWhatIsWrongWhereThereIsNoEndBelow) {
  Snapshot now = four();
  now.backends[3].state = BackendState::kFailed;
  now.backends[3].last_problem = LastProblem{"it did not start: no file is at that place", 3};
  now.waits_for = WaitsFor::kRoom;
  judge(now);
  const auto lines = texts(draw(now, {.with_keys = false}, {40, 0}));
  EXPECT_THAT(lines, testing::Contains("engine-3 is down: it did not start: no"));
  EXPECT_THAT(lines, testing::Contains("file is at that place"));
  EXPECT_THAT(lines, testing::Contains("have as many requests as they take"));
  for (const std::string& line : lines) EXPECT_LE(columns(line), 40u) << line;
}

TEST(Screen, MarksWhatIsBad) {
  const auto lines = draw(four(), {}, {100, 0});
  const auto style_of = [&lines](std::string_view begin) {
    return std::ranges::find_if(
               lines, [begin](const ScreenLine& line) { return line.text.starts_with(begin); })
        ->style;
  };
  EXPECT_EQ(style_of("engine-2 is stuck"), Style::kBad);
  EXPECT_EQ(style_of("engine-1 is slow"), Style::kWarning);
  EXPECT_EQ(style_of("engine-2  "), Style::kBad);
  EXPECT_EQ(style_of("engine-1  "), Style::kWarning);
  EXPECT_EQ(style_of("engine-0  "), Style::kPlain);
}

TEST(Screen, CutsNamesInFront) {
  Snapshot now = four();
  now.backends[0].name = "127.0.0.1:39521";
  EXPECT_THAT(texts(draw(now, {}, {40, 0})),
              testing::Contains(testing::StartsWith("~0.0.1:39521 ")));
}

TEST(Screen, SaysWhenAllIsFine) {
  Snapshot now = four();
  now.backends.erase(now.backends.begin() + 1, now.backends.begin() + 3);
  now.queued = 0;
  judge(now);
  EXPECT_THAT(texts(draw(now, {}, {80, 0})), testing::Contains("all 2 engines are fine"));
}

std::vector<std::string> names(const Snapshot& now, const TopView& view) {
  std::vector<std::string> names;
  for (const BackendSnapshot* one : listed(now, view)) names.push_back(one->name);
  return names;
}

TEST(Screen, SortsAndFilters) {
  Snapshot now = four();
  now.backends[3].trend.answers_10s = 99;
  now.backends[0].inflight = 61;
  EXPECT_THAT(names(now, {}), ElementsAre("engine-0", "engine-1", "engine-2", "engine-3"));
  EXPECT_THAT(names(now, {.sort = SortBy::kCondition}),
              ElementsAre("engine-2", "engine-1", "engine-0", "engine-3"));
  EXPECT_EQ(names(now, {.sort = SortBy::kRate}).front(), "engine-3");
  EXPECT_EQ(names(now, {.sort = SortBy::kInFlight}).front(), "engine-0");
  EXPECT_EQ(names(now, {.sort = SortBy::kP95}).front(), "engine-1");
  EXPECT_THAT(names(now, {.filter = "slow"}), ElementsAre("engine-1"));
  EXPECT_THAT(names(now, {.filter = "ne-3"}), ElementsAre("engine-3"));
  EXPECT_THAT(texts(draw(now, {.filter = "zzz"}, {80, 0})),
              testing::Contains("no engine is called like that"));
}

TEST(Screen, ShowsTheChosenOneWhereNotAllFit) {
  Snapshot now = four();
  now.backends.clear();
  for (int i = 0; i < 50; ++i) now.backends.push_back(engine(i));
  const auto lines = draw(now, {.chosen = "engine-40"}, {80, 20});
  const auto chosen = std::ranges::find(lines, Style::kChosen, &ScreenLine::style);
  ASSERT_NE(chosen, lines.end());
  EXPECT_THAT(chosen->text, HasSubstr("engine-40"));
}

TEST(Screen, StaysReadableWithManyEngines) {
  Snapshot now = four();
  now.backends.clear();
  for (int i = 0; i < 256; ++i) {
    now.backends.push_back(engine(i));
    if (i >= 200) now.backends.back().state = BackendState::kStarting;
  }
  now.backends[130].stuck = 1;
  now.queued = 0;
  judge(now);
  const auto lines = texts(draw(now, {.chosen = "engine-100"}, {80, 24}));
  ASSERT_EQ(lines.size(), 24u);
  const auto worst = std::ranges::find_if(
      lines, [](const auto& line) { return line.starts_with("engine-130 is stuck"); });
  ASSERT_NE(worst, lines.end());
  EXPECT_THAT(worst[1], testing::StartsWith("engine-200 is loading")) << "the worst first";
  EXPECT_EQ(worst[6], "and 51 more: 51 loading");
  EXPECT_THAT(worst[8], testing::StartsWith("engine  ")) << "the table";
  EXPECT_THAT(lines[21], testing::StartsWith("engine-100 "));
  EXPECT_THAT(lines[22], testing::EndsWith(" to 101 of 256 engines"));
  const auto all = texts(draw(now, {}, {80, 0}));
  EXPECT_THAT(all, testing::Contains("and 37 more: 37 loading"));
  EXPECT_EQ(
      std::ranges::count_if(all, [](const auto& line) { return line.starts_with("engine-"); }),
      256 + 20);
}

TEST(Screen, ShowsOneEngineInDetail) {
  Snapshot now = four();
  now.backends[2].last_problem = LastProblem{"it stood still with 10 prompts in hand", 30};
  now.backends[2].repairs = {"max_model_len 8192"};
  const auto lines = texts(draw(now, {.chosen = "engine-2", .detail = true}, {100, 0}));
  EXPECT_THAT(
      lines,
      testing::IsSupersetOf(
          {"is                stuck: 10 prompts without a byte for 31 s",
           "state             ready for 1:00:00",
           "in flight         10 of 64 prompts, the oldest for 31 s, no byte for 31 s",
           "it says           0 run, 3 wait, KV cache 42%", "repaired          max_model_len 8192",
           "last problem      30 s ago: it stood still with 10 prompts in hand"}));
}

TEST(Screen, WrapsWhatIsLongInTheDetail) {
  Snapshot now = four();
  now.backends[2].last_problem = LastProblem{
      "its agent has not come: ssh ended with exit code 255: ssh: connect to host n2 port 22: "
      "Connection refused",
      30};
  const auto lines = texts(draw(now, {.chosen = "engine-2", .detail = true}, {60, 0}));
  const auto first = std::ranges::find_if(
      lines, [](const std::string& line) { return line.starts_with("last problem"); });
  ASSERT_LE(first + 3, lines.end());
  EXPECT_EQ(first[0], "last problem      30 s ago: its agent has not come: ssh");
  EXPECT_EQ(first[1], "                  ended with exit code 255: ssh: connect to");
  EXPECT_EQ(first[2], "                  host n2 port 22: Connection refused");
}

TEST(Screen, NamesNodesWhereEnginesHaveOne) {
  Snapshot now = four();
  const auto table = [&now](std::size_t width) {
    const auto lines = texts(draw(now, {}, {width, 0}));
    const auto head = std::ranges::find_if(
        lines, [](const std::string& line) { return line.starts_with("engine "); });
    return std::vector<std::string>(head, lines.end());
  };
  EXPECT_THAT(table(80)[0], Not(HasSubstr("node")));
  now.backends[0].node = "n1";
  now.backends[1].node = "gpu-cluster-node-17";
  EXPECT_THAT(table(80)[0], testing::StartsWith("engine           is       node "));
  EXPECT_THAT(table(80)[1], testing::StartsWith("engine-0         fine     n1 "));
  EXPECT_THAT(table(80)[2], HasSubstr(" ~ter-node-17 ")) << "names differ at their ends";
  EXPECT_THAT(table(80)[0], HasSubstr("p95")) << "others give way, but not these";
  EXPECT_THAT(table(79)[0], Not(HasSubstr("node")));
  for (const std::size_t width : {80u, 93u, 113u, 180u}) {
    for (const std::string& line : table(width)) EXPECT_LE(columns(line), width);
  }
  EXPECT_THAT(table(180)[0], testing::EndsWith("GPUs     model"));
}

TEST(Screen, TellsOfErrorsAndJobs) {
  Snapshot now = four();
  now.errors[0] = 2;
  now.jobs.push_back(
      {.id = "batch_1", .status = "in_progress", .total = 100, .done = 40, .failed = 1, .eta = 90});
  now.recording.push_back({.name = "night", .key = "alice", .recorded = 3, .replayed = 4});
  const auto lines = texts(draw(now, {}, {100, 0}));
  EXPECT_THAT(lines, testing::Contains(testing::StartsWith("errors so far: ")));
  EXPECT_THAT(lines,
              testing::Contains("job night of alice: 3 answers recorded, 4 from the record, 0 "
                                "under way"));
  EXPECT_THAT(lines,
              testing::Contains(
                  "job batch_1: in_progress, 40 of 100 answered, 1 failed, ready in about 90 s"));
}

TEST(Screen, LetsNoNameCommandTheTerminal) {
  Snapshot now = four();
  now.backends[0].name = "\x1b[2J";
  for (const ScreenLine& line : draw(now, {}, {100, 0})) {
    EXPECT_THAT(line.text, Not(HasSubstr("\x1b")));
  }
}

TEST(Figures, AreShort) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(0.25), "0.25");
  EXPECT_EQ(short_number(3.14), "3.1");
  EXPECT_EQ(short_number(9.97), "10");
  EXPECT_EQ(short_number(1234), "1234");
  EXPECT_EQ(short_number(12345), "12k");
  EXPECT_EQ(short_number(3.4e6), "3.4M");
  EXPECT_EQ(short_time(0), "0 s");
  EXPECT_EQ(short_time(0.045), "45 ms");
  EXPECT_EQ(short_time(3.14), "3.1 s");
  EXPECT_EQ(short_time(31), "31 s");
  EXPECT_EQ(short_time(125), "2:05");
  EXPECT_EQ(short_time(3723), "1:02:03");
  EXPECT_EQ(short_time(3 * 86400 + 4 * 3600), "3 d 04 h");
  EXPECT_EQ(percent(0.624), "62%");
}

}  // namespace
}  // namespace batchproxy
