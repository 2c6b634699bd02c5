// proxy/request/merged_call.cc - see merged_call.h.
#include "proxy/request/merged_call.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <spdlog/spdlog.h>

namespace batchproxy {

namespace {

constexpr std::string_view kChatBatchTarget = "/v1/chat/completions/batch";

// How often is looked whether anybody still waits for the answer.
constexpr Duration kLookForMembers = std::chrono::milliseconds(250);

// Members that go out together.
using Group = std::vector<Leg*>;

class MergedCall final : private Deadline, private InFlight {
 public:
  MergedCall(IoThread& thread, Leg& leader)
      : thread_(thread),
        backend_(leader.ticket().verdict.backend),
        chat_(leader.ticket().packing == Packing::kChat),
        id_prefix_(leader.load().request->id.text() + ".m") {
    Group group{&leader};
    for (Ticket* mate : leader.ticket().verdict.mates) {
      auto* member = static_cast<Leg*>(mate->sink);
      // Tickets carry a hash of what must be equal: here it is compared.
      if (fits(leader.load(), member->load())) {
        group.push_back(member);
      } else {
        groups_.push_back({member});
      }
    }
    groups_.push_back(std::move(group));
    thread_.in_flight.push_back(*this);
    for (const Ticket* mate : leader.ticket().verdict.mates) others_ = others_ | mate->backends;
    others_ = others_ | leader.ticket().backends;
    others_.erase(backend_);
    thread_.deadlines.set(*this, kLookForMembers);
  }

  Task<void> run() {
    while (!groups_.empty()) {
      current_ = std::move(groups_.back());
      groups_.pop_back();
      if (all_left(current_)) {
        fail_all(CallFailure::kAborted);
      } else if (current_.size() == 1) {
        co_await call_for_one();
      } else {
        co_await call_for_many();
      }
    }
  }

  // After an error of our own, or of the engine's: nobody may be left waiting.
  void give_up(CallFailure failure) {
    fail_all(failure);
    for (const Group& group : std::exchange(groups_, {})) {
      current_ = group;
      fail_all(failure);
    }
  }

 private:
  static bool fits(const Leg::Load& a, const Leg::Load& b) {
    return a.parts.before == b.parts.before && a.parts.after == b.parts.after &&
           a.tokens == b.tokens && a.request->target == b.request->target &&
           a.request->authorization == b.request->authorization &&
           a.request->key_field == b.request->key_field && a.request->key == b.request->key &&
           a.request->fields == b.request->fields;
  }

  // One call on behalf of current_; its answer is in `call`.
  Task<CallFailure> make_call(UpstreamCall& call, std::string_view target, SplicedBody body) {
    const ClientRequest& request = *current_.front()->load().request;
    const std::string id = id_prefix_ + std::to_string(++calls_);
    // What is to be taken apart must not come compressed.
    const std::string fields = without_field(request.fields, "accept-encoding");
    const UpstreamRequest upstream{request.route->method, target, fields,         request.key_field,
                                   request.authorization, id,     std::move(body)};
    call_ = &call;
    CallFailure failure = co_await call.start(upstream);
    if (failure == CallFailure::kNone) failure = co_await call.read_whole();
    call_ = nullptr;
    if (failure == CallFailure::kAborted && stuck_) failure = CallFailure::kStuck;
    if (failure == CallFailure::kNone) {
      failure = thread_.answer_checker.judge(call.head(), call.body(), true);
    }
    if (failure == CallFailure::kBadAnswer) {
      fault_ = call.fault();
      // What stands there may be the answer of another.
      if (fault_.kind == AnswerFault::Kind::kJson) fault_.seen.clear();
    }
    const bool fails = failure != CallFailure::kNone && failure != CallFailure::kAborted &&
                       failure != CallFailure::kStuck;
    if (fails) {
      thread_.report_failure(backend_, failure == CallFailure::kRefused);
    }
    co_return failure;
  }

  Task<void> call_for_one() {
    const Leg::Load& load = current_.front()->load();
    UpstreamCall call(thread_.upstream_resources(), backend_, deadline());
    const CallFailure failure = co_await make_call(call, load.request->target, load.body());
    if (failure != CallFailure::kNone) co_return fail(failure);
    deliver_to_all(call);
  }

  Task<void> call_for_many() {
    std::vector<BodyParts> parts;
    std::vector<std::size_t> sizes;
    for (const Leg* member : current_) {
      parts.push_back(member->load().parts);
      sizes.push_back(parts.back().prompt.size());
    }
    const std::string body = pack(parts, !chat_);
    const std::string_view target =
        chat_ ? kChatBatchTarget : current_.front()->load().request->target;
    UpstreamCall call(thread_.upstream_resources(), backend_, deadline());
    const CallFailure failure = co_await make_call(call, target, std::string_view(body));
    if (failure != CallFailure::kNone) co_return fail(failure);
    const unsigned status = call.head().status;
    if (is_about_one(status) && !tells_of_death(status, call.body())) co_return halve();
    if (call.head().status != 200) co_return deliver_to_all(call);
    std::optional<std::vector<UnpackedAnswer>> answers;
    if (call.head().content_encoding.empty()) {
      answers = thread_.list_reader.unpack(call.body(), sizes);
    }
    if (!answers) {
      spdlog::warn("a list answer of {} could not be taken apart; its members are sent alone",
                   thread_.upstreams.endpoint(backend_)->name);
      co_return scatter();
    }
    const auto head = std::make_shared<const MergedHead>(call.head());
    for (std::size_t i = 0; i < answers->size(); ++i) {
      UnpackedAnswer& answer = (*answers)[i];
      deliver(i, {CallFailure::kNone, head, std::move(answer.body), answer.exact_usage});
    }
    current_.clear();
  }

  BackendId called() const override { return backend_; }
  // Its members are asked anew, each by itself, if anybody else can be.
  void on_stuck() override {
    if ((others_ & thread_.ready).empty() || call_ == nullptr) return;
    stuck_ = true;
    call_->abort();
  }

  // Those that share calls are answered soon.
  void on_recall(const Recall&) override {}

  // Nobody left who wants an answer: then the engine need not go on.
  void on_expired() override {
    if (call_ != nullptr && all_left(current_)) call_->abort();
    thread_.deadlines.set(*this, kLookForMembers);
  }
  static bool all_left(const Group& group) {
    return std::ranges::all_of(
        group, [](const Leg* member) { return member == nullptr || member->has_left(); });
  }

  // Whether the engine may say no to all for the sake of one.
  static bool is_about_one(unsigned status) {
    return status == 400 || status == 413 || status == 422 || status == 500;
  }

  void deliver_to_all(const UpstreamCall& call) {
    const auto head = std::make_shared<const MergedHead>(call.head());
    for (std::size_t i = 0; i < current_.size(); ++i) {
      deliver(i, {CallFailure::kNone, head, std::string(call.body())});
    }
    current_.clear();
  }

  // Finds out which.
  void halve() {
    thread_.metrics.split_calls.add();
    const auto middle = current_.begin() + static_cast<std::ptrdiff_t>(current_.size() / 2);
    groups_.emplace_back(middle, current_.end());
    groups_.emplace_back(current_.begin(), middle);
    current_.clear();
  }

  void scatter() {
    thread_.metrics.mismatched_calls.add();
    for (Leg* member : current_) groups_.push_back({member});
    current_.clear();
  }

  // An engine that hangs would keep the next ones waiting as long.
  void fail(CallFailure failure) {
    const bool hangs =
        failure == CallFailure::kStuck || (failure == CallFailure::kTimedOut &&
                                           std::chrono::steady_clock::now() < soonest_deadline());
    if (hangs) return give_up(failure);
    fail_all(failure);
  }

  void fail_all(CallFailure failure) {
    for (std::size_t i = 0; i < current_.size(); ++i)
      deliver(i, {.failure = failure, .fault = fault_});
    current_.clear();
  }

  void deliver(std::size_t member, MergedAnswer answer) {
    // Cleared first: after fill() the leg may be gone.
    Leg* leg = std::exchange(current_[member], nullptr);
    if (leg != nullptr) {
      leg->fill(std::make_unique<const MergedAnswer>(std::move(answer)));
    }
  }

  TimePoint deadline() const { return thread_.attempt_deadline(soonest_deadline()); }

  TimePoint soonest_deadline() const {
    const auto soonest = std::ranges::min_element(
        current_, {}, [](const Leg* member) { return member->deadline(); });
    return (*soonest)->deadline();
  }

  IoThread& thread_;
  const BackendId backend_;
  BackendSet others_;  // that could be asked
  bool stuck_ = false;
  const bool chat_;
  const std::string id_prefix_;
  std::vector<Group> groups_;     // still to be called, the next one last
  Group current_;                 // being called; null where a member has its answer
  UpstreamCall* call_ = nullptr;  // under way
  unsigned calls_ = 0;
  AnswerFault fault_;  // of the last call, if it was a kBadAnswer
};

Task<void> run(std::unique_ptr<MergedCall> merged) {
  bool failed = false;
  try {
    co_await merged->run();
  } catch (const std::exception& exception) {
    spdlog::error("internal error in a merged call: {}", exception.what());
    failed = true;
  }
  if (failed) merged->give_up(CallFailure::kAborted);
}

}  // namespace

void start_merged_call(IoThread& thread, Leg& leader) {
  asio::co_spawn(thread.io.get_executor(), run(std::make_unique<MergedCall>(thread, leader)),
                 asio::detached);
}

}  // namespace batchproxy
