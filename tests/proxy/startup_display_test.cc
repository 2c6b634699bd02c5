// tests/proxy/startup_display_test.cc - what is shown while engines load.
#include "proxy/terminal/startup_display.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

TimePoint at(Duration since_start) {
  return TimePoint() + 1h + since_start;
}

TEST(StartupDisplay, ShowsMilestonesAndOnlyNowAndThenProgressInAFile) {
  StartupDisplay board({{0, "engine-0"}, {7, "engine-1"}}, false);
  EXPECT_EQ(board.update(0, "started", true, at(0s)), "engine-0: started\n");
  EXPECT_EQ(board.update(0, "loading weights", false, at(5s)), "");
  EXPECT_EQ(board.update(0, "loading weights 50 %", false, at(10s)),
            "engine-0: loading weights 50 %\n");
  EXPECT_EQ(board.update(0, "ready", true, at(11s)), "engine-0: ready\n");
  EXPECT_EQ(board.line("other"), "other\n");
}

TEST(StartupDisplay, KeepsOneLinePerEngineOnATerminal) {
  StartupDisplay board({{3, "a"}, {5, "b"}}, true);
  EXPECT_EQ(board.update(3, "started", true, at(0s)),
            "\x1b[2Ka: started\n\x1b[2Kb: waiting for its turn\n");
  EXPECT_EQ(board.update(5, "started", true, at(1s)),
            "\x1b[2A\x1b[2Ka: started\n\x1b[2Kb: started\n");
}

TEST(StartupDisplay, HasLinesThatAreNoEngines) {
  StartupDisplay board({{}}, true);
  EXPECT_EQ(board.update(0, "10 answers", true, at(0s)), "\x1b[2K10 answers\n");
  EXPECT_EQ(board.line("engine-0 has ended"),
            "\x1b[1A\x1b[Jengine-0 has ended\n\x1b[2K10 answers\n");
}

TEST(StartupDisplay, NeverTakesTwoLinesForOne) {
  StartupDisplay board({{0, "engine-0"}}, true);
  board.set_size(20, 50);
  EXPECT_EQ(board.update(0, "loading weights: 12 of 40", false, at(0s)),
            "\x1b[2Kengine-0: loading w~\n");
  EXPECT_EQ(board.update(0, "ready", true, at(1s)), "\x1b[1A\x1b[2Kengine-0: ready\n");
}

TEST(StartupDisplay, FindsItsLinesOnATerminalThatHasBecomeNarrower) {
  StartupDisplay board({{0, "a"}, {1, "b"}}, true);
  board.set_size(80, 50);
  board.update(0, std::string(40, 'x'), true, at(0s));  // 43 columns, and 23
  board.set_size(20, 50);
  EXPECT_EQ(board.line("other").substr(0, 12), "\x1b[5A\x1b[J\x1b[Jot");
}

TEST(StartupDisplay, IsLiftedForWhatOthersWrite) {
  StartupDisplay board({{0, "a"}}, true);
  EXPECT_EQ(board.lift(), "") << "nothing is drawn yet";
  EXPECT_EQ(board.restore(), "");
  board.update(0, "started", true, at(0s));
  EXPECT_EQ(board.lift(), "\x1b[1A\x1b[J");
  EXPECT_EQ(board.restore(), "\x1b[2Ka: started\n");
  EXPECT_EQ(board.restore(), "") << "once";
}

TEST(StartupDisplay, IsNeverHigherThanTheTerminal) {
  std::vector<StartupDisplay::Engine> engines;
  for (BackendId id = 0; id < 100; ++id) engines.push_back({id, "e" + std::to_string(id)});
  StartupDisplay board(std::move(engines), true);
  board.set_size(80, 8);
  EXPECT_EQ(board.update(7, "started", true, at(0s)),
            "\x1b[2K99 engines: waiting for its turn\n\x1b[2Ke7: started\n");
  EXPECT_EQ(board.update(8, "loading 5 %", true, at(1s)),
            "\x1b[2A\x1b[2K98 engines: waiting for its turn\n\x1b[2Ke7: started\n"
            "\x1b[2Ke8: loading 5 %\n");
  board.update(9, "loading 6 %", true, at(1s));
  EXPECT_EQ(board.update(10, "loading 7 %", true, at(1s)),
            "\x1b[4A\x1b[2K96 engines: waiting for its turn\n\x1b[2Ke7: started\n"
            "\x1b[2Ke8: loading 5 %\n\x1b[2K2 more engines\n");
  board.update(9, "started", true, at(1s));
  board.update(8, "started", true, at(1s));
  EXPECT_EQ(board.update(10, "started", true, at(1s)),
            "\x1b[3A\x1b[2K96 engines: waiting for its turn\n\x1b[2K4 engines: started\n\x1b[J");
}

TEST(StartupDisplay, PutsOtherLinesAboveTheBoard) {
  StartupDisplay board({{0, "a"}}, true);
  board.update(0, "started", true, at(0s));
  EXPECT_EQ(board.line("other"), "\x1b[1A\x1b[Jother\n\x1b[2Ka: started\n");
}

}  // namespace
}  // namespace batchproxy
