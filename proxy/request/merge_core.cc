// proxy/request/merge_core.cc - see merge_core.h.
#include "proxy/request/merge_core.h"

#include <algorithm>

namespace batchproxy {

namespace {

// Whether the engine may say no to all for the sake of one.
bool is_about_one(unsigned status) {
  return status == 400 || status == 413 || status == 422 || status == 500;
}

}  // namespace

MergeCore::MergeCore(const std::vector<MemberFacts>& members, BackendSet others) : others_(others) {
  members_.reserve(members.size());
  Group together;
  together.reserve(members.size());
  for (Member i = 0; i < members.size(); ++i) {
    members_.push_back({.deadline = members[i].deadline});
    if (members[i].fits) {
      together.push_back(i);
    } else {
      groups_.push_back({i});
    }
  }
  groups_.push_back(std::move(together));
}

MergeCore::Do MergeCore::go_on() {
  if (groups_.empty()) {
    group_.clear();
    return Do::kEnd;
  }
  group_ = std::move(groups_.back());
  groups_.pop_back();
  if (is_wanted()) return Do::kCall;
  failure_ = CallFailure::kAborted;
  return Do::kFail;
}

MergeCore::Do MergeCore::on_answer(unsigned status, bool says_dead) {
  if (group_.size() == 1) return Do::kShare;
  if (is_about_one(status) && !says_dead) return halve();
  return status == 200 ? Do::kUnpack : Do::kShare;
}

MergeCore::Do MergeCore::on_unpacked(bool ok) {
  return ok ? Do::kHandOut : scatter();
}

// Finds out which.
MergeCore::Do MergeCore::halve() {
  const auto middle = group_.begin() + static_cast<std::ptrdiff_t>(group_.size() / 2);
  groups_.emplace_back(middle, group_.end());
  groups_.emplace_back(group_.begin(), middle);
  return Do::kHalve;
}

MergeCore::Do MergeCore::scatter() {
  for (const Member member : group_) groups_.push_back({member});
  return Do::kScatter;
}

MergeCore::Do MergeCore::on_failed(CallFailure how, TimePoint now) {
  failure_ = how == CallFailure::kAborted && stuck_ ? CallFailure::kStuck : how;
  // An engine that hangs would keep the next ones waiting as long.
  const bool hangs =
      failure_ == CallFailure::kStuck || (failure_ == CallFailure::kTimedOut && now < deadline());
  return hangs ? give_up(failure_) : Do::kFail;
}

MergeCore::Do MergeCore::give_up(CallFailure how) {
  failure_ = how;
  groups_.clear();
  group_.clear();
  for (Member i = 0; i < members_.size(); ++i) {
    if (!members_[i].told) group_.push_back(i);
  }
  return Do::kFail;
}

bool MergeCore::on_stuck(BackendSet ready) {
  if ((others_ & ready).empty()) return false;
  stuck_ = true;
  return true;
}

bool MergeCore::is_wanted() const {
  return std::ranges::any_of(group_, [this](Member member) { return !members_[member].left; });
}

TimePoint MergeCore::deadline() const {
  TimePoint soonest = TimePoint::max();
  for (const Member member : group_) soonest = std::min(soonest, members_[member].deadline);
  return soonest;
}

bool MergeCore::looks_gone(CallFailure how) {
  return how != CallFailure::kNone && how != CallFailure::kAborted && how != CallFailure::kStuck;
}

}  // namespace batchproxy
