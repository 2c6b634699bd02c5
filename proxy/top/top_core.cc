// proxy/top/top_core.cc - see top_core.h.
#include "proxy/top/top_core.h"

#include <algorithm>
#include <utility>

namespace batchproxy {

TopCore::Action TopCore::on_key(int key, const Snapshot& now) {
  if (asked_about_) return answer_question(key);
  if (edits_filter_) {
    edit_filter(key);
    return {};
  }
  view_.message.clear();
  switch (key) {
    case 'q':
      return {.quit = true};
    case kUp:
    case 'k':
      move(-1, now);
      break;
    case kDown:
    case 'j':
      move(1, now);
      break;
    case kEnter:
    case '\r':
      if (chosen(now) == nullptr) move(0, now);
      view_.detail = !view_.detail && chosen(now) != nullptr;
      break;
    case kEscape:
      view_.detail = false;
      break;
    case 's':
      view_.sort =
          static_cast<SortBy>((static_cast<std::size_t>(view_.sort) + 1) % kCountOf<SortBy>);
      break;
    case '/':
      edits_filter_ = true;
      view_.detail = false;
      view_.message = "filter: " + view_.filter;
      break;
    case 'd':
      return toggle_drain(now);
    case 'r':
      ask_to_restart(now);
      break;
    default:
      break;
  }
  return {};
}

TopCore::Action TopCore::answer_question(int key) {
  Action action;
  if (key == 'y' || key == 'Y') action.order = std::move(asked_about_);
  asked_about_.reset();
  view_.message = action.order ? "" : "nothing is done";
  return action;
}

void TopCore::edit_filter(int key) {
  std::string& filter = view_.filter;
  if (key == kEnter || key == '\r' || key == kEscape) {
    if (key == kEscape) filter.clear();
    edits_filter_ = false;
    view_.message.clear();
    return;
  }
  if (key == kBackspace || key == '\b') {
    if (!filter.empty()) filter.pop_back();
  } else if (key >= ' ' && key < 127) {
    filter += static_cast<char>(key);
  }
  view_.message = "filter: " + filter;
}

void TopCore::move(int by, const Snapshot& now) {
  const auto shown = listed(now, view_);
  if (shown.empty()) return;
  const auto at = std::ranges::find(shown, view_.chosen, &BackendSnapshot::name);
  if (at == shown.end()) {
    view_.chosen = shown.front()->name;
    return;
  }
  const auto place = std::clamp<std::ptrdiff_t>(at - shown.begin() + by, 0, std::ssize(shown) - 1);
  view_.chosen = shown[static_cast<std::size_t>(place)]->name;
}

// One that is not shown is not chosen.
const BackendSnapshot* TopCore::chosen(const Snapshot& now) const {
  const auto shown = listed(now, view_);
  const auto at = std::ranges::find(shown, view_.chosen, &BackendSnapshot::name);
  return at == shown.end() ? nullptr : *at;
}

TopCore::Action TopCore::toggle_drain(const Snapshot& now) {
  const BackendSnapshot* engine = chosen(now);
  if (engine == nullptr) {
    say("choose an engine with the arrow keys first");
    return {};
  }
  const bool is_paused = engine->condition == Condition::kPaused;
  return {.order = EngineOrder{is_paused ? EngineVerb::kResume : EngineVerb::kPause, engine->name}};
}

void TopCore::ask_to_restart(const Snapshot& now) {
  const BackendSnapshot* engine = chosen(now);
  if (engine == nullptr) return say("choose an engine with the arrow keys first");
  asked_about_ = EngineOrder{EngineVerb::kRestart, engine->name};
  say("restart " + engine->name + " when it has finished its requests? y/n");
}

}  // namespace batchproxy
