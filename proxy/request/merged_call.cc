// proxy/request/merged_call.cc - see merged_call.h.
#include "proxy/request/merged_call.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <spdlog/spdlog.h>

#include "proxy/request/merge_core.h"

namespace batchproxy {

namespace {

using Do = MergeCore::Do;
using Member = MergeCore::Member;

constexpr std::string_view kChatBatchTarget = "/v1/chat/completions/batch";

// How often is looked whether anybody still waits for the answer.
constexpr Duration kLookForMembers = std::chrono::milliseconds(250);

std::vector<Leg*> members_of(Leg& leader) {
  std::vector<Leg*> members{&leader};
  for (Ticket* follower : leader.ticket().verdict.followers) {
    members.push_back(static_cast<Leg*>(follower->sink));
  }
  return members;
}

// Tickets carry a hash of what must be equal: here it is compared.
bool fits(const Leg::Load& a, const Leg::Load& b) {
  return a.parts.before == b.parts.before && a.parts.after == b.parts.after &&
         a.tokens == b.tokens && a.request->target == b.request->target &&
         a.request->authorization == b.request->authorization &&
         a.request->key_field == b.request->key_field && a.request->key == b.request->key &&
         a.request->fields == b.request->fields;
}

std::vector<MergeCore::MemberFacts> facts_of(const std::vector<Leg*>& members) {
  std::vector<MergeCore::MemberFacts> facts;
  for (const Leg* member : members) {
    facts.push_back({member->deadline(), fits(members.front()->load(), member->load())});
  }
  return facts;
}

// Who could be asked instead of `backend`.
BackendSet others_of(const std::vector<Leg*>& members, BackendId backend) {
  BackendSet others;
  for (const Leg* member : members) others = others | member->ticket().backends;
  others.erase(backend);
  return others;
}

class MergedCall final : private Deadline, private InFlight {
 public:
  MergedCall(IoThread& thread, Leg& leader)
      : thread_(thread),
        backend_(leader.ticket().verdict.backend),
        chat_(leader.ticket().mergeable == Mergeable::kChat),
        leader_(leader.load().request->id),
        id_prefix_(leader_.text() + ".m"),
        members_(members_of(leader)),
        core_(facts_of(members_), others_of(members_, backend_)) {
    thread_.in_flight.push_back(*this);
    thread_.net.deadlines.set(*this, kLookForMembers);
  }

  Task<void> run() {
    Do next = go_on();
    while (next != Do::kEnd) {
      switch (next) {
        case Do::kCall: {
          const CallFailure failure = co_await call();
          next = end_call(failure);
          break;
        }
        case Do::kUnpack:
          next = unmerge();
          break;
        case Do::kHalve:
          thread_.metrics.split_calls.add();
          next = go_on();
          break;
        case Do::kScatter:
          thread_.metrics.mismatched_calls.add();
          spdlog::warn("a list answer of {} could not be taken apart; its members are sent alone",
                       thread_.net.upstreams.endpoint(backend_)->name);
          next = go_on();
          break;
        case Do::kHandOut:
          hand_out();
          next = go_on();
          break;
        case Do::kShare:
          share();
          next = go_on();
          break;
        case Do::kFail:
          fail();
          next = go_on();
          break;
        case Do::kEnd:
          break;
      }
    }
  }

  // After an error of our own: nobody may be left waiting.
  void give_up() {
    core_.give_up(CallFailure::kAborted);
    fail();
  }

 private:
  const MergeCore::Group& group() const { return core_.group(); }
  const Leg::Load& load(Member member) const { return members_[member]->load(); }

  Do go_on() {
    look_for_members();
    return core_.go_on();
  }

  // One call on behalf of the group.
  Task<CallFailure> call() {
    call_.emplace(thread_.upstream_resources(), backend_,
                  thread_.attempt_deadline(core_.deadline()));
    const Leg::Load& first = load(group().front());
    const ClientRequest& request = *first.request;
    const bool many = group().size() > 1;
    const std::string merged = many ? merge_group() : std::string();
    const std::string_view target = many && chat_ ? kChatBatchTarget : request.target;
    const std::string id = id_prefix_ + std::to_string(++calls_);
    // What is to be taken apart must not come compressed.
    const std::string fields = without_field(request.fields, "accept-encoding");
    const std::string traced = members_[group().front()]->trace_line();
    const UpstreamRequest upstream{request.route->method,
                                   target,
                                   fields,
                                   request.key_field,
                                   request.authorization,
                                   id,
                                   traced,
                                   many ? SplicedBody(merged) : first.body()};
    calling_ = true;
    CallFailure failure = co_await call_->start(upstream);
    if (failure == CallFailure::kNone) failure = co_await call_->read_whole();
    calling_ = false;
    if (failure != CallFailure::kNone) co_return failure;
    failure = thread_.scratch.answer_checker.judge(call_->head(), call_->body(), true);
    if (failure == CallFailure::kNone) call_->keep_connection();
    co_return failure;
  }

  std::string merge_group() const {
    std::vector<BodyParts> parts;
    for (const Member member : group()) parts.push_back(load(member).parts);
    return merge(parts, !chat_);
  }

  Do end_call(CallFailure failure) {
    if (failure == CallFailure::kNone) {
      const unsigned status = call_->head().status;
      return core_.on_answer(status, tells_of_death(status, call_->body()));
    }
    if (failure == CallFailure::kBadAnswer) {
      fault_ = call_->fault();
      // What stands there may be the answer of another.
      if (fault_.kind == AnswerFault::Kind::kJson) fault_.seen.clear();
    }
    const Do next = core_.on_failed(failure, std::chrono::steady_clock::now());
    if (MergeCore::looks_gone(core_.failure())) {
      thread_.monitor.report_failure(backend_, failure == CallFailure::kRefused);
    }
    return next;
  }

  Do unmerge() {
    parts_.reset();
    if (call_->head().content_encoding.empty()) {
      std::vector<std::size_t> sizes;
      for (const Member member : group()) sizes.push_back(load(member).parts.prompt.size());
      parts_ = thread_.scratch.list_reader.unmerge(call_->body(), sizes);
    }
    return core_.on_unpacked(parts_.has_value());
  }

  void hand_out() {
    const auto head = std::make_shared<const MergedHead>(call_->head());
    for (std::size_t i = 0; i < group().size(); ++i) {
      UnmergedAnswer& part = (*parts_)[i];
      tell(group()[i], {CallFailure::kNone, head, std::move(part.body), part.exact_usage});
    }
    parts_.reset();
  }

  void share() {
    const auto head = std::make_shared<const MergedHead>(call_->head());
    for (const Member member : group()) {
      tell(member, {CallFailure::kNone, head, std::string(call_->body())});
    }
  }

  void fail() {
    for (const Member member : group()) {
      tell(member, {.failure = core_.failure(), .fault = fault_});
    }
  }

  // Afterwards the member may be gone.
  void tell(Member member, MergedAnswer answer) {
    if (!core_.tell(member)) return;
    answer.leader = leader_;
    answer.members = static_cast<std::uint32_t>(group().size());
    members_[member]->fill(std::make_unique<const MergedAnswer>(std::move(answer)));
  }

  void look_for_members() {
    for (Member member = 0; member < members_.size(); ++member) {
      if (!core_.is_told(member) && members_[member]->has_left()) core_.on_left(member);
    }
  }

  BackendId called() const override { return backend_; }
  void on_stuck() override {
    if (calling_ && core_.on_stuck(thread_.published.roster->ready())) call_->abort();
  }
  // Those that share calls are answered soon.
  void on_recall(const Recall&) override {}

  void on_expired() override {
    look_for_members();
    if (calling_ && !core_.is_wanted()) call_->abort();
    thread_.net.deadlines.set(*this, kLookForMembers);
  }

  IoThread& thread_;
  const BackendId backend_;
  const bool chat_;
  const RequestId leader_;
  const std::string id_prefix_;
  const std::vector<Leg*> members_;  // those that have been told may be gone
  MergeCore core_;
  std::optional<UpstreamCall> call_;  // the last one
  bool calling_ = false;
  unsigned calls_ = 0;
  AnswerFault fault_;  // of the last call, if it was a kBadAnswer
  std::optional<std::vector<UnmergedAnswer>> parts_;
};

Task<void> run(std::unique_ptr<MergedCall> merged) {
  bool failed = false;
  try {
    co_await merged->run();
  } catch (const std::exception& exception) {
    spdlog::error("internal error in a merged call: {}", exception.what());
    failed = true;
  }
  if (failed) merged->give_up();
}

}  // namespace

void start_merged_call(IoThread& thread, Leg& leader) {
  asio::co_spawn(thread.net.io.get_executor(), run(std::make_unique<MergedCall>(thread, leader)),
                 asio::detached);
}

}  // namespace batchproxy
