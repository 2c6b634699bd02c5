// bench/load/measure.cc - see measure.h.
#include "bench/load/measure.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <optional>
#include <utility>

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/load/live_line.h"
#include "configs/text/columns.h"

namespace batchproxy::bench {

namespace {

constexpr Duration kFrame = std::chrono::milliseconds(250);

std::size_t terminal_columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

// Draws the line again and again, in its own place, until it is destroyed.
class LiveDisplay {
 public:
  LiveDisplay(LoadClient& client, LiveLine& line, std::string prefix)
      : client_(client),
        line_(line),
        prefix_(std::move(prefix)),
        timer_(client.io().get_executor()) {
    draw();
  }
  ~LiveDisplay() { std::fputs("\r\x1b[K", stderr); }
  LiveDisplay(const LiveDisplay&) = delete;
  LiveDisplay& operator=(const LiveDisplay&) = delete;

 private:
  // The last column stays empty: some terminals begin a line when it is full.
  void draw() {
    const std::string text = prefix_ + line_.line(client_.now(), client_.in_flight());
    std::fprintf(stderr, "\r\x1b[K%s", cut_to_columns(text, terminal_columns() - 1).c_str());
    std::fflush(stderr);
    timer_.expires_after(kFrame);
    timer_.async_wait([this](const ErrorCode& error) {
      if (!error) draw();
    });
  }

  LoadClient& client_;
  LiveLine& line_;
  const std::string prefix_;
  asio::steady_timer timer_;
};

Task<void> count_into(LoadClient& client, const Subject& subject,
                      std::optional<FleetCounts>& counts) {
  counts = co_await count_fleet(client, subject);
}

Task<void> run_into(Load& load, Repeat& repeat) {
  repeat = co_await load.run();
}

std::optional<FleetCounts> count(LoadClient& client, const Subject& subject) {
  std::optional<FleetCounts> counts;
  client.run(count_into(client, subject, counts));
  return counts;
}

// One of the repeats; `stop` is made to stop it. Empty if `stopped` became true before it began.
Repeat measure_once(LoadClient& client, const Subject& subject,
                    const std::vector<ReadyQuestion>& questions, const MeasureOptions& options,
                    std::size_t number, const bool& stopped,
                    std::function<void(std::string)>& stop, std::string& ended_early) {
  const std::optional<FleetCounts> before = count(client, subject);
  if (stopped) return {};
  LiveLine line(options.load.most(questions.size()).value_or(0));
  Load load(client, subject.server, questions, options.load,
            [&line](const RequestResult& result) { line.add(result); });
  stop = [&load](std::string why) { load.stop(std::move(why)); };
  std::optional<LiveDisplay> display;
  if (options.shows_line) {
    const bool several = options.repeats > 1;
    display.emplace(client, line,
                    several ? fmt::format("{} of {}: ", number + 1, options.repeats) : "");
  }
  Repeat repeat;
  client.run(run_into(load, repeat));
  display.reset();
  stop = nullptr;
  ended_early = load.stopped_because();
  repeat.window = window_of(repeat.seconds, options.warm_up, options.cool_down);
  const std::optional<FleetCounts> after = before ? count(client, subject) : std::nullopt;
  if (before && after) repeat.counts = difference(*after, *before);
  return repeat;
}

}  // namespace

Measured measure(LoadClient& client, const Subject& subject,
                 const std::vector<ReadyQuestion>& questions, const MeasureOptions& options) {
  Measured measured;
  std::function<void(std::string)> stop;
  asio::signal_set signals(client.io(), SIGINT, SIGTERM);
  signals.async_wait([&](const ErrorCode& error, int) {
    if (error) return;
    measured.stopped = true;
    if (stop) stop("stopped");
  });
  if (options.is_interrupted && options.is_interrupted()) measured.stopped = true;
  for (std::size_t number = 0; number < options.repeats; ++number) {
    if (measured.stopped || !measured.ended_early.empty()) break;
    measured.repeats.push_back(measure_once(client, subject, questions, options, number,
                                            measured.stopped, stop, measured.ended_early));
  }
  if (measured.stopped && measured.ended_early.empty()) measured.ended_early = "stopped";
  return measured;
}

std::string load_words(const LoadOptions& options) {
  if (options.rate > 0) {
    const std::string seed =
        options.arrivals == Arrivals::kPoisson ? fmt::format(", seed {}", options.seed) : "";
    return fmt::format("open loop, {} a second ({}{}); latencies from when each was due",
                       options.rate, kArrivals[options.arrivals].word, seed);
  }
  return fmt::format("closed loop, {} workers", options.workers);
}

}  // namespace batchproxy::bench
