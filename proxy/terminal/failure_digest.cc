// proxy/terminal/failure_digest.cc - who fails alike, and the sentences about them.
#include "proxy/terminal/failure_digest.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace batchproxy {

namespace {

using spdlog::level::err;
using spdlog::level::warn;

constexpr std::size_t kNamed = 2;  // engines, where they are more than three

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  if (what.empty()) return text;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
  return text;
}

// What would be the same of another engine on another node.
std::string common(const std::string& text, const std::string& engine, const std::string& node) {
  return replaced(replaced(text, engine, "ENGINE"), node, "NODE");
}

// The same without figures: pids, times, ports.
std::string without_figures(const std::string& text) {
  std::string left;
  for (const char letter : text) {
    const bool is_digit = std::isdigit(static_cast<unsigned char>(letter)) != 0;
    if (!is_digit) left += letter;
    if (is_digit && !left.ends_with('#')) left += '#';
  }
  return left;
}

// "engine-2" before "engine-10".
bool comes_before(const std::string& one, const std::string& other) {
  return std::pair(one.size(), std::string_view(one)) <
         std::pair(other.size(), std::string_view(other));
}

std::string enumerate(const std::vector<std::string>& names) {
  const std::size_t count = names.size();
  const std::size_t named = count > kNamed + 1 ? kNamed : count - 1;
  std::string text = names.front();
  for (std::size_t i = 1; i < named; ++i) text += ", " + names[i];
  if (count == 1) return text;
  return text +
         (named == count - 1 ? " and " + names.back() : fmt::format(" and {} more", count - named));
}

// A log's line that the sentence before it has said already.
bool is_said(std::string_view line, const EngineFailure& failure) {
  constexpr std::string_view kPlacement = "[placement] ";
  if (line.starts_with("=== batchproxy: ")) return true;
  return line.starts_with(kPlacement) &&
         failure.how.find(line.substr(kPlacement.size())) != std::string::npos;
}

}  // namespace

std::string what_next(const std::optional<Duration>& next, bool are_several) {
  const std::string_view who = are_several ? "They are" : "It is";
  if (!next) return fmt::format("{} not started again", who);
  return fmt::format("{} started again in {:.1f} s", who,
                     std::chrono::duration<double>(std::max(*next, Duration::zero())).count());
}

Lines tell_lost(const std::vector<std::string>& engines) {
  const bool is_one = engines.size() == 1;
  const std::string name = is_one ? engines.front() : "NAME";
  return {{err, fmt::format("{} {}, and {}. Start {}: `batchproxy engines start {}`, or POST "
                            "/admin/engines/{}/start on the admin address",
                            enumerate(engines), is_one ? "stays down" : "stay down",
                            is_one ? "is not started again by itself"
                                   : "are not started again by themselves",
                            is_one ? "it" : "them", name, name)}};
}

// Evidence differs in the names and numbers of processes and ports, figures in what is measured; a
// repair is a line of its own. Where no cause is known, what is seen has to be the same.
bool FailureDigest::are_alike(const Member& one, const Member& other) {
  const EngineFailure& a = one.failure;
  const EngineFailure& b = other.failure;
  if (a.cause || b.cause) return a.cause == b.cause && a.findings.size() == b.findings.size();
  if (!a.evidence.empty() || !b.evidence.empty()) return a.evidence == b.evidence;
  const auto seen_of = [](const Member& member) {
    const EngineFailure& failure = member.failure;
    std::string log;
    for (const std::string& line : failure.last_lines) log += line + "\n";
    return common(failure.reason, member.engine, failure.node) + "\n" +
           without_figures(common(log, member.engine, failure.node));
  };
  return seen_of(one) == seen_of(other);
}

bool FailureDigest::is_repeated(const Member& before, const Member& now) {
  return before.failure.findings == now.failure.findings && are_alike(before, now);
}

bool FailureDigest::is_pending(const std::string& engine) const {
  return std::ranges::any_of(groups_, [&engine](const Group& group) {
    return !group.is_delay && std::ranges::count(group.members, engine, &Member::engine) > 0;
  });
}

bool FailureDigest::is_told(const Group& group) const {
  return std::ranges::all_of(group.members, [this](const Member& member) {
    const auto before = told_.find(member.engine);
    return before != told_.end() && is_repeated(before->second, member);
  });
}

bool FailureDigest::is_due(const Group& group, TimePoint now) const {
  if (group.is_delay) return now - group.since >= kGatherDelays;
  return now - group.since >= (is_told(group) ? kGatherRepeated : kGather);
}

void FailureDigest::add(Member member, bool is_delay, TimePoint now) {
  const auto same = std::ranges::find_if(groups_, [&](const Group& group) {
    return group.is_delay == is_delay && are_alike(group.members.front(), member);
  });
  if (same == groups_.end()) {
    groups_.push_back({{std::move(member)}, now, is_delay});
  } else {
    same->members.push_back(std::move(member));
  }
}

Lines FailureDigest::on_failed(const std::string& engine, const EngineFailure& failure,
                               const std::optional<Duration>& next,
                               const std::vector<std::string>& starting, TimePoint now) {
  Lines lines = is_pending(engine) ? tell_all(now) : Lines();
  Member member{engine, failure};
  if (next) member.next = now + *next;
  add(std::move(member), false, now);
  if (std::ranges::all_of(starting, [this](const auto& one) { return is_pending(one); })) {
    std::ranges::move(tell_all(now), std::back_inserter(lines));
  }
  return lines;
}

Lines FailureDigest::on_lost(const std::string& engine) {
  lost_.push_back(engine);
  return is_pending(engine) ? Lines() : tell_known_lost();
}

// Of whose last failure has been told.
Lines FailureDigest::tell_known_lost() {
  std::vector<std::string> known;
  for (const std::string& engine : lost_) {
    if (!is_pending(engine)) known.push_back(engine);
  }
  for (const std::string& engine : known) std::erase(lost_, engine);
  std::ranges::sort(known, comes_before);
  return known.empty() ? Lines() : tell_lost(known);
}

void FailureDigest::on_delay(const std::string& engine, const std::string& text, TimePoint now) {
  // Pids and times differ.
  EngineFailure delay{.how = text, .reason = without_figures(text)};
  add({engine, std::move(delay)}, true, now);
}

Lines FailureDigest::on_tick(TimePoint now) {
  Lines lines;
  std::vector<Group> left;
  for (Group& group : std::exchange(groups_, {})) {
    if (is_due(group, now)) {
      std::ranges::move(tell(std::move(group), now), std::back_inserter(lines));
    } else {
      left.push_back(std::move(group));
    }
  }
  groups_ = std::move(left);
  std::ranges::move(tell_known_lost(), std::back_inserter(lines));
  return lines;
}

Lines FailureDigest::tell_all(TimePoint now) {
  Lines lines;
  for (Group& group : std::exchange(groups_, {})) {
    std::ranges::move(tell(std::move(group), now), std::back_inserter(lines));
  }
  return lines;
}

// --- the sentences ------------------------------------------------------------------------------

std::string FailureDigest::names_of(const Group& group) {
  const std::string& node = group.members.front().failure.node;
  const bool is_one_node = std::ranges::all_of(
      group.members, [&node](const Member& member) { return member.failure.node == node; });
  std::vector<std::string> names;
  for (const Member& member : group.members) {
    const std::string& its = member.failure.node;
    names.push_back(is_one_node || its.empty() ? member.engine
                                               : fmt::format("{} ({})", member.engine, its));
  }
  return enumerate(names);
}

Lines FailureDigest::tell(Group group, TimePoint now) {
  std::ranges::sort(group.members, comes_before, &Member::engine);
  if (!group.is_delay) return tell_failure(group, now);
  const Member& first = group.members.front();
  const std::string text = first.engine + " " + first.failure.how;
  if (group.members.size() == 1) return {{warn, text}};
  return {{warn, fmt::format("{}: {}; the others likewise", names_of(group), text)}};
}

Lines FailureDigest::tell_failure(const Group& group, TimePoint now) {
  const Member& first = group.members.front();
  const bool are_several = group.members.size() > 1;
  const auto again =
      std::ranges::count_if(group.members, [](const Member& one) { return one.next.has_value(); });
  std::string then;
  if (again == 0 || static_cast<std::size_t>(again) == group.members.size()) {
    const Member& last = *std::ranges::max_element(group.members, {}, &Member::next);
    then = what_next(last.next ? std::optional(*last.next - now) : std::nullopt, are_several);
  } else {
    then = fmt::format("{} of them are started again, the others are not", again);
  }
  const bool is_repeated_start = is_told(group);
  Lines lines{{err, fmt::format("{} did not start{}: {}. {}", names_of(group),
                                is_repeated_start ? ", as before" : "", first.failure.how, then)}};
  for (const Member& member : group.members) told_.insert_or_assign(member.engine, member);
  if (is_repeated_start) return lines;
  const bool is_of_others =
      last_told_ && are_alike(*last_told_, first) &&
      std::ranges::count(group.members, last_told_->engine, &Member::engine) == 0;
  if (is_of_others) {
    lines.push_back({err, "  | for the same reason as " + last_told_->engine});
    return lines;
  }
  last_told_ = first;
  const bool is_known = !first.failure.findings.empty();
  for (const std::string& line : is_known ? first.failure.findings : first.failure.last_lines) {
    if (!is_said(line, first.failure)) lines.push_back({err, "  | " + line});
  }
  return lines;
}

}  // namespace batchproxy
