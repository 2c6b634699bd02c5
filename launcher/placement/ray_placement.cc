// launcher/placement/ray_placement.cc - a coroutine for each job.
#include "launcher/placement/ray_placement.h"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <unistd.h>

#include "launcher/plan/command_line.h"
#include "launcher/ray/ray_client.h"
#include "launcher/ray/ray_jobs.h"

namespace batchproxy {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Duration kEagerLook = std::chrono::milliseconds(500);
constexpr Duration kLook = std::chrono::seconds(5);
// A job's stop takes as long as its engine's; and Ray some seconds on either side.
constexpr Duration kStopSlack = std::chrono::seconds(15);
constexpr Seconds kAgentSlack{5};  // that the agent has to see its engine end
constexpr Duration kTellWait = std::chrono::seconds(3);
// One that waits in the queue cannot be taken out of it; it may just have begun.
constexpr Duration kPendingStop = std::chrono::seconds(3);
constexpr Duration kSilentEnd = std::chrono::seconds(3);  // its agent has left, and Ray is silent
constexpr int kSubmissions = 3;                           // of one that got no answer
// Ray looks at a job until it has seen that it is over, once a second or less often. If its record
// has gone by then, Ray 2.60 makes a new one that says FAILED.
constexpr Duration kUntilBurial = std::chrono::seconds(10);

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

// Two runs with the same are never meant to go on side by side: they write the same logs.
std::string configuration_mark(const Options& options) {
  const std::filesystem::path logs = *options.proxy.launcher.log_directory;
  return host_name() + ":" + std::filesystem::absolute(logs).lexically_normal().string();
}

struct Job {
  Job(asio::io_context& io, RaySubmission what, Carrier::Hooks its_hooks)
      : submission(std::move(what)), hooks(std::move(its_hooks)), timer(io) {}

  const std::string& id() const { return submission.id; }
  void say(const std::string& line) const {
    if (hooks.on_line) hooks.on_line(line);
  }
  void say_waiting(const std::string& why) const {
    if (hooks.on_waiting) hooks.on_waiting(why);
  }
  void end(const std::string& how) {
    const auto told = std::exchange(hooks, {}).on_ended;
    if (told) told(how);
  }
  void expect_end() {
    is_ending = true;
    timer.cancel();
  }
  void dismiss() {
    is_wanted = false;
    expect_end();
  }

  const RaySubmission submission;
  Carrier::Hooks hooks;      // none once it has ended, or nobody wants to hear of it
  asio::steady_timer timer;  // until the next look at it
  bool is_wanted = true;
  bool is_ending = false;  // it is over any moment
  bool is_submitted = false;
  std::string condition = "it is being submitted to Ray";  // for people
  std::string node{};                                      // that runs it
};
using JobPtr = std::shared_ptr<Job>;

class RayCarrier final : public Carrier {
 public:
  explicit RayCarrier(JobPtr job) : job_(std::move(job)) {}
  ~RayCarrier() override {
    job_->hooks = {};
    job_->dismiss();
  }
  RayCarrier(const RayCarrier&) = delete;
  RayCarrier& operator=(const RayCarrier&) = delete;

  std::string condition() const override { return job_->condition; }
  std::string node() const override { return job_->node; }
  void expect_end() override { job_->expect_end(); }
  void cancel() override { job_->dismiss(); }
  // Ray knows no other way: it kills what does not end in time.
  void kill() override { job_->dismiss(); }

 private:
  const JobPtr job_;
};

}  // namespace

// Coroutines hold it: a job is stopped also when its Carrier and the placement are gone.
struct RayPlacement::Core : std::enable_shared_from_this<Core> {
  Core(const PlacementSetup& setup, RayAddress address)
      : io(setup.io),
        client(setup.io, std::move(address)),
        stop_timeout(*setup.options.proxy.launcher.stop_timeout + kAgentSlack),
        ours{.configuration = configuration_mark(setup.options),
             .run = setup.run,
             .process = process_mark(::getpid()),
             .engine = {}},
        remark(setup.remark),
        prepared(setup.io, Clock::time_point::max()) {}

  // --- what was there before us ------------------------------------------------------------------

  // What goes wrong is told by each engine that it keeps from starting. `self` keeps the
  // coroutine's object.
  Task<void> begin(std::shared_ptr<Core> self, std::function<void()> ready) {
    co_await prepare();
    if (self->is_open) ready();
  }

  // Once it has gone well it is not done again. Who comes meanwhile shares what comes of it.
  Task<std::optional<RayRefusal>> prepare() {
    if (is_prepared) co_return std::nullopt;
    if (is_preparing) {
      ErrorCode ignored;
      co_await prepared.async_wait(asio::redirect_error(use_task, ignored));
      co_return obstacle;
    }
    is_preparing = true;
    obstacle = co_await look_around();
    is_preparing = false;
    is_prepared = !obstacle;
    prepared.cancel();
    co_return obstacle;
  }

  Task<std::optional<RayRefusal>> look_around() {
    RayReply reply = co_await client.version();
    if (reply.refusal) co_return reply.refusal;
    std::optional<RayRefusal> problem = problem_of_version(client.url(), reply.body);
    if (problem) co_return problem;
    reply = co_await client.jobs();
    if (reply.refusal) co_return reply.refusal;
    const OrError<std::vector<RayJob>> jobs = parse_ray_jobs(reply.body);
    if (!jobs) co_return RayRefusal{jobs.error().text};
    std::size_t stopped = 0;
    for (const RayJob& job : leftovers(*jobs, ours, &process_lives)) {
      if (!is_over(job.state)) ++stopped;
      co_await clear(job);
    }
    if (stopped > 0 && is_open) {
      remark("an earlier batchproxy has left " + std::to_string(stopped) +
             (stopped == 1 ? " job" : " jobs") + " in Ray; stopped");
    }
    co_return std::nullopt;
  }

  // A job of an earlier run.
  Task<void> clear(RayJob left) {
    const TimePoint end = Clock::now() + time_to_stop();
    asio::steady_timer pause(io);
    if (!is_over(left.state)) co_await client.stop(left.id);
    while (!is_over(left.state)) {
      const RayReply reply = co_await client.job(left.id);
      if (reply.status == 404) co_return;
      if (auto seen = parse_ray_job(reply.body)) left = *std::move(seen);
      if (is_over(left.state)) break;
      if (Clock::now() > end) co_return;
      pause.expires_after(kEagerLook);
      ErrorCode ignored;
      co_await pause.async_wait(asio::redirect_error(use_task, ignored));
    }
    bury(left.id);
  }

  // Deletes what Ray keeps of a job that is over; if we end before, the next run does.
  void bury(const std::string& id) {
    const auto wait_and_remove = [](std::shared_ptr<Core> self, std::string which) -> Task<void> {
      asio::steady_timer pause(self->io, kUntilBurial);
      ErrorCode ignored;
      co_await pause.async_wait(asio::redirect_error(use_task, ignored));
      co_await self->client.remove(which);
    };
    asio::co_spawn(io.get_executor(), wait_and_remove(shared_from_this(), id), &end_on_error);
  }

  // --- a job -------------------------------------------------------------------------------------

  Task<void> carry(std::shared_ptr<Core> self, JobPtr job) {
    std::optional<RayRefusal> refusal = co_await self->prepare();
    if (!refusal && job->is_wanted) refusal = co_await submit(*job);
    if (refusal) {
      job->end(refusal->sentence);
    } else if (!job->is_submitted) {
      job->end("it was not wanted any more");
    } else {
      const std::string how = co_await watch(*job);
      job->end(how);
    }
  }

  // The same once more where no answer came: if the first has arrived, Ray says so.
  Task<std::optional<RayRefusal>> submit(Job& job) {
    const std::string body = to_json(job.submission);
    std::optional<RayRefusal> refusal;
    for (int tried = 0; tried < kSubmissions && job.is_wanted; ++tried) {
      if (tried > 0) co_await pause(job, kEagerLook);
      const RayReply reply = co_await client.submit(body);
      refusal = reply.refusal;
      job.is_submitted = !refusal || is_known_already(reply.status, reply.body);
      if (job.is_submitted) co_return std::nullopt;
      if (refusal->is_hopeless) break;
    }
    co_return refusal;
  }

  // Until it is over: how it ended.
  Task<std::string> watch(Job& job) {
    const TimePoint submitted = Clock::now();
    TimePoint told = submitted;
    std::optional<TimePoint> stopped{};
    std::optional<TimePoint> silent_since{};
    RayState state = RayState::kPending;
    while (true) {
      const RayReply reply = co_await client.job(job.id());
      if (reply.status == 404) {
        co_return "Ray at " + client.url() + " does not know its job " + job.id() +
            " any more: its head was started anew, which ends all jobs";
      }
      const TimePoint now = Clock::now();
      if (!reply.refusal) {
        silent_since.reset();
      } else if (!silent_since) {
        silent_since = now;
        job.say(reply.refusal->sentence);
      } else if (job.is_ending && now - *silent_since > kSilentEnd) {
        co_return "whether its job " + job.id() +
            " has ended is not known: " + reply.refusal->sentence;
      }
      const OrError<RayJob> seen = parse_ray_job(reply.body);
      if (seen && is_over(seen->state)) {
        bury(job.id());
        co_return describe_end(*seen);
      }
      if (seen && std::exchange(state, seen->state) != seen->state) {
        job.node = seen->node;
        job.condition = "its job " + job.id() + " runs in Ray";
        job.say("its job " + job.id() + " runs on " + seen->node);
      }
      const bool is_pending = state == RayState::kPending;
      if (!job.is_wanted && !stopped) {
        stopped = now;
        co_await client.stop(job.id());
      } else if (stopped && now - *stopped > (is_pending ? kPendingStop : time_to_stop())) {
        co_return left_behind(job, is_pending);
      } else if (is_pending && now - told >= kTellWait) {
        told = now;
        const RayReply cluster = co_await client.cluster();
        job.say_waiting(
            describe_wait(job.submission.gpus, now - submitted, parse_ray_gpus(cluster.body)));
      }
      co_await pause(job, is_pending || job.is_ending ? kEagerLook : kLook);
    }
  }

  std::string left_behind(const Job& job, bool is_pending) {
    if (is_pending) {
      return "its job " + job.id() + " stays in Ray's queue, from which nothing can be taken: it " +
             "ends as soon as it has its GPUs, or after Ray's time for a start";
    }
    return "Ray has not ended its job " + job.id() + " in time: see `ray job list`";
  }

  // Shorter for one that is dismissed meanwhile.
  static Task<void> pause(Job& job, Duration most) {
    job.timer.expires_after(most);
    ErrorCode ignored;
    co_await job.timer.async_wait(asio::redirect_error(use_task, ignored));
  }

  Duration time_to_stop() const {
    return std::chrono::duration_cast<Duration>(stop_timeout) + kStopSlack;
  }

  asio::io_context& io;
  RayClient client;
  const Seconds stop_timeout;  // of a job
  const RayMarks ours;         // without an engine
  std::function<void(const std::string&)> remark;
  bool is_open = true;  // the placement is there, and may be told
  bool is_preparing = false;
  bool is_prepared = false;
  std::optional<RayRefusal> obstacle{};  // that the last preparation has met
  asio::steady_timer prepared;           // is cancelled when preparations have ended
};

RayPlacement::RayPlacement(const PlacementSetup& setup, RayAddress address)
    : core_(std::make_shared<Core>(setup, std::move(address))) {}

RayPlacement::~RayPlacement() {
  core_->is_open = false;
}

void RayPlacement::begin(std::function<void()> ready) {
  asio::co_spawn(core_->io.get_executor(), core_->begin(core_, std::move(ready)), &end_on_error);
}

std::unique_ptr<Carrier> RayPlacement::carry(const AgentCall& call, Carrier::Hooks hooks) {
  RaySubmission submission{.id = ray_job_id(core_->ours.run, call.engine, call.start),
                           .command = call.argv,
                           .variables = {{kAgentTokenVariable, call.token}},
                           .gpus = static_cast<std::int64_t>(call.gpus),
                           .stop_timeout = core_->stop_timeout,
                           .marks = core_->ours};
  submission.marks.engine = call.engine;
  const auto job = std::make_shared<Job>(core_->io, std::move(submission), std::move(hooks));
  asio::co_spawn(core_->io.get_executor(), core_->carry(core_, job), &end_on_error);
  return std::make_unique<RayCarrier>(job);
}

std::vector<std::string> ray_lacks(const Options& options, const Environment& environment) {
  const OrError<RayAddress> address = ray_address(options, environment);
  if (!address) return {address.error().text};
  const OrError<RayToken> token = address->token();
  if (!token) return {token.error().text};
  return {};
}

std::string ray_shown(const Options& options, const Environment& /*environment*/,
                      const AgentCall& call) {
  std::string line = "ray job submit --address " + *options.proxy.launcher.ray_address +
                     " --entrypoint-num-gpus " + std::to_string(call.gpus) + " --";
  for (const std::string& word : call.argv) line += " " + shell_quoted(word);
  return line;
}

std::unique_ptr<Placement> make_ray_placement(const PlacementSetup& setup) {
  OrError<RayAddress> address = ray_address(setup.options, setup.environment);
  if (!address) throw std::runtime_error(address.error().text);
  return std::make_unique<RayPlacement>(setup, *std::move(address));
}

// The 22nd word of /proc/PID/stat is its start; its name, which may hold anything, ends with ")".
std::string process_mark(int pid) {
  const std::string number = std::to_string(pid);
  std::ifstream file("/proc/" + number + "/stat");
  std::string stat;
  std::getline(file, stat, '\0');
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return "";
  std::istringstream words(stat.substr(name_end + 1));
  std::string word;
  for (int field = 3; field <= 22; ++field) words >> word;
  return words ? number + " " + word : "";
}

bool process_lives(const std::string& mark) {
  const int pid = std::atoi(mark.c_str());
  return pid > 0 && process_mark(pid) == mark;
}

}  // namespace batchproxy
