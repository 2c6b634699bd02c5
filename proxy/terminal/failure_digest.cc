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

// Whether so many are named, each of them.
bool names_each(std::size_t count) {
  return count <= kNamed + 1;
}

std::string enumerate(const std::vector<std::string>& names) {
  const std::size_t count = names.size();
  const std::size_t named = names_each(count) ? count - 1 : kNamed;
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

// What there is to tell of it behind the sentence.
std::vector<std::string> details_of(const EngineFailure& failure) {
  const bool is_known = !failure.findings.empty();
  std::vector<std::string> details;
  for (const std::string& line : is_known ? failure.findings : failure.last_lines) {
    if (!is_said(line, failure)) details.push_back(line);
  }
  return details;
}

// Equal for details that say the same of other engines. A repair is told by its figures; elsewhere
// they are pids, ports and what is measured.
std::string mark_of(const std::string& detail, const std::string& engine,
                    const EngineFailure& failure) {
  const std::string mark = common(detail, engine, failure.node);
  const bool is_repair = detail.find("repair: ") < sizeof("no ");
  return is_repair ? mark : without_figures(mark);
}

// Of how it ended, which is in the sentence about the first.
std::string end_mark(const std::string& engine, const EngineFailure& failure) {
  return "end: " + common(failure.reason, engine, failure.node);
}

constexpr Duration kAtOnce = std::chrono::milliseconds(50);

std::string in_time(Duration left) {
  if (left < kAtOnce) return "now";
  return fmt::format("in {:.1f} s", std::chrono::duration<double>(left).count());
}
// Of several, the last of them.
std::string within_time(Duration left) {
  return fmt::format("within {:.1f} s",
                     std::chrono::duration<double>(std::max(left, kAtOnce)).count());
}

constexpr std::size_t kRemembered = 64;  // faults

}  // namespace

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

// Where a cause is known, or the line that tells most, they may have ended in different ways; else
// all that is seen has to be the same.
bool FailureDigest::are_alike(const Member& one, const Member& other) {
  const EngineFailure& a = one.failure;
  const EngineFailure& b = other.failure;
  if (a.cause || b.cause) return a.cause == b.cause;
  const auto seen_of = [](const Member& member) {
    const EngineFailure& failure = member.failure;
    const auto same_of_all = [&](const std::string& text) {
      return common(text, member.engine, failure.node);
    };
    if (!failure.evidence.empty()) return without_figures(same_of_all(failure.evidence));
    std::string log;
    for (const std::string& line : failure.last_lines) log += line + "\n";
    return same_of_all(failure.reason) + "\n" + without_figures(same_of_all(log));
  };
  return seen_of(one) == seen_of(other);
}

// --- what is to be told -------------------------------------------------------------------------

bool FailureDigest::is_pending(const std::string& engine) const {
  return std::ranges::any_of(groups_, [&engine](const Group& group) {
    return group.kind != Kind::kDelay &&
           std::ranges::count(group.members, engine, &Member::engine) > 0;
  });
}

FailureDigest::Told* FailureDigest::find_told(const Group& group) {
  const auto found = std::ranges::find_if(told_, [&group](const Told& told) {
    return told.kind == group.kind && are_alike(told.first, group.members.front());
  });
  return found == told_.end() ? nullptr : &*found;
}

// Of a fault that was told, too: it has details that were not.
bool FailureDigest::has_news(const Group& group) {
  const Told* told = find_told(group);
  if (told == nullptr) return true;
  return std::ranges::any_of(group.members, [told](const Member& member) {
    const auto is_new = [&](const std::string& detail) {
      return !told->details.contains(mark_of(detail, member.engine, member.failure));
    };
    return std::ranges::any_of(details_of(member.failure), is_new);
  });
}

bool FailureDigest::is_due(const Group& group, TimePoint now) {
  const Duration waited = now - group.since;
  switch (group.kind) {
    case Kind::kDelay:
      return waited >= kGatherDelays;
    case Kind::kEnd:
      return waited >= kGatherEnds;
    case Kind::kStart:
      break;
  }
  return waited >= (has_news(group) ? kGather : kGatherKnown);
}

// Who fails again before that is told is told once, as it is by then.
void FailureDigest::add(Kind kind, Member member, TimePoint now) {
  const auto same = std::ranges::find_if(groups_, [&](const Group& group) {
    return group.kind == kind && are_alike(group.members.front(), member);
  });
  if (same == groups_.end()) {
    groups_.push_back({kind, {std::move(member)}, now});
    return;
  }
  const auto before = std::ranges::find(same->members, member.engine, &Member::engine);
  if (before == same->members.end()) {
    same->members.push_back(std::move(member));
  } else {
    *before = std::move(member);
  }
}

Lines FailureDigest::add_failure(Kind kind, Member member, const std::vector<std::string>& others,
                                 TimePoint now) {
  add(kind, std::move(member), now);
  const bool is_last =
      std::ranges::all_of(others, [this](const std::string& other) { return is_pending(other); });
  return is_last ? tell_all(now) : Lines();
}

Lines FailureDigest::on_failed(const std::string& engine, const EngineFailure& failure,
                               const std::optional<Duration>& next,
                               const std::vector<std::string>& others, TimePoint now) {
  Member member{.engine = engine, .failure = failure, .tries = ++tries_[engine]};
  if (next) member.next = now + *next;
  if (!next) tries_.erase(engine);  // an order counts anew
  return add_failure(Kind::kStart, std::move(member), others, now);
}

Lines FailureDigest::on_ended(const std::string& engine, const EngineFailure& failure,
                              const std::string& log_file, const std::optional<Duration>& next,
                              const std::vector<std::string>& others, TimePoint now) {
  Member member{.engine = engine, .failure = failure, .log_file = log_file};
  if (next) member.next = now + *next;
  return add_failure(Kind::kEnd, std::move(member), others, now);
}

void FailureDigest::on_delay(const std::string& engine, const std::string& text, TimePoint now) {
  // Pids and times differ.
  EngineFailure delay{.how = text, .reason = without_figures(text)};
  add(Kind::kDelay, {.engine = engine, .failure = std::move(delay)}, now);
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

Lines FailureDigest::on_starting(const std::string& engine, TimePoint now) {
  return tell_those(
      [&](const Group& group) {
        return group.kind != Kind::kDelay && has_news(group) &&
               std::ranges::count(group.members, engine, &Member::engine) > 0;
      },
      now);
}

void FailureDigest::on_up(const std::string& engine) {
  tries_.erase(engine);
  // That it failed once more is over before it was told. First: a fault that nobody has is unknown.
  for (Group& group : groups_) {
    if (group.kind == Kind::kStart && !has_news(group)) {
      std::erase_if(group.members, [&](const Member& one) { return one.engine == engine; });
    }
  }
  std::erase_if(groups_, [](const Group& group) { return group.members.empty(); });
  for (Told& told : told_) std::erase(told.engines, engine);
  std::erase_if(told_, [](const Told& told) { return told.engines.empty(); });
}

Lines FailureDigest::on_tick(TimePoint now) {
  Lines lines = tell_those([&](const Group& group) { return is_due(group, now); }, now);
  std::ranges::move(tell_known_lost(), std::back_inserter(lines));
  return lines;
}

Lines FailureDigest::tell_all(TimePoint now) {
  return tell_those([](const Group&) { return true; }, now);
}

Lines FailureDigest::tell_those(auto due, TimePoint now) {
  Lines lines;
  std::vector<Group> left;
  for (Group& group : std::exchange(groups_, {})) {
    if (due(group)) {
      std::ranges::move(tell(std::move(group), now), std::back_inserter(lines));
    } else {
      left.push_back(std::move(group));
    }
  }
  groups_ = std::move(left);
  return lines;
}

// --- the sentences ------------------------------------------------------------------------------

// With their nodes, where these differ.
std::string FailureDigest::names_of(const Members& members) {
  const std::string& node = members.front().failure.node;
  const bool is_one_node = std::ranges::all_of(
      members, [&node](const Member& member) { return member.failure.node == node; });
  const bool all_have = std::ranges::all_of(
      members, [](const Member& member) { return !member.failure.node.empty(); });
  std::vector<std::string> names, nodes;
  for (const Member& member : members) {
    const std::string& its = member.failure.node;
    const bool is_behind = is_one_node || its.empty() || !names_each(members.size());
    names.push_back(is_behind ? member.engine : fmt::format("{} ({})", member.engine, its));
    if (std::ranges::count(nodes, its) == 0) nodes.push_back(its);
  }
  const bool tells_nodes = !is_one_node && all_have && !names_each(members.size());
  return enumerate(names) + (tells_nodes ? " on " + enumerate(nodes) : "");
}

// "It is started again in 0.9 s", "They are not started again, after 5 tries".
std::string FailureDigest::what_next(const Members& members, TimePoint now) {
  const auto again =
      std::ranges::count_if(members, [](const Member& one) { return one.next.has_value(); });
  const std::string_view who = members.size() > 1 ? "They are" : "It is";
  if (again == 0) {
    const int tries = std::ranges::max(members, {}, &Member::tries).tries;
    return fmt::format("{} not started again{}", who,
                       tries > 1 ? fmt::format(", after {} tries", tries) : "");
  }
  if (static_cast<std::size_t>(again) == members.size()) {
    const auto [first, last] = std::ranges::minmax_element(members, {}, &Member::next);
    const bool is_at_once = *last->next - *first->next < kAtOnce;
    return fmt::format("{} started again {}", who,
                       is_at_once ? in_time(*last->next - now) : within_time(*last->next - now));
  }
  const std::size_t others = members.size() - static_cast<std::size_t>(again);
  return fmt::format("{} of them {} started again, and {} {} not", again, again == 1 ? "is" : "are",
                     others, others == 1 ? "is" : "are");
}

// " (try 3)", of those that are started again.
std::string FailureDigest::tries_of(const Members& members) {
  if (!std::ranges::any_of(members, [](const Member& one) { return one.next.has_value(); })) {
    return {};
  }
  const auto [least, most] = std::ranges::minmax(members, {}, &Member::tries);
  if (least.tries == most.tries) return fmt::format(" (try {})", most.tries);
  return fmt::format(" (tries {} to {})", least.tries, most.tries);
}

std::string FailureDigest::sentence_about(const Group& group, const Told* told, TimePoint now) {
  const Members& all = group.members;
  Members fresh, again;
  for (const Member& member : all) {
    const bool has_it = told != nullptr && std::ranges::count(told->engines, member.engine) > 0;
    (has_it ? again : fresh).push_back(member);
  }
  const std::string& how = all.front().failure.how;
  const std::string then = what_next(all, now);
  if (group.kind == Kind::kEnd) {
    const std::string_view like = told == nullptr ? "" : fresh.empty() ? ", as before" : ", too";
    return fmt::format("{} {} ended{}: {}. {}. {} is {}", names_of(all),
                       all.size() > 1 ? "have" : "has", like, how, then,
                       all.size() > 1 ? "The log of " + all.front().engine : "Its log",
                       all.front().log_file);
  }
  if (told == nullptr) return fmt::format("{} did not start: {}. {}", names_of(all), how, then);
  if (fresh.empty()) {
    return fmt::format("{} did not start, as before{}. {}", names_of(all), tries_of(all), then);
  }
  if (again.empty()) {
    return fmt::format("{} did not start either, for the same reason as {}. {}", names_of(fresh),
                       enumerate(told->engines), then);
  }
  return fmt::format("{} did not start either, for the same reason as {}, which failed again. {}",
                     names_of(fresh), names_of(again), then);
}

// Those of the first as they are; of others what is new, with their names.
Lines FailureDigest::tell_details(const Group& group, Told& told) {
  Lines lines;
  for (const Member& member : group.members) {
    const bool is_first = told.details.empty();
    const std::string name =
        is_first || group.members.size() == 1 ? std::string() : member.engine + ": ";
    const bool is_new_end = told.details.insert(end_mark(member.engine, member.failure)).second;
    if (is_new_end && !is_first && group.kind == Kind::kStart) {
      lines.push_back({err, fmt::format("  | {}{}", name, member.failure.how)});
    }
    for (const std::string& detail : details_of(member.failure)) {
      const bool is_new =
          told.details.insert(mark_of(detail, member.engine, member.failure)).second;
      if (is_new || is_first) lines.push_back({err, fmt::format("  | {}{}", name, detail)});
    }
  }
  return lines;
}

Lines FailureDigest::tell(Group group, TimePoint now) {
  std::ranges::sort(group.members, comes_before, &Member::engine);
  return group.kind == Kind::kDelay ? tell_delay(std::move(group)) : tell_failure(group, now);
}

// Of each engine once, until it is up: at its next start it waits for the same.
Lines FailureDigest::tell_delay(Group group) {
  Told& told = told_of(group);
  std::erase_if(group.members, [&told](const Member& member) {
    return std::ranges::count(told.engines, member.engine) > 0;
  });
  if (group.members.empty()) return {};
  add_engines(told, group);
  const Member& first = group.members.front();
  const std::string text = first.engine + " " + first.failure.how;
  if (group.members.size() == 1) return {{warn, text}};
  std::vector<std::string> names;
  for (const Member& member : group.members) names.push_back(member.engine);
  return {{warn, fmt::format("{}: {}; the {} likewise", enumerate(names), text,
                             names.size() > 2 ? "others" : "other")}};
}

Lines FailureDigest::tell_failure(const Group& group, TimePoint now) {
  Lines lines{{err, sentence_about(group, find_told(group), now)}};
  Told& told = told_of(group);
  std::ranges::move(tell_details(group, told), std::back_inserter(lines));
  add_engines(told, group);
  return lines;
}

// What is remembered of it, from now on.
FailureDigest::Told& FailureDigest::told_of(const Group& group) {
  if (Told* told = find_told(group)) return *told;
  if (told_.size() >= kRemembered) told_.pop_front();
  return told_.emplace_back(group.kind, group.members.front());
}

void FailureDigest::add_engines(Told& told, const Group& group) {
  for (const Member& member : group.members) {
    if (std::ranges::count(told.engines, member.engine) == 0) told.engines.push_back(member.engine);
  }
  std::ranges::sort(told.engines, comes_before);
}

}  // namespace batchproxy
