// proxy/top/top_core.h - TopCore: what each key of `batchproxy top` does.
//
//   keys ─▶ TopCore ─▶ view(), for draw(); at times an order for the proxy
//
// Sans-io. An order that ends an engine's process is asked about first.
//
// Threading: confined to one thread.
#pragma once

#include <optional>
#include <string>

#include "proxy/control/engine_orders.h"
#include "proxy/top/screen.h"

namespace batchproxy {

class TopCore {
 public:
  // Keys that are no characters.
  static constexpr int kUp = 0x110000, kDown = 0x110001;
  static constexpr int kEnter = '\n', kEscape = 27, kBackspace = 127;

  // Something to do: none when both are empty.
  struct Action {
    bool quit = false;
    std::optional<EngineOrder> order{};
  };
  Action on_key(int key, const Snapshot& now);
  // What has become of an order, or why nothing is seen.
  void say(std::string text) { view_.message = std::move(text); }

  const TopView& view() const { return view_; }

 private:
  Action answer_question(int key);
  void edit_filter(int key);
  void move(int by, const Snapshot& now);
  const BackendSnapshot* chosen(const Snapshot& now) const;
  Action toggle_drain(const Snapshot& now);
  void ask_to_restart(const Snapshot& now);

  TopView view_;
  bool edits_filter_ = false;
  std::optional<EngineOrder> asked_about_;
};

}  // namespace batchproxy
