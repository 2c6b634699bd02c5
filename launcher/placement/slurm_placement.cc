// launcher/placement/slurm_placement.cc - srun for each agent; squeue and sinfo now and then.
#include "launcher/placement/slurm_placement.h"

#include <chrono>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "launcher/placement/child_carrier.h"
#include "launcher/placement/exec_command.h"
#include "launcher/placement/slurm_text.h"
#include "launcher/placement/slurm_watch.h"
#include "launcher/plan/executable.h"
#include "launcher/process/group_guard.h"

namespace batchproxy {
namespace {

namespace asio = boost::asio;

// After an agent has ended: by then Slurm knows of its node.
constexpr std::chrono::seconds kAfterAnEnd{2};

std::vector<std::string> command_for(const Options& options, const Environment& environment,
                                     const AgentCall& call) {
  return srun_command(call, environment, *options.proxy.launcher.srun_arguments);
}

// srun says nothing while it waits for room, and whatever is wrong at once. It also says nothing
// while slurmctld does not answer it: squeue tells which it is.
constexpr std::chrono::seconds kSilence{3};
constexpr const char* kWaiting =
    "the allocation's GPUs or cores are all in use, or a node is out; srun waits";
constexpr const char* kSeemsToWait =
    "srun waits without a word, as it does while the allocation's GPUs or cores are all in use or "
    "a node is out";
constexpr const char* kNoAnswer =
    "srun says nothing, and squeue has no answer from slurmctld: it is busy, or away (`scontrol "
    "ping` tells)";

// How long squeue and sinfo may take until that is said, and until they are given up.
constexpr std::chrono::seconds kPatience{5};
constexpr std::chrono::seconds kMostPatience{60};

// Is told whether Slurm answers; returns whether it wants to be told again.
using OnSlurm = std::function<bool(bool answers)>;

// What a step has of the placement that it belongs to.
struct StepHooks {
  std::function<void()> on_ended;
  std::function<void(OnSlurm)> whether_slurm_answers;
};

// An srun whose words are explained, and its silence.
class SrunCarrier final : public Carrier {
 public:
  SrunCarrier(asio::io_context& io, CarrierCommand command, Hooks hooks, StepHooks placement)
      : hooks_(std::move(hooks)), placement_(std::move(placement)), silence_(io) {
    Hooks ours;
    ours.on_line = [this](std::string_view line) { take_line(line); };
    ours.on_ended = [this](const std::string& how) { take_end(how); };
    srun_ = start_carrier(io, std::move(command), std::move(ours));
    silence_.expires_after(kSilence);
    silence_.async_wait(
        [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
          if (error || alive.expired()) return;
          placement_.whether_slurm_answers(
              [this, alive](bool answers) { return !alive.expired() && explain_silence(answers); });
        });
  }

  std::string condition() const override { return srun_->condition(); }
  void cancel() override { srun_->cancel(); }
  void kill() override { srun_->kill(); }

 private:
  // Returns whether there may be another explanation later.
  bool explain_silence(bool slurm_answers) {
    if (has_spoken_) return false;
    const Hooks told = hooks_;  // which may destroy us
    if (!slurm_answers) {
      if (!std::exchange(has_told_, true)) told.on_line(kNoAnswer);
      return true;
    }
    told.on_waiting(kSeemsToWait);
    return false;
  }

  void take_line(std::string_view line) {
    has_spoken_ = true;
    if (advice_.empty()) advice_ = slurm_advice(line);  // the first names the cause
    silence_.cancel();
    const Hooks told = hooks_;  // which may destroy us
    const bool waits = is_waiting(line);
    told.on_line(line);
    if (waits) told.on_waiting(kWaiting);
  }

  void take_end(const std::string& how) {
    has_spoken_ = true;
    silence_.cancel();
    placement_.on_ended();
    const Hooks told = hooks_;
    told.on_ended(advice_.empty() ? how : how + "; " + advice_);
  }

  const Hooks hooks_;
  const StepHooks placement_;
  asio::steady_timer silence_;
  bool has_spoken_ = false;
  bool has_told_ = false;  // that Slurm does not answer
  std::string advice_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>();  // a timer that is over is not cancelled
  std::unique_ptr<Carrier> srun_;
};

class SlurmPlacement final : public Placement {
 public:
  explicit SlurmPlacement(const PlacementSetup& setup)
      : setup_(setup),
        watch_(slurm_job(setup.environment)),
        timer_(setup.io),
        patience_(setup.io) {}

  // The engines do not wait for what Slurm tells: who has a job may start a step.
  void begin(std::function<void()> ready) override {
    look();
    asio::post(setup_.io, std::move(ready));
  }

  std::unique_ptr<Carrier> carry(const AgentCall& call, Carrier::Hooks hooks) override {
    auto command = carrier_command(command_for(setup_.options, setup_.environment, call),
                                   srun_environment(setup_.environment), call);
    if (setup_.guard != nullptr) command.guard = setup_.guard->descriptor();
    StepHooks step;
    step.on_ended = [this, alive = std::weak_ptr(alive_)] {
      if (!alive.expired()) look_in(kAfterAnEnd);
    };
    step.whether_slurm_answers = [this, alive = std::weak_ptr(alive_)](OnSlurm tell) {
      if (alive.expired()) return;
      if (is_late_) tell(false);
      curious_.push_back(std::move(tell));
      look();
    };
    return std::make_unique<SrunCarrier>(setup_.io, std::move(command), std::move(hooks),
                                         std::move(step));
  }

 private:
  using Lines = std::vector<std::string>;

  void look_in(std::chrono::seconds time) {
    timer_.expires_after(time);
    timer_.async_wait(
        [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
          if (!error && !alive.expired()) look();
        });
  }

  void look() {
    if (asking_) return;  // it looks again when that is answered
    ask({"squeue", "--noheader", "--jobs=" + slurm_job(setup_.environment),
         std::string("--format=") + kSqueueFormat},
        [this](const Lines& lines, bool is_good) {
          std::optional<SlurmJob> job;
          for (const std::string& line : lines) job = job ? job : parse_squeue(line);
          // One that is busy knows nothing of it; one that answers and has none does.
          if (job || is_good) say(watch_.on_job(job));
          if (watch_.nodes().empty()) return look_in(watch_.next_look());
          look_at_nodes();
        });
  }

  void look_at_nodes() {
    ask({"sinfo", "--noheader", "--Node", "--nodes=" + watch_.nodes(),
         std::string("--format=") + kSinfoFormat},
        [this](const Lines& lines, bool /*is_good*/) {
          std::vector<SlurmNode> nodes;
          for (const std::string& line : lines) {
            if (auto node = parse_sinfo(line)) nodes.push_back(*std::move(node));
          }
          say(watch_.on_nodes(nodes));
          look_in(watch_.next_look());
        });
  }

  // Runs it, and hands over what it has written.
  void ask(std::vector<std::string> argv, std::function<void(const Lines&, bool is_good)> take) {
    auto lines = std::make_shared<Lines>();
    Carrier::Hooks hooks;
    hooks.on_line = [lines](std::string_view line) { lines->emplace_back(line); };
    const std::string program = argv.front();
    hooks.on_ended = [this, lines, take = std::move(take)](const std::string& how) {
      const auto asked = std::exchange(asking_, nullptr);
      patience_.cancel();
      is_late_ = false;
      const bool is_good = how.find("ended with exit code 0") != std::string::npos;
      if (is_good) say(watch_.on_answer());
      tell_curious(is_good);
      take(*lines, is_good);
    };
    after_patience(kPatience, [this, program] {
      is_late_ = true;
      say(watch_.on_silence(program, kPatience));
      tell_curious(false);
      after_patience(kMostPatience - kPatience, [this] {
        if (asking_) asking_->cancel();
      });
    });
    asking_ = start_carrier(setup_.io, {std::move(argv), setup_.environment}, std::move(hooks));
  }

  void after_patience(std::chrono::seconds time, std::function<void()> then) {
    patience_.expires_after(time);
    patience_.async_wait([alive = std::weak_ptr(alive_),
                          then = std::move(then)](const boost::system::error_code& error) {
      if (!error && !alive.expired()) then();
    });
  }

  void tell_curious(bool slurm_answers) {
    for (const OnSlurm& tell : std::exchange(curious_, {})) {
      if (tell(slurm_answers)) curious_.push_back(tell);
    }
  }

  void say(const std::vector<std::string>& sentences) const {
    for (const std::string& sentence : sentences) setup_.remark(sentence);
  }

  const PlacementSetup setup_;
  SlurmWatch watch_;
  asio::steady_timer timer_;
  asio::steady_timer patience_;  // with `asking_`
  bool is_late_ = false;         // it has not answered in time
  std::unique_ptr<Carrier> asking_;
  std::vector<OnSlurm> curious_;  // who would know whether Slurm answers
  std::shared_ptr<bool> alive_ = std::make_shared<bool>();
};

}  // namespace

std::vector<std::string> slurm_lacks(const Options& /*options*/, const Environment& environment) {
  const auto path = environment.find("PATH");
  std::vector<std::string> lacking;
  if (!find_executable("srun", path == environment.end() ? "" : path->second)) {
    lacking.emplace_back(
        "`srun` was not found on PATH: `placement: slurm` needs Slurm's programs on this machine");
  }
  if (slurm_job(environment).empty()) {
    lacking.emplace_back(
        "SLURM_JOB_ID is not set: `placement: slurm` runs engines in an allocation that you have, "
        "so start batchproxy within one (salloc -N2 --gres=gpu:8 -t 8:00:00 batchproxy ..., or in "
        "an sbatch script)");
  }
  return lacking;
}

std::string slurm_shown(const Options& options, const Environment& environment,
                        const AgentCall& call) {
  return shell_line(command_for(options, environment, call));
}

std::unique_ptr<Placement> make_slurm_placement(const PlacementSetup& setup) {
  return std::make_unique<SlurmPlacement>(setup);
}

}  // namespace batchproxy
